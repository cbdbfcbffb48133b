"""The port of clients that speak Wyoming: TCP without HTTP, and bounds on what a stranger may do there."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import cast

from asrctl import __version__
from asrctl.policy.token_bucket import TokenBucket
from asrctl.protocol.codes import CloseCode
from asrctl.protocol.wyoming.dialect import WyomingDialect
from asrctl.protocol.wyoming.framing import encode
from asrctl.protocol.wyoming.info import ServedModel
from asrctl.server.connection_limiter import ConnectionLimiter
from asrctl.server.dialects.driver import Driver
from asrctl.server.dialects.registry import Registry
from asrctl.server.dialects.socket import SESSIONLESS_PER_S
from asrctl.server.hub import Hub
from asrctl.server.listener import bound

NAME = "wyoming"
_MAX_UNSENT_BYTES = 1 << 20
"""A client that does not read is cut off at so much."""
_SLICE_BYTES = 8 * 1024
"""What came is looked at in pieces of this size, between which others have their turn."""
_BURST_S = 4.0
_PAUSE_S = 0.02
_LINGER_S = 1.0
"""Closed at once, a connection would be reset by what is on its way, and the reason lost."""
_CLOSE_S = 5.0
"""A client that does not take what was sent before the end is cut off."""
_TOO_MANY = encode("error", {"text": "too many connections", "code": "overloaded"})


class WyomingPort:
    """Listens, and serves each connection as a dialect of its own. Belongs to the server's event loop."""

    def __init__(self, hub: Hub, limiter: ConnectionLimiter, registry: Registry) -> None:
        """Bind the port.

        Raises:
            AsrctlError: It cannot be had.
        """
        assert hub.options.wyoming_port is not None
        self.hub = hub
        self.limiter = limiter
        self.registry = registry
        self._socket = bound(hub.options.host, hub.options.wyoming_port, "--wyoming")
        self.address: str
        self.port: int
        self.address, self.port = self._socket.getsockname()[:2]
        self._server: asyncio.Server | None = None
        self.connections: set[WyomingConnection] = set()

    @property
    def url(self) -> str:
        """Where clients connect, as Home Assistant writes it."""
        host = self.hub.options.host
        return f"tcp://{f'[{host}]' if ':' in host else host}:{self.port}"

    async def start(self) -> None:
        """Take connections from here on."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: WyomingConnection(self), sock=self._socket)
        self.hub.journal.note("listening", url=self.url, protocol=NAME)

    def dialect(self) -> WyomingDialect:
        """What a connection begins with."""
        shown, limits = self.hub.options.shown, self.hub.options.limits
        model = ServedModel(shown.name, shown.multilingual, __version__)
        return WyomingDialect(model, limits.idle_timeout_s, self.hub.clock)

    def close(self) -> None:
        """End at once."""
        if self._server is not None:
            self._server.close()
        self._socket.close()
        for connection in list(self.connections):
            connection.transport.abort()


class WyomingConnection(asyncio.Protocol):
    """One connection; a `Transport` of its driver, and a `LimitedConnection`.

    One without a session has `handshake_timeout_s` from its last whole event to the next.
    """

    transport: asyncio.Transport

    def __init__(self, port: WyomingPort) -> None:
        """As asyncio makes it."""
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._dialect = port.dialect()
        self._driver = Driver(NAME, self._dialect, port.hub, self)
        self._events = TokenBucket(port.hub.options.limits.max_messages_per_s, _BURST_S, port.hub.clock)
        self._idle_events = TokenBucket(SESSIONLESS_PER_S, _BURST_S, port.hub.clock)
        self._unpaid = 0
        self._backlog = bytearray()
        self._looking = False
        self._stalled = False
        self._is_last = False
        """Whether nothing more comes from the client, and it waits for a transcript."""
        self._kept = ExitStack()
        self.idle_since_s = self._loop.time()

    @property
    def is_accepted(self) -> bool:
        """Whether it has a session."""
        return self._driver.has_session

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Refuse one that is too many."""
        self.transport = cast(asyncio.Transport, transport)
        self._port.connections.add(self)
        if self._port.limiter.enter(self):
            self._kept.enter_context(self._port.registry.kept(self._driver, may_wait=True))
        else:
            self._driver.leave()
            self.send(_TOO_MANY, droppable=False)
            self.finish(CloseCode.OVERLOAD, "too_many")

    def connection_lost(self, exc: Exception | None) -> None:
        """Give its place back."""
        self._backlog.clear()
        self._port.limiter.leave(self)
        self._port.connections.discard(self)
        self._kept.close()
        self._driver.leave()

    def data_received(self, data: bytes) -> None:
        """Take what came; what comes after the close is thrown away."""
        if not self._driver.closed:
            self._backlog += data
            self._look_soon()

    def eof_received(self) -> bool:
        """A client may say that it sends no more, and wait for what it asked: close then, else at once."""
        self._is_last = self._dialect.is_answering
        return self._is_last

    # Reading

    def _look_soon(self, delay_s: float = 0.0) -> None:
        """Look at what came, and read no more until that is done."""
        if self._looking:
            return
        self._looking = True
        self.transport.pause_reading()
        self._loop.call_later(delay_s, self._look)

    def _look(self) -> None:
        self._looking = False
        if self._driver.closed or self._dialect.is_waiting:  # then `send` goes on, with the transcript
            self._resume()
        elif not self._is_paid():
            self._look_soon(_PAUSE_S)
        else:
            self._look_at_piece()

    def _look_at_piece(self) -> None:
        piece, before = bytes(self._backlog[:_SLICE_BYTES]), self._dialect.events
        del self._backlog[:_SLICE_BYTES]
        self._driver.receive_binary(piece)
        if events := self._dialect.events - before:
            self._unpaid += events
            self.idle_since_s = self._loop.time()
            if not (self._driver.has_session or self._dialect.is_waiting or self._idle_events.take(events)):
                self._driver.close(CloseCode.POLICY, "too_many_messages")
        if self._backlog and not self._driver.closed:
            self._look_soon()
        else:
            self._resume()

    def _is_paid(self) -> bool:
        """Whether the client is within its allowance; one that goes too fast is read more slowly."""
        while self._unpaid and self._events.take():
            self._unpaid -= 1
        return not self._unpaid

    def _resume(self) -> None:
        if self._driver.closed:
            self._backlog.clear()
        self._stalled = self._dialect.is_waiting
        if not self._stalled:
            self.transport.resume_reading()

    # What the driver wants

    def send(self, frame: str | bytes, *, droppable: bool) -> None:
        """Send; one who does not read is cut off."""
        self.transport.write(frame if isinstance(frame, bytes) else frame.encode())
        if self.transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
            self._port.hub.journal.note("close", dialect=NAME, reason="slow_reader")
            self.transport.abort()
        elif self._stalled and not self._dialect.is_waiting:
            self._look_soon()
        elif self._is_last and not self._dialect.is_answering:
            self._loop.call_soon(self.transport.close)  # after what else there is to say

    def finish(self, code: int, reason: str) -> None:
        """Close as soon as the client can have read what was sent."""
        self._port.hub.metrics.closed.labels(str(int(code))).inc()
        self.idle_since_s = self._loop.time()
        self._backlog.clear()
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()
        self.transport.resume_reading()
        self._loop.call_later(_LINGER_S, self.transport.close)
        self._loop.call_later(_CLOSE_S, self.transport.abort)
