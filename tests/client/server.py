"""A server with a script: it keeps to the protocol, recognises made-up audio, and misbehaves when told to."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from asrctl.protocol.codes import SUBPROTOCOL, CloseCode, Violation
from asrctl.protocol.messages import (
    Done,
    Dropped,
    Final,
    Finish,
    Limits,
    Partial,
    Ready,
    Resume,
    ServerMessage,
    Skip,
    SpeechStarted,
    Start,
    Status,
)
from asrctl.protocol.server import Audio, Close, Send, ServerOutput, ServerProtocol
from asrctl.protocol.session import ServerSession

WORD_SAMPLES = 1600
"""Each tenth of a second is a word, called after its number, if its samples are what they should be."""
_TICK_S = 0.02
"""How often a conversation looks at the clock."""
_PERIOD = 65_521
"""A prime near 2^16: samples say where they belong."""


def pcm(start: int, stop: int) -> NDArray[np.int16]:
    """The audio that the server understands, from one position to another."""
    return (np.arange(start, stop) % _PERIOD - _PERIOD // 2).astype("<i2")


def sound(start: int, stop: int) -> NDArray[np.float32]:
    """The same, as a client is fed it."""
    return pcm(start, stop).astype(np.float32) / np.float32(32768)


def words(samples: int) -> list[str]:
    """What the server hears in so much audio."""
    return [f"w{number}" for number in range(-(-samples // WORD_SAMPLES))]


@dataclass(frozen=True)
class Refuse:
    """Answer the handshake with this status."""

    status: int = 503
    retry_after: str | None = None
    said: str = "no\n"


@dataclass(frozen=True)
class CloseWith:
    """Accept, and close at once."""

    code: int = 1013
    first: ServerMessage | None = None
    """Said before."""


@dataclass(frozen=True)
class Mute:
    """Accept, and never say anything."""


@dataclass(frozen=True)
class Say:
    """Accept, say this whatever comes, and go on listening."""

    text: str | bytes
    then: str = ""


@dataclass(frozen=True)
class Cut:
    """Serve until so many bytes of audio have come, then break the connection without a word."""

    after_bytes: int


@dataclass(frozen=True)
class Restart:
    """The same, with a close frame, after which no session is known any more."""

    after_bytes: int
    code: int = 1012


@dataclass(frozen=True)
class Stall:
    """Serve until so many bytes have come; from then on take audio, and answer nothing."""

    after_bytes: int


@dataclass(frozen=True)
class Busy:
    """Take audio, but do nothing with it for so long; the client is told nothing meanwhile."""

    for_s: float


Fault = Refuse | CloseWith | Mute | Say | Cut | Restart | Stall | Busy


@dataclass
class Session:
    """One session: the protocol's state, and the audio that is not a word yet."""

    state: ServerSession
    audio: bytearray = field(default_factory=bytearray)
    place: int = 0
    """Position of the first frame of `audio`."""
    utterances: int = 0
    dropped: int = 0
    socket: ServerConnection | None = None


class ScriptedServer:
    """Serves each connection as the script says; when it is at its end, well.

    Attributes:
        url: Where it is.
        handshakes: How many there were.
        sessions: By id.
        level: Told to each new session if it is not 0.
        starts: Every `start` that came.
        keys: The `Authorization` of each handshake.
    """

    def __init__(
        self,
        faults: Iterable[Fault | None] = (),
        window: int = 160_000,
        limits: Limits | None = None,
        level: int = 0,
    ) -> None:
        self._faults = iter(faults)
        self._window = window
        self._limits = limits or Limits()
        self.level = level
        self._bound: dict[int, Fault | None] = {}
        self.url = ""
        self.handshakes = 0
        self.sessions: dict[str, Session] = {}
        self.starts: list[Start] = []
        self.keys: list[str | None] = []
        self.named: list[str | None] = []
        self.said_by_clients: list[str] = []
        self.hold = False
        """Whether the window shall stay where it is."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ScriptedServer]:
        """Listen on a port of its own."""
        async with serve(
            self._serve,
            "127.0.0.1",
            0,
            process_request=self._shake,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            ping_interval=None,
            max_queue=None,  # a conversation that closes reads nothing more
            close_timeout=0.1,
        ) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            self.url = f"ws://127.0.0.1:{port}"
            yield self

    def _shake(self, socket: ServerConnection, request: Request) -> Response | None:
        self.handshakes += 1
        self.keys.append(request.headers.get("Authorization"))
        self.named.append(parse_qs(urlsplit(request.path).query).get("session", [None])[0])
        fault = next(self._faults, None)
        if isinstance(fault, Refuse):
            response = socket.respond(HTTPStatus(fault.status), fault.said)
            if fault.retry_after is not None:
                response.headers["Retry-After"] = fault.retry_after
            return response
        self._bound[id(socket)] = fault
        return None

    async def _serve(self, socket: ServerConnection) -> None:
        fault = self._bound.pop(id(socket))
        try:
            if isinstance(fault, CloseWith):
                if fault.first is not None:
                    await self._act(socket, ServerProtocol(self._limits, lambda: 0.0).send(fault.first))
                await socket.close(fault.code)
            elif isinstance(fault, Say):
                await socket.send(fault.text)
                if fault.then:
                    await socket.send(fault.then)
                await socket.wait_closed()
            elif isinstance(fault, Mute):
                await socket.wait_closed()
            else:
                await _Conversation(self, socket, fault, self._limits).run()
        except ConnectionClosed:
            pass

    async def _act(self, socket: ServerConnection, outputs: Iterable[ServerOutput]) -> None:
        for output in outputs:
            if isinstance(output, Send):
                await socket.send(output.text)
            elif isinstance(output, Close):
                await socket.close(output.code, output.reason)

    def open(self, request: Start | Resume) -> tuple[Session, list[Any]]:
        """The session for a request, and what is to be replayed.

        Raises:
            Violation: It is not known.
        """
        if isinstance(request, Start):
            self.starts.append(request)
            state = ServerSession(secrets.token_hex(8), secrets.token_hex(16), request, self._window)
            session = Session(state, place=request.audio_offset)
            self.sessions[state.session_id] = session
            return session, []
        if request.session_id not in self.sessions:
            raise Violation(CloseCode.SESSION_GONE, "session_gone", "there is no such session")
        session = self.sessions[request.session_id]
        return session, session.state.resume(request)


class _Conversation:
    """One socket that is served."""

    def __init__(
        self, server: ScriptedServer, socket: ServerConnection, fault: Fault | None, limits: Limits
    ) -> None:
        self._server = server
        self._socket = socket
        self._fault = fault
        self._limits = limits
        self._protocol = ServerProtocol(limits, asyncio.get_running_loop().time)
        self._session: Session | None = None
        self._heard_bytes = 0
        self._free_at_s = 0.0
        if isinstance(fault, Busy):
            self._free_at_s = asyncio.get_running_loop().time() + fault.for_s

    async def run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_TICK_S):
                    message = await self._socket.recv()
            except TimeoutError:
                await self._tick()
                continue
            if isinstance(message, str):
                self._server.said_by_clients.append(message)
                outputs = self._protocol.receive_text(message)
            else:
                self._heard_bytes += len(message)
                outputs = self._protocol.receive_binary(message)
            for output in outputs:
                await self._take(output)
            if await self._misbehave():
                return

    async def _tick(self) -> None:
        if self._limits.idle_timeout_s:
            await self._say(self._protocol.check_time())
        if self._session is not None:
            await self._recognise(whole=False)

    async def _misbehave(self) -> bool:
        fault = self._fault
        if not isinstance(fault, Cut | Restart) or self._heard_bytes < fault.after_bytes:
            return False
        if isinstance(fault, Cut):
            self._socket.transport.abort()
        else:
            self._server.sessions.clear()
            await self._socket.close(fault.code)
        return True

    async def _say(self, outputs: Iterable[ServerOutput]) -> None:
        if isinstance(self._fault, Stall) and self._heard_bytes >= self._fault.after_bytes:
            return
        await self._server._act(self._socket, outputs)

    async def _take(self, output: ServerOutput) -> None:
        if isinstance(output, Send | Close):
            await self._say([output])
        elif isinstance(output, Start | Resume):
            await self._open(output)
        elif isinstance(output, Audio):
            assert self._session is not None
            self._session.audio += output.data
            await self._recognise(whole=False)
        elif isinstance(output, Skip):
            await self._recognise(whole=True)
            await self._drop(output)
        elif isinstance(output, Finish):
            await asyncio.sleep(self._free_at_s - asyncio.get_running_loop().time())
            await self._recognise(whole=True)
            await self._done()
        else:
            await self._recognise(whole=True)

    async def _open(self, request: Start | Resume) -> None:
        try:
            session, replay = self._server.open(request)
        except Violation as violation:
            return await self._say(self._protocol.refuse(violation))
        if session.socket is not None and session.socket is not self._socket:
            await session.socket.close(CloseCode.REPLACED)
        session.socket, self._session = self._socket, session
        state = session.state
        ready = Ready(
            state.session_id, state.resume_token, state.received, 60.0, state.window_samples,
            self._limits, "scripted", "scripted", 0,
        )  # fmt: skip
        await self._say(self._protocol.accept(state, ready, replay))
        if self._server.level and isinstance(request, Start):
            status = state.log.add(Status(self._server.level, 0, "load", "scripted"))
            await self._say(self._protocol.send(status))

    async def _recognise(self, *, whole: bool) -> None:
        """Turn complete words, or all there is, into finals."""
        session = self._session
        assert session is not None
        if asyncio.get_running_loop().time() < self._free_at_s:
            return
        while session.audio:
            end = min(
                (session.place // WORD_SAMPLES + 1) * WORD_SAMPLES, session.place + len(session.audio) // 2
            )
            if end % WORD_SAMPLES and not whole:
                break
            taken = (end - session.place) * 2
            good = bytes(session.audio[:taken]) == pcm(session.place, end).tobytes()
            word = f"w{session.place // WORD_SAMPLES}" if good else f"noise at {session.place}"
            start_s, end_s, number = session.place / 16_000, end / 16_000, session.utterances
            await self._say(self._protocol.send(SpeechStarted(number, start_s)))
            await self._say(self._protocol.send(Partial(number, start_s, end_s, "", word)))
            final = Final(number, start_s, end_s, word, 1.0, session.place, end, language="de")
            session.utterances += 1
            session.place = end
            del session.audio[:taken]
            await self._say(self._protocol.send(session.state.log.add(final)))
        await self._advance()

    async def _advance(self) -> None:
        session = self._session
        assert session is not None
        ack = session.state.advance(session.place, 0 if self._server.hold else self._window_samples)
        if ack is not None:
            await self._say(self._protocol.send(ack))

    @property
    def _window_samples(self) -> int:
        assert self._session is not None
        return self._session.state.window_samples

    async def _drop(self, skip: Skip) -> None:
        session = self._session
        assert session is not None
        lost = Dropped(session.place, session.place + skip.frames, skip.reason)
        session.place += skip.frames
        session.dropped += skip.frames
        await self._say(self._protocol.send(session.state.log.add(lost)))
        await self._advance()

    async def _done(self) -> None:
        session = self._session
        assert session is not None
        state = session.state
        received_s = (state.received - state.start.audio_offset) / 16_000
        dropped_s = session.dropped / 16_000
        done = Done(state.received, received_s, received_s - dropped_s, 0.0, dropped_s, 0)
        await self._say(self._protocol.send(state.log.add(done)))


def always(fault: Fault) -> Iterable[Fault]:
    """The same fault for every connection."""
    return itertools.repeat(fault)
