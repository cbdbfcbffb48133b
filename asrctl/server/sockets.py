"""Connections before and beside sessions: how many there may be, and how long, how much and how often a
stranger may say something. Thin layers over uvicorn's protocols, which have no such bounds."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

MAX_HEADER_BYTES = 16 * 1024
"""All of a request, since no page takes a body."""
_MAX_HEADERS = 100
_MAX_LINE_BYTES = 8 * 1024
"""What the WebSocket library takes of a request; it says nothing at all to more."""
_SLICE_BYTES = 8 * 1024
"""Frames are looked at in pieces of this size, between which others have their turn."""
_MAX_BACKLOG_BYTES = 1 << 20
_MAX_AFTER_CLOSE_BYTES = 1 << 16
"""What a client may have on its way when the server closes its socket, and a little more."""


SOCKET = "asrctl.socket"
"""Among the extensions of an ASGI scope, the `WebSocketConnection` that it came through."""


class Guarded(Protocol):
    """A connection as the doorkeeper sees it."""

    transport: asyncio.Transport
    idle_since_s: float
    """Since when it has had no session and no answer, by the loop's clock."""

    @property
    def is_accepted(self) -> bool:
        """Whether it is a WebSocket that was let in, and is not being closed."""
        ...


class Doorkeeper:
    """Bounds connections in number, in all and for each address, and in time.

    Where there are too many, one that was not let in to a session makes way: the one that has waited longest,
    of the address that has most of them. A client that shakes hands at once gets in even during a flood.
    """

    def __init__(
        self, most: int, most_per_peer: int, timeout_s: float, refused: Callable[[], None] = lambda: None
    ) -> None:
        """Begin with none.

        Args:
            most: Connections at once.
            most_per_peer: The same for one address.
            timeout_s: How long one may be open without having been let in.
            refused: Told of each that had to go, or could not come in.
        """
        self._most, self._most_per_peer = most, most_per_peer
        self._timeout_s = timeout_s
        self._refused = refused
        self._peers: dict[Guarded, str] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def enter(self, connection: Guarded) -> bool:
        """A connection was made; False if there is no room and nobody makes way."""
        peer = peer_of(connection.transport)
        count = sum(other == peer for other in self._peers.values())
        if count >= self._most_per_peer and not self._make_way(peer):
            self._refused()
            return False
        if len(self._peers) >= self._most and not self._make_way(None):
            self._refused()
            return False
        self._peers[connection] = peer
        return True

    def replace(self, old: Guarded, new: Guarded) -> None:
        """An upgrade: another protocol has the connection."""
        if (peer := self._peers.pop(old, None)) is not None:
            self._peers[new] = peer

    def leave(self, connection: Guarded) -> None:
        """A connection is gone."""
        self._peers.pop(connection, None)

    def _make_way(self, peer: str | None) -> bool:
        strangers = [each for each in self._peers if not each.is_accepted]
        if peer is None and strangers:
            peer = Counter(self._peers[each] for each in strangers).most_common(1)[0][0]
        strangers = [each for each in strangers if self._peers[each] == peer]
        if not strangers:
            return False
        self._cut(min(strangers, key=lambda each: each.idle_since_s))
        self._refused()
        return True

    def sweep(self) -> None:
        """Cut those that have had their time, or do not take their last bytes; to be called once a second."""
        now_s = asyncio.get_running_loop().time()
        for connection in list(self._peers):
            if connection.is_accepted:
                connection.idle_since_s = now_s  # when it is closed, it has its time to close
            elif now_s - connection.idle_since_s >= self._timeout_s:
                self._cut(connection)

    def _cut(self, connection: Guarded) -> None:
        self.leave(connection)
        connection.transport.abort()


def peer_of(transport: asyncio.BaseTransport) -> str:
    """The address at the other end."""
    name = transport.get_extra_info("peername")
    return str(name[0]) if isinstance(name, tuple) else ""


class HttpConnection(HttpToolsProtocol):
    """HTTP: small requests without bodies, each of which resets the time that a connection has."""

    doorkeeper: Doorkeeper
    """Set in a subclass, by `protocols`."""

    is_accepted = False

    def __init__(self, *args: Any, **options: Any) -> None:
        """As uvicorn makes it."""
        super().__init__(*args, **options)
        self.idle_since_s = self.loop.time()
        self._unread_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse one that is too many."""
        super().connection_made(transport)
        if not self.doorkeeper.enter(self):
            self._refuse(503, "too many connections", b"retry-after: 1\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        """Give its place back."""
        self.doorkeeper.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Refuse a request that is too long before it is looked at."""
        if self.transport.is_closing():
            return
        self._unread_bytes += len(data)
        if self._unread_bytes > MAX_HEADER_BYTES:
            self._refuse(431, "the request is too long")
            return
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """Refuse what no page takes."""
        if self.transport.is_closing():
            return
        if problem := _problem(self.url, self.headers):
            self._refuse(*problem)
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """There is none where the request was refused."""
        if self.cycle is not None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The next request begins."""
        self._unread_bytes = 0
        if self.cycle is not None:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Its time begins again."""
        self.idle_since_s = self.loop.time()
        super().on_response_complete()

    def handle_websocket_upgrade(self) -> None:
        """Hand over to the other protocol, unless the request was refused."""
        if not self.transport.is_closing():
            super().handle_websocket_upgrade()

    def _refuse(self, status: int, message: str, headers: bytes = b"") -> None:
        body = f"{message}\n".encode()
        self.transport.write(
            b"HTTP/1.1 %d \r\ncontent-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n%b\r\n%b"
            % (status, len(body), headers, body)
        )
        self.transport.close()


def _problem(url: bytes, headers: list[tuple[bytes, bytes]]) -> tuple[int, str] | None:
    """What is wrong with a request, by its headers; None if nothing is."""
    longest = max((len(name) + len(value) + 2 for name, value in headers), default=0)
    if len(headers) > _MAX_HEADERS or max(longest, len(url) + 20) > _MAX_LINE_BYTES:
        return 431, "the request is too long"
    for name, value in headers:
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
    """A WebSocket whose frames are looked at piece by piece, and whose control frames are counted."""

    doorkeeper: Doorkeeper
    max_frames_per_s: int
    """Control frames and fragments; both are set in a subclass, by `protocols`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """As uvicorn makes it."""
        super().__init__(*args, **options)
        self.idle_since_s = self.loop.time()
        self.scope: Any = None
        self.on_control: Callable[[bool], None] = lambda ping: None
        """Told of each control frame and fragment; True for a ping."""
        self._backlog = bytearray()
        self._bytes_after_close = 0
        self._tokens = 4.0 * self.max_frames_per_s
        self._refilled_s = self.loop.time()
        self._paced: _PacedTransport | None = None

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
            self.abort()
            return
        super().data_received(piece)
        del self._backlog[:_SLICE_BYTES]
        if self.transport.is_closing():
            self._backlog.clear()
            return
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.abort()  # a request that the library does not understand, and does not answer
            return
        more = bool(self._backlog)
        if self._paced is not None and self._paced.held != more:
            self._paced.hold(more)
        if more:
            self.loop.call_soon(self._look)

    def _too_much_after_close(self, length: int) -> bool:
        self._bytes_after_close += length
        return self._bytes_after_close > _MAX_AFTER_CLOSE_BYTES

    def handle_connect(self, event: Any) -> None:
        """Let the application know whose request it is."""
        super().handle_connect(event)
        if self.scope is not None:
            self.scope["extensions"][SOCKET] = self

    def handle_ping(self) -> None:
        """Count it, and answer."""
        if self._may_control(ping=True):
            super().handle_ping()

    def handle_pong(self, event: Any) -> None:
        """Count it."""
        if self._may_control():
            super().handle_pong(event)

    def handle_cont(self, event: Any) -> None:
        """Count a fragment; a message is whole with the last one."""
        if self._may_control():
            super().handle_cont(event)

    def handle_text(self, event: Any) -> None:
        """Count the first fragment of a message like the others."""
        if event.fin or self._may_control():
            super().handle_text(event)

    def handle_bytes(self, event: Any) -> None:
        """Count the first fragment of a message like the others."""
        if event.fin or self._may_control():
            super().handle_bytes(event)

    def _may_control(self, *, ping: bool = False) -> bool:
        """Whether one more control frame or fragment is within the limit; else the socket is closed."""
        now_s, rate = self.loop.time(), self.max_frames_per_s
        self._tokens = min(4.0 * rate, self._tokens + (now_s - self._refilled_s) * rate)
        self._refilled_s = now_s
        if self._tokens < 1:
            if self.is_accepted:
                self.conn.send_close(1008, "too_many_messages")
                self.handle_parser_exception()
            else:
                self.abort()
            return False
        self._tokens -= 1
        self.on_control(ping)
        return True

    def abort(self) -> None:
        """Cut the connection."""
        self._backlog.clear()
        self.transport.abort()


def protocols(
    doorkeeper: Doorkeeper, max_frames_per_s: int
) -> tuple[type[HttpConnection], type[WebSocketConnection]]:
    """The two protocols of one server, for uvicorn, which makes them."""

    class Http(HttpConnection):
        pass

    class WebSocket(WebSocketConnection):
        pass

    Http.doorkeeper = WebSocket.doorkeeper = doorkeeper
    WebSocket.max_frames_per_s = max_frames_per_s
    return Http, WebSocket
