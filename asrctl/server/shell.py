"""A WebSocket that was accepted: read all the time, written to within a bound, until it is closed."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections import deque

from starlette.websockets import WebSocket, WebSocketDisconnect

from asrctl.protocol.codes import CloseCode
from asrctl.protocol.server import Close
from asrctl.server.hub import Hub
from asrctl.server.sockets import SOCKET, WebSocketConnection

MAX_UNSENT_BYTES = 1 << 20
"""A client that does not read is cut off at so much."""
_FEW_UNSENT = 8
"""Beyond so many messages unsent, what can be left out is left out."""
_CLOSE_TIMEOUT_S = 5.0
"""How long a client has to take what is sent before the close frame."""


class SocketShell(ABC):
    """What goes in and out; what it means is for the classes below."""

    def __init__(self, websocket: WebSocket, hub: Hub) -> None:
        self._websocket = websocket
        self._hub = hub
        self._unsent: deque[str | bytes] = deque()
        self._unsent_bytes = 0
        self._close: Close | None = None
        self._gone_code: object = None
        self._wake = asyncio.Event()
        self._socket: WebSocketConnection | None = websocket.scope.get("extensions", {}).get(SOCKET)
        if self._socket is not None:
            self._socket.on_control = self._control
            self._socket.has_session = lambda: self._has_session

    async def run(self) -> None:
        """Serve the socket until it is gone."""
        writer = asyncio.create_task(self._write())
        reader = asyncio.create_task(self._read())
        try:
            await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
            if self._close is not None:
                await asyncio.wait((writer,), timeout=_CLOSE_TIMEOUT_S)
        finally:
            for task in (reader, writer):
                task.cancel()
            for outcome in await asyncio.gather(reader, writer, return_exceptions=True):
                if isinstance(outcome, Exception):
                    name, detail = type(outcome).__name__, str(outcome)[:200]
                    self._hub.journal.note("connection.failed", error=name, detail=detail)
            code = self._close.code if self._close is not None else self._gone_code
            self._hub.metrics.closed.labels(_code(code)).inc()
            self.leave()

    async def _read(self) -> None:
        """Take frames, as fast as they come: a socket that is not read never sees a pong."""
        while self._close is None:
            message = await self._websocket.receive()
            if message["type"] != "websocket.receive":
                self._gone_code = message.get("code")
                return
            await self._pace()
            if (data := message.get("bytes")) is not None:
                self._take_binary(data)
            else:
                self._take_text(message["text"])
            if (held_bytes := message.get("held_bytes", 0)) and self._socket is not None:
                self._socket.release(held_bytes)
            del message, data  # while the next one comes

    async def _write(self) -> None:
        """Send what is queued, then the close frame."""
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._unsent:
                    frame = self._unsent.popleft()
                    self._unsent_bytes -= len(frame)
                    if isinstance(frame, str):
                        await self._websocket.send_text(frame)
                    else:
                        await self._websocket.send_bytes(frame)
                if self._close is not None:
                    await self._websocket.close(self._close.code, self._close.reason)
                    return

    @property
    def _is_crowded(self) -> bool:
        """Whether the client reads too slowly for what it can do without."""
        return len(self._unsent) > _FEW_UNSENT

    def _queue(self, frame: str | bytes) -> None:
        if self._unsent_bytes > MAX_UNSENT_BYTES:
            self._unsent.clear()
            self._unsent_bytes = 0
            self.close(CloseCode.POLICY, "slow_reader")
            return
        self._unsent.append(frame)
        self._unsent_bytes += len(frame)
        self._wake.set()

    def _end(self, close: Close) -> None:
        """Send this close frame after what is queued; nothing more is read."""
        self._close = close
        self._wake.set()

    def allow_long(self, most_bytes: int) -> None:
        """Let longer messages come than usual."""
        if self._socket is not None:
            self._socket.allow_long(most_bytes)

    # For the classes below

    async def _pace(self) -> None:  # noqa: B027 the protocol may bound it already
        """Wait before the next message is taken, where a client goes too fast."""

    @property
    @abstractmethod
    def _has_session(self) -> bool:
        """Whether it belongs to somebody who was let in to a session."""

    @abstractmethod
    def _take_text(self, text: str) -> None: ...

    @abstractmethod
    def _take_binary(self, data: bytes) -> None: ...

    @abstractmethod
    def _control(self, ping: bool) -> None:
        """A control frame or a fragment came, which the socket answers by itself."""

    @abstractmethod
    def close(self, code: CloseCode, reason: str) -> None:
        """Close the socket."""

    @abstractmethod
    def leave(self) -> None:
        """The socket is gone; may be called twice."""


def _code(code: object) -> str:
    """A close code as a label; codes that clients make up are one."""
    known = {int(each) for each in CloseCode} | {1001, 1005, 1006}
    return str(code) if code in known else "other"
