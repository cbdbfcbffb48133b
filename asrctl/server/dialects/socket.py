"""A WebSocket of a dialect: frames to its state machine, and back."""

from __future__ import annotations

import asyncio

from starlette.websockets import WebSocket

from asrctl.policy.token_bucket import TokenBucket
from asrctl.protocol.codes import CloseCode
from asrctl.protocol.dialect import Dialect
from asrctl.protocol.server import Close
from asrctl.server.dialects.driver import Driver
from asrctl.server.hub import Hub
from asrctl.server.shell import SocketShell

_BURST_S = 4.0
_PAUSE_S = 0.02
SESSIONLESS_PER_S = 10
"""Messages of a socket without a session: to settle what its session shall be like, and to stay."""


class DialectSocket(SocketShell):
    """A WebSocket that was accepted; a `Transport` of its driver.

    Clients of other protocols know of no limit on messages: one that goes too fast is read more slowly. Only
    control frames, and messages without a session, which nobody needs so many of, end the socket.
    """

    def __init__(self, websocket: WebSocket, hub: Hub, name: str, dialect: Dialect) -> None:
        """See `Driver`."""
        super().__init__(websocket, hub)
        self.driver = Driver(name, dialect, hub, self)
        rate = hub.options.limits.max_messages_per_s
        self._messages = TokenBucket(rate, _BURST_S, hub.clock)
        self._controls = TokenBucket(rate, _BURST_S, hub.clock)
        self._sessionless = TokenBucket(SESSIONLESS_PER_S, _BURST_S, hub.clock)

    def send(self, frame: str | bytes, *, droppable: bool) -> None:
        """Queue a frame."""
        if not (droppable and self._is_crowded):
            self._queue(frame)

    def finish(self, code: int, reason: str) -> None:
        """Close after what is queued."""
        self._end(Close(code, reason))

    @property
    def _has_session(self) -> bool:
        return self.driver.has_session

    async def _pace(self) -> None:
        if not (self._has_session or self._sessionless.take()):
            self.driver.close(CloseCode.POLICY, "too_many_messages")
        while not self._messages.take():
            await asyncio.sleep(_PAUSE_S)

    def _take_text(self, text: str) -> None:
        self.driver.receive_text(text)

    def _take_binary(self, data: bytes) -> None:
        self.driver.receive_binary(data)

    def _control(self, ping: bool) -> None:
        allowance = self._controls if self._has_session else self._sessionless
        if allowance.take():
            return
        if self.driver.closed and self._socket is not None:
            self._socket.abort()
        self.driver.close(CloseCode.POLICY, "too_many_messages")
        allowance.refill()

    def close(self, code: CloseCode, reason: str) -> None:
        """Close the socket, and end the session."""
        self.driver.close(code, reason)

    def leave(self) -> None:
        """The socket is gone."""
        self.driver.leave()
