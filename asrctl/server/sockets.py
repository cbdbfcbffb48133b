"""Connections: how much a stranger may say, and how it is looked at.

Thin layers over uvicorn's protocols, which have no such bounds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from asrctl.server.doorkeeper import Doorkeeper
from asrctl.server.files.paths import takes_body
from asrctl.server.long_messages import LongMessages

MAX_HEADER_BYTES = 16 * 1024
"""All of a request but for its body."""
_MAX_HEADERS = 100
_MAX_LINE_BYTES = 8 * 1024
"""What the WebSocket library takes of a request; it says nothing at all to more."""
_SLICE_BYTES = 8 * 1024
"""Frames are looked at in pieces of this size, between which others have their turn."""
_MAX_BACKLOG_BYTES = 1 << 20
_MAX_AFTER_CLOSE_BYTES = 1 << 16
"""What a client may have on its way when the server closes its socket."""
_LINGER_S = 1.0
"""Closed at once, a connection would be reset by what is on its way, and the reason lost."""


CONNECTION = "asrctl.connection"
"""Among the extensions of an ASGI scope, the `HttpConnection` that it came through."""
_DRAIN_S = 5.0
"""So long is thrown away what is on its way of a body when the answer is there already: closed at once, the
connection would be reset, and the answer lost."""
SOCKET = "asrctl.socket"
"""Among the extensions of an ASGI scope, the `WebSocketConnection` that it came through."""


class HttpConnection(HttpToolsProtocol):
    """HTTP: small requests, with a body where one is taken; each resets the time that a connection has."""

    doorkeeper: Doorkeeper
    """Set in a subclass, by `protocols`."""

    is_accepted = False

    def __init__(self, *args: Any, **options: Any) -> None:
        """As uvicorn makes it."""
        super().__init__(*args, **options)
        self.idle_since_s = self.loop.time()
        self._unread_bytes = 0
        self._refused = False
        self._is_too_many = False
        self._in_body = False
        self._draining: asyncio.TimerHandle | None = None
        self._closes = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse one that is too many."""
        super().connection_made(transport)
        if not self.doorkeeper.enter(self):
            self._is_too_many = True  # it is told once it has asked: some clients take no answer before that
            self.loop.call_later(_LINGER_S, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give its place back."""
        self.doorkeeper.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Refuse a request that is too long before it is looked at; bodies are bounded by who reads them."""
        if self._refused:
            return
        if self._is_too_many:
            self._refuse(503, "too many connections", b"retry-after: 1\r\n")
            return
        if self._in_body:
            self.idle_since_s = self.loop.time()
            super().data_received(data)
            return
        room = MAX_HEADER_BYTES - self._unread_bytes
        self._unread_bytes += len(data)
        if len(data) <= room:
            super().data_received(data)
            return
        if room:
            super().data_received(data[:room])
        if self.transport.get_protocol() is not self:
            self.transport.abort()  # a flood of frames before the upgrade was answered
            return
        if self._in_body:
            self.data_received(data[room:])
        elif not self._refused:
            self._refuse(431, "the request is too long")

    def on_headers_complete(self) -> None:
        """Refuse what no page takes."""
        if self._refused:
            return
        has_body = takes_body(self.url) and self.parser.get_method() != b"GET"
        if problem := _problem(self.url, self.headers, has_body):
            self._refuse(*problem)
            return
        super().on_headers_complete()
        self._in_body = has_body
        if has_body and not self.parser.should_upgrade():
            self.scope["extensions"] = {CONNECTION: self}  # type: ignore[dict-item]
            self._closes = not self.cycle.keep_alive
            self.cycle.keep_alive = True  # it is closed here, when the body has been read

    def on_body(self, body: bytes) -> None:
        """There is none where the request was refused."""
        if self.cycle is not None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The next request begins."""
        self._unread_bytes = 0
        self._in_body = False
        if self._draining is not None:
            self._draining.cancel()
            self._draining = None
            if self._closes:
                self.transport.close()
        if self.cycle is not None:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Its time begins again; if the request has not ended yet, what is left of it is thrown away."""
        self.idle_since_s = self.loop.time()
        super().on_response_complete()
        if not self.cycle.response_complete:
            return  # the next request is under way already
        if self._in_body:
            self._draining = self.loop.call_later(_DRAIN_S, self.transport.close)
        elif self._closes:
            self.transport.close()

    def handle_websocket_upgrade(self) -> None:
        """Hand over to the other protocol, unless the request was refused."""
        if not self._refused:
            super().handle_websocket_upgrade()

    def _refuse(self, status: int, message: str, headers: bytes = b"") -> None:
        """Answer, and close as soon as the client can have read it: what it still sends is thrown away."""
        self._refused = True
        body = f"{message}\n".encode()
        self.transport.write(
            b"HTTP/1.1 %d \r\ncontent-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n%b\r\n%b"
            % (status, len(body), headers, body)
        )
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER_S, self.transport.close)


def _problem(
    url: bytes, headers: list[tuple[bytes, bytes]], has_body: bool = False
) -> tuple[int, str] | None:
    """What is wrong with a request, by its headers; None if nothing is."""
    longest = max((len(name) + len(value) + 2 for name, value in headers), default=0)
    if len(headers) > _MAX_HEADERS or max(longest, len(url) + 20) > _MAX_LINE_BYTES:
        return 431, "the request is too long"
    for name, value in headers if not has_body else ():
        if name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0"):
            return 413, "no page takes a body"
    return None


class _PacedTransport:
    """A transport that is read again only when what was read has been looked at."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._wanted = True
        self.held = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def pause_reading(self) -> None:
        self._wanted = False
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._wanted = True
        if not self.held:
            self._transport.resume_reading()

    def hold(self, held: bool) -> None:
        """Do not read, whoever wants to; or read again if somebody does."""
        self.held = held
        if held or not self._wanted:
            self._transport.pause_reading()
        elif not self._transport.is_closing():
            self._transport.resume_reading()


class WebSocketConnection(WebSocketsSansIOProtocol):
    """A WebSocket whose frames are looked at piece by piece, and whose control frames are told of."""

    doorkeeper: Doorkeeper
    long_messages: LongMessages
    """Both set in a subclass, by `protocols`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """As uvicorn makes it."""
        super().__init__(*args, **options)
        self.idle_since_s = self.loop.time()
        self.scope: Any = None
        self.on_control: Callable[[bool], None] = lambda ping: None
        """Told of each control frame and fragment; True for a ping."""
        self._backlog = bytearray()
        self._bytes_after_close = 0
        self._paced: _PacedTransport | None = None
        self._may_be_long = False

    @property
    def is_accepted(self) -> bool:
        """Whether it was let in, and is not being closed."""
        return self.handshake_complete and not self.close_sent and not self.transport.is_closing()

    def connection_made(self, transport: Any) -> None:
        """Take the connection over."""
        self._paced = _PacedTransport(transport)
        super().connection_made(self._paced)  # type: ignore[arg-type]
        if isinstance(before := transport.get_protocol(), HttpConnection):
            self.idle_since_s = before.idle_since_s
            self.doorkeeper.replace(before, self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give its place back."""
        self.doorkeeper.leave(self)
        self.long_messages.leave(self)
        self._backlog.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; look at it in pieces."""
        idle = not self._backlog
        self._backlog += data
        if len(self._backlog) > _MAX_BACKLOG_BYTES:
            self.abort()
        elif idle:
            self._look()

    def _look(self) -> None:
        piece = bytes(self._backlog[:_SLICE_BYTES])
        if not piece:
            return
        if self.close_sent and self._too_much_after_close(len(piece)):
            self._backlog.clear()
            return
        super().data_received(piece)
        del self._backlog[:_SLICE_BYTES]
        if self.transport.is_closing():
            self._backlog.clear()
            return
        if self._may_be_long and not self.long_messages.fits(self, self._held_bytes):
            self.conn.fail(1013, "too many long messages")
            self.handle_parser_exception()
            return
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.abort()  # a request that the library does not understand, and does not answer
            return
        more = bool(self._backlog)
        if self._paced is not None and self._paced.held != more:
            self._paced.hold(more)
        if more:
            self.loop.call_soon(self._look)

    def allow_long(self, most_bytes: int) -> None:
        """Let messages come that are longer than usual, as far as there is room for those of all sockets."""
        self._may_be_long = True
        for name in ("max_message_size", "max_size"):  # the second before version 15.1 of websockets
            if hasattr(self.conn, name):
                setattr(self.conn, name, most_bytes)

    @property
    def _held_bytes(self) -> int:
        """What is held of a message that is not complete."""
        return len(self.conn.reader.buffer) + sum(map(len, self.frames))

    def _too_much_after_close(self, length: int) -> bool:
        """Whether a client goes on as if nothing was; it is cut as soon as it can have read why."""
        is_first = self._bytes_after_close <= _MAX_AFTER_CLOSE_BYTES
        self._bytes_after_close += length
        if self._bytes_after_close <= _MAX_AFTER_CLOSE_BYTES:
            return False
        if is_first:
            self.loop.call_later(_LINGER_S, self.abort)
        return True

    def handle_connect(self, event: Any) -> None:
        """Let the application know whose request it is."""
        super().handle_connect(event)
        if self.scope is not None:
            self.scope["extensions"][SOCKET] = self

    def handle_ping(self) -> None:
        """Have it counted, and answer."""
        self.on_control(True)
        super().handle_ping()

    def handle_pong(self, event: Any) -> None:
        """Have it counted."""
        self.on_control(False)
        super().handle_pong(event)

    def handle_cont(self, event: Any) -> None:
        """Have a fragment counted; with the last one a message is whole."""
        if not event.fin:
            self.on_control(False)
        super().handle_cont(event)

    def handle_text(self, event: Any) -> None:
        """Have the first fragment of a message counted like the others."""
        if not event.fin:
            self.on_control(False)
        super().handle_text(event)

    def handle_bytes(self, event: Any) -> None:
        """Have the first fragment of a message counted like the others."""
        if not event.fin:
            self.on_control(False)
        super().handle_bytes(event)

    def abort(self) -> None:
        """Cut the connection."""
        self._backlog.clear()
        self.transport.abort()


def protocols(doorkeeper: Doorkeeper) -> tuple[type[HttpConnection], type[WebSocketConnection]]:
    """The two protocols of one server, for uvicorn, which makes them."""

    class Http(HttpConnection):
        pass

    class WebSocket(WebSocketConnection):
        pass

    Http.doorkeeper = WebSocket.doorkeeper = doorkeeper
    WebSocket.long_messages = LongMessages()
    return Http, WebSocket
