"""Connections that are WebSockets: how much a stranger may say, and how it is looked at.

A thin layer over uvicorn's protocol, which has no such bounds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from asrctl.policy.token_bucket import TokenBucket
from asrctl.protocol.fragments import FRAGMENT_BYTES, Fragments
from asrctl.protocol.openai.realtime.client_event import LongEvent
from asrctl.server.connection_limiter import ConnectionLimiter
from asrctl.server.long_messages import LongMessages
from asrctl.server.paced_transport import PacedTransport
from asrctl.server.requests import REQUESTS_BURST_S, REQUESTS_PER_S, HttpConnection

SOCKET = "asrctl.socket"
"""Among the extensions of an ASGI scope, the `WebSocketConnection` that it came through."""
_SLICE_BYTES = 8 * 1024
"""Frames are looked at in pieces of this size, between which others have their turn."""
_STRANGERS_SLICE_BYTES = 2 * 1024
"""Of a socket without a session, so that none of them owes for more frames than the others can wait for."""
_MAX_BACKLOG_BYTES = 1 << 20
_MAX_AFTER_CLOSE_BYTES = 1 << 16
"""What a client may have on its way when the server closes its socket."""
_LINGER_S = 5.0
"""A client has so long to answer a close frame. What it still sends of a message that was refused is thrown
away for so long: closed at once, the connection would be reset, and the reason lost."""
_FRAMES_PER_S = 1000
"""Of all sockets without a session together: they must not take the time of those who have one."""
_FRAMES_BURST_S = 3.0
_TURN_S = 0.02
_LEAST_MESSAGE_BYTES = 8 * 1024
"""An unfinished message that does not bring so much in half the time of a handshake is as good as none."""


class WebSocketConnection(WebSocketsSansIOProtocol):
    """A WebSocket whose frames are looked at piece by piece, and whose control frames are told of."""

    limiter: ConnectionLimiter
    long_messages: LongMessages
    strangers_frames: TokenBucket
    """Set in a subclass, by `protocols`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """As uvicorn makes it."""
        super().__init__(*args, **options)
        self.close_timeout = _LINGER_S  # uvicorn's
        self.idle_since_s = self.loop.time()
        self.scope: Any = None
        self.on_control: Callable[[bool], None] = lambda ping: None
        """Told of each control frame and fragment; True for a ping."""
        self.has_session: Callable[[], bool] = lambda: False
        self._unpaid = 0
        """Frames that were taken, and are not counted among those of sockets without a session."""
        self._backlog = bytearray()
        self._bytes_after_close = 0
        self._discards = False
        self._paced: PacedTransport | None = None
        self._may_be_long = False
        self._fragments: Fragments | None = None
        self._event: LongEvent | None = None
        """The message that comes in fragments, if it may be long and is text."""
        self._untaken_bytes = 0
        """Of long messages that are complete, and not released yet."""
        self._slow: asyncio.TimerHandle | None = None
        """When the message that has begun must have brought something; None between messages."""

    @property
    def is_accepted(self) -> bool:
        """Whether it was let in, and is not being closed."""
        return self.handshake_complete and not self.close_sent and not self.transport.is_closing()

    def connection_made(self, transport: Any) -> None:
        """Take the connection over."""
        self._paced = PacedTransport(transport)
        super().connection_made(self._paced)  # type: ignore[arg-type]
        if isinstance(before := transport.get_protocol(), HttpConnection):
            self.idle_since_s = before.idle_since_s
            self.limiter.replace(before, self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give its place back."""
        self.limiter.leave(self)
        self.long_messages.leave(self)
        self._stop_waiting()
        self._backlog.clear()
        self._event = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; look at it in pieces. First comes the request, as one piece."""
        if self._discards:
            self._hold(True)
            self.loop.call_later(_TURN_S, self._hold, False)
            return
        if self._fragments is None:
            self._fragments = Fragments(len(data))
        idle = not self._backlog
        self._backlog += data
        if len(self._backlog) > _MAX_BACKLOG_BYTES:
            self.abort()
        elif idle:
            self._look()

    def _look(self) -> None:
        piece = bytes(self._backlog[: _SLICE_BYTES if self.has_session() else _STRANGERS_SLICE_BYTES])
        if not piece:
            return
        if self.close_sent and self._too_much_after_close(len(piece)):
            self._discard()
            return
        if not self._is_paid():
            self._hold(True)
            self.loop.call_later(_TURN_S, self._look)
            return
        assert self._fragments is not None
        super().data_received(self._fragments.cut(piece))
        del self._backlog[: len(piece)]
        if self._discards or self.transport.is_closing():
            self._backlog.clear()
            return
        if not self._unfinished_bytes:
            self._stop_waiting()
        elif self._slow is None:
            self._await_more()
        if not self._has_room():
            self.conn.fail(1013, "too many long messages")
            self.handle_parser_exception()
            return
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.abort()  # a request that the library does not understand, and does not answer
            return
        self._hold(bool(self._backlog))
        if self._backlog:
            self.loop.call_soon(self._look)

    def _has_room(self) -> bool:
        """Whether what it holds of messages fits beside what the others hold."""
        is_stranger = not self.has_session()
        if not (is_stranger or self._may_be_long):
            return True
        return self.long_messages.fits(self, self._held_bytes, is_stranger=is_stranger)

    def _hold(self, held: bool) -> None:
        if self._paced is not None and self._paced.held != held:
            self._paced.hold(held)

    def _is_paid(self) -> bool:
        """Whether more may be looked at; sockets without a session have little time, all together."""
        if self.has_session():
            self._unpaid = 0
        while self._unpaid and self.strangers_frames.take():
            self._unpaid -= 1
        return not self._unpaid

    def allow_long(self, most_bytes: int) -> None:
        """Let events come that are longer than usual, as far as there is room for those of all sockets.

        To be called before the socket is accepted. Who takes such a message has to `release` it.
        """
        self._may_be_long = True
        if self._fragments is not None:
            self._fragments.most_bytes = most_bytes
        for name in ("max_message_size", "max_size"):  # the second before version 15.1 of websockets
            if hasattr(self.conn, name):
                setattr(self.conn, name, most_bytes)

    def release(self, held_bytes: int) -> None:
        """A message was taken that held so much."""
        self._untaken_bytes -= held_bytes
        if not self.disconnected:
            self._has_room()

    def _await_more(self) -> None:
        """A message has begun: it has to go on."""
        self._slow = self.loop.call_later(
            self.limiter.timeout_s / 2, self._check_slow, self._unfinished_bytes
        )

    def _check_slow(self, before_bytes: int) -> None:
        if self._unfinished_bytes - before_bytes < _LEAST_MESSAGE_BYTES:
            self.abort()
        else:
            self._await_more()

    def _stop_waiting(self) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    @property
    def _unfinished_bytes(self) -> int:
        """What came of a message that is not complete."""
        came = self._event.came_bytes if self._event is not None else sum(map(len, self.frames))
        header = self._fragments.unread_bytes if self._fragments is not None else 0
        return header + len(self.conn.reader.buffer) + came

    @property
    def _held_bytes(self) -> int:
        """What is held of messages."""
        held = self._event.held_bytes if self._event is not None else sum(map(len, self.frames))
        return len(self.conn.reader.buffer) + held + self._untaken_bytes

    def _too_much_after_close(self, length: int) -> bool:
        """Whether a client goes on as if nothing was; it is cut as soon as it can have read why."""
        self._bytes_after_close += length
        return self._bytes_after_close > _MAX_AFTER_CLOSE_BYTES

    def _discard(self) -> None:
        """Throw away what still comes, and cut the connection when the client can have read why."""
        self._discards = True
        self._backlog.clear()
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(_LINGER_S, self.abort)

    def handle_parser_exception(self) -> None:
        """Refuse a message for good. uvicorn closes at once, and so resets a client that is still sending."""
        close = self.conn.close_sent
        assert close is not None
        self.queue.put_nowait({"type": "websocket.disconnect", "code": close.code, "reason": close.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.read_paused = False
        self.transport.resume_reading()
        self._discard()

    def handle_connect(self, event: Any) -> None:
        """Let the application know whose request it is."""
        super().handle_connect(event)
        if self.scope is not None:
            self.scope["extensions"][SOCKET] = self

    def handle_ping(self) -> None:
        """Have it counted, and answer."""
        self._unpaid += 1
        self.on_control(True)
        super().handle_ping()

    def handle_pong(self, event: Any) -> None:
        """Have it counted."""
        self._unpaid += 1
        self.on_control(False)
        super().handle_pong(event)

    def handle_cont(self, event: Any) -> None:
        """Have a fragment counted; with the last one a message is whole."""
        self._note_fragment(event)
        super().handle_cont(event)
        self._gather()

    def handle_text(self, event: Any) -> None:
        """Have the first fragment of a message counted like the others."""
        self._note_fragment(event)
        if self._may_be_long and not event.fin:
            self._event = LongEvent()
        super().handle_text(event)
        self._gather()

    def handle_bytes(self, event: Any) -> None:
        """Have the first fragment of a message counted like the others."""
        self._note_fragment(event)
        super().handle_bytes(event)

    def _note_fragment(self, event: Any) -> None:
        """Those of full length, which may be ours, are bounded by the length of messages."""
        is_short = len(event.data) < FRAGMENT_BYTES
        self._unpaid += event.fin or is_short
        if event.fin:
            self._stop_waiting()
        elif is_short:
            self.on_control(False)

    def _gather(self) -> None:
        if self._event is not None:
            for data in self.frames:
                self._event.push(data)
            self.frames = []

    def send_receive_event_to_app(self) -> None:
        """A message is whole."""
        if self._event is None:
            super().send_receive_event_to_app()
            return
        self._gather()
        event, self._event = self._event, None
        if self.close_sent:
            return
        try:
            message = {"type": "websocket.receive", "text": event.end(), "held_bytes": event.held_bytes}
        except UnicodeDecodeError:
            self.conn.fail(1007, "not UTF-8")
            self.handle_parser_exception()
            return
        self._untaken_bytes += event.held_bytes
        self.queue.put_nowait(message)  # type: ignore[arg-type]
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def abort(self) -> None:
        """Cut the connection."""
        self._backlog.clear()
        self.transport.abort()


def protocols(limiter: ConnectionLimiter) -> tuple[type[HttpConnection], type[WebSocketConnection]]:
    """The two protocols of one server, for uvicorn, which makes them."""

    class Http(HttpConnection):
        pass

    class WebSocket(WebSocketConnection):
        pass

    Http.limiter = WebSocket.limiter = limiter
    Http.requests = TokenBucket(REQUESTS_PER_S, REQUESTS_BURST_S, time.monotonic)
    WebSocket.long_messages = LongMessages()
    WebSocket.strangers_frames = TokenBucket(_FRAMES_PER_S, _FRAMES_BURST_S, time.monotonic)
    return Http, WebSocket
