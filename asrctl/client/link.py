"""One socket to a server, from handshake to close: what is to be sent goes out, what comes in is told."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import quote, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from asrctl.client.failures import MAPPED, link_failure
from asrctl.client.replay import ReplayBuffer
from asrctl.errors import UsageError
from asrctl.network.answers import presentable
from asrctl.network.failures import LinkFailure
from asrctl.network.hosts import is_loopback
from asrctl.protocol.client import ClientOutput, ClientProtocol, ClientState, Opened, SendAudio
from asrctl.protocol.codes import SUBPROTOCOL, CloseCode
from asrctl.protocol.messages import Error
from asrctl.protocol.server import Close, Send
from asrctl.transcript import SAMPLE_RATE_HZ

PATH = "/v1/stream"
MESSAGE_SAMPLES = SAMPLE_RATE_HZ
"""Most audio in one message: a cut connection loses no more work than that."""
_CLOSE_TIMEOUT_S = 1.0
_MAX_MESSAGE_BYTES = 8 << 20
_GOING_AWAY = 1001
_IDLE_SHARE = 0.5
"""A sign of life is given after this share of what the server calls idle."""
_MIN_IDLE_S = 0.05
"""No more often than so, whatever the server calls idle."""

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())
_log.setLevel(logging.INFO)  # at DEBUG the library writes each header, and with them the API key


def stream_url(url: str) -> str:
    """The address of a server's stream: `ws://host:port` is enough.

    Raises:
        UsageError: It is no address of a WebSocket server.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("ws", "wss") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(f"{url!r} is no address of a server: it should look like ws://127.0.0.1:8765")
    return parts._replace(path=PATH, fragment="").geturl() if parts.path in ("", "/") else url


async def open_socket(
    url: str, session_id: str | None, api_key: str | None, timeout_s: float, keepalive_s: float
) -> ClientConnection:
    """Connect.

    Raises:
        LinkFailure: Whatever went wrong.
    """
    if session_id is not None:
        url = f"{url}{'&' if urlsplit(url).query else '?'}session={quote(session_id, safe='')}"
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else None
    try:
        socket = await connect(
            url,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,  # of PCM it makes nothing but heat
            additional_headers=headers,
            user_agent_header="asrctl",
            proxy=None if is_loopback(urlsplit(url).hostname or "") else True,
            open_timeout=timeout_s,
            ping_interval=keepalive_s,
            ping_timeout=keepalive_s,
            close_timeout=_CLOSE_TIMEOUT_S,
            max_size=_MAX_MESSAGE_BYTES,
            logger=_log,
        )
    except MAPPED as error:
        failure = link_failure(error)
        failure.reason = presentable(failure.reason, api_key or "")
        raise failure from error
    if socket.subprotocol != SUBPROTOCOL:
        await socket.close()
        raise LinkFailure("the server does not speak asrctl.v1", fatal=True)
    return socket


class Link:
    """Carries a protocol's messages and a buffer's audio over one socket, until `done` or until it breaks."""

    def __init__(
        self,
        socket: ClientConnection,
        protocol: ClientProtocol,
        buffer: ReplayBuffer,
        tell: Callable[[ClientOutput], None],
        room: Callable[[], Awaitable[None]],
        progressed: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            socket: Open.
            protocol: Not connected.
            buffer: Gives the audio from any position that is not committed.
            tell: Called with everything that is not for the socket.
            room: Waits until something may be told.
            progressed: Called when all was sent that may be sent for now.
        """
        self._socket = socket
        self._protocol = protocol
        self._buffer = buffer
        self._tell = tell
        self._room = room
        self._progressed = progressed
        self._idle_s: float | None = None
        self._waiting: deque[str] = deque()
        self._work = asyncio.Event()
        self._said: Error | None = None
        self._sent_at_s = asyncio.get_running_loop().time()

    def wake(self) -> None:
        """There may be something to send: audio was fed, or the end of it was said."""
        self._work.set()

    def handle(self, outputs: Iterable[ClientOutput]) -> None:
        """Queue what is for the socket, in order, and tell the rest."""
        for output in outputs:
            if isinstance(output, Send):
                self._waiting.append(output.text)
            elif isinstance(output, Close):
                raise LinkFailure(f"the server does not keep to asrctl.v1: {output.reason}", fatal=True)
            elif isinstance(output, Error):
                self._said = output
            elif not isinstance(output, SendAudio):
                if isinstance(output, Opened):
                    self._idle_s = max(_MIN_IDLE_S, _IDLE_SHARE * output.ready.limits.idle_timeout_s)
                self._tell(output)
        self._buffer.forget(self._protocol.committed)
        self._work.set()

    async def run(self, ready_timeout_s: float) -> None:
        """Speak the protocol until `done`.

        Raises:
            LinkFailure: The link was lost before.
        """
        self.handle(self._protocol.connected())
        reader = asyncio.create_task(self._read(ready_timeout_s))
        writer = asyncio.create_task(self._write())
        try:
            await asyncio.wait((reader, writer), return_when=asyncio.FIRST_EXCEPTION)
            for task in (reader, writer):
                if task.done():
                    task.result()
        finally:
            reader.cancel()
            writer.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)
            await self._close()

    async def _close(self) -> None:
        """Say goodbye; a socket over which nothing comes back is dropped soon."""
        done = self._protocol.state is ClientState.DONE
        await self._socket.close(CloseCode.NORMAL if done else _GOING_AWAY)

    # What comes in

    async def _read(self, ready_timeout_s: float) -> None:
        try:
            async with asyncio.timeout(ready_timeout_s) as limit:
                while self._protocol.state is not ClientState.DONE:
                    await self._room()
                    message = await self._socket.recv()
                    if isinstance(message, str):
                        self.handle(self._protocol.receive_text(message))
                    else:
                        self.handle(self._protocol.receive_binary(message))
                    if self._protocol.state is ClientState.OPEN:
                        limit.reschedule(None)
        except TimeoutError:
            raise LinkFailure("the server accepted the connection, and was not ready in time") from None
        except ConnectionClosed as error:
            raise link_failure(error, self._said) from error

    # What goes out

    async def _write(self) -> None:
        try:
            while self._protocol.state is not ClientState.DONE:
                self._work.clear()
                await self._write_waiting()
                while await self._write_audio():
                    await self._write_waiting()
                if finish := self._protocol.check_finish():
                    self.handle(finish)
                self._progressed()
                await self._rest()
        except ConnectionClosed:
            pass  # the reader knows why, once it has read what came before

    async def _write_waiting(self) -> None:
        while self._waiting:
            await self._send(self._waiting.popleft())

    async def _send(self, message: str | bytes) -> None:
        await self._socket.send(message)
        self._sent_at_s = asyncio.get_running_loop().time()

    async def _write_audio(self) -> bool:
        """Send the next piece; whether there was one."""
        protocol, held = self._protocol, self._buffer
        if protocol.state is not ClientState.OPEN or protocol.next_offset >= held.end:
            return False
        most = min(protocol.sendable_frames, protocol.max_message_frames, MESSAGE_SAMPLES)
        piece = held.read(protocol.next_offset, max(most, 1))
        if piece.data is None:
            piece = held.read(protocol.next_offset, held.end - protocol.next_offset)  # no window bounds it
            self.handle(protocol.skip(piece.frames, piece.reason))
            await self._write_waiting()
        elif most == 0:
            return False
        else:
            await self._send(protocol.audio(piece.data).data)
        return True

    async def _rest(self) -> None:
        """Wait for work; the server is told now and then that there is somebody."""
        due_s = None if self._idle_s is None else self._sent_at_s + self._idle_s
        try:
            async with asyncio.timeout_at(due_s):
                await self._work.wait()
        except TimeoutError:
            self.handle(self._protocol.keep_alive())
