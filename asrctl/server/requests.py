"""Connections that speak HTTP: how much a stranger may say, and when it is looked at.

A thin layer over uvicorn's protocol, which has no such bounds.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from asrctl.policy.token_bucket import TokenBucket
from asrctl.server.connection_limiter import ConnectionLimiter

CONNECTION = "asrctl.connection"
"""Among the extensions of an ASGI scope, the `HttpConnection` that it came through."""
REQUESTS_PER_S = 100
"""Of all connections together: whoever has no session must not take the time of those who have one."""
REQUESTS_BURST_S = 3.0
MAX_HEADER_BYTES = 16 * 1024
"""All of a request but for its body."""
_MAX_HEADERS = 100
_PIECE_BYTES = 16 * 1024
"""So much of a body is looked at before it is seen whether it is one."""
_MAX_LINE_BYTES = 8 * 1024
"""What the WebSocket library takes of a request; it says nothing at all to more."""
_MAX_PIPELINED = 8
"""Requests that a client may send before the first of them is answered."""
_MAX_WAITING_BYTES = 1 << 16
_TURN_S = 0.02
"""Requests beyond the rate wait so long, and a body that is thrown away is read in pieces so far apart."""
_LINGER_S = 1.0
"""Closed at once, a connection would be reset by what is on its way, and the reason lost."""
_DRAIN_S = 5.0
"""So long is thrown away what is on its way of a body when the answer is there already: closed at once, the
connection would be reset, and the answer lost."""

_BODIES = (b"/v1/", b"/audio/", b"/realtime/", b"/inference", b"/asr", b"/detect-language", b"/render")
_NOT_HTTP = b"/v1/stream"
_AUTHORITY = re.compile(rb"https?://[^/?]*", re.IGNORECASE)
_SLASHES = re.compile(rb"/{2,}")


class HttpConnection(HttpToolsProtocol):
    """HTTP: small requests, with a body where one is taken; each resets the time that a connection has."""

    limiter: ConnectionLimiter
    requests: TokenBucket
    """Both set in a subclass, by `protocols`."""

    is_accepted = False

    def __init__(self, *args: Any, **options: Any) -> None:
        """As uvicorn makes it."""
        super().__init__(*args, **options)
        self.idle_since_s = self.loop.time()
        self._unread_bytes = 0
        self._waiting = bytearray()
        """What came and is not looked at yet."""
        self._body_bytes = self._around_bytes = 0
        """Of all bodies, and of what was around them: chunks' lengths, what follows the last one."""
        self._refused = False
        self._is_too_many = False
        self._in_body = False
        self._draining: asyncio.TimerHandle | None = None
        self._closes = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse one that is too many."""
        super().connection_made(transport)
        if not self.limiter.enter(self):
            self._is_too_many = True  # it is told once it has asked: some clients take no answer before that
            self.loop.call_later(_LINGER_S, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give its place back."""
        self.limiter.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Refuse a request that is too long before it is looked at; bodies are bounded by who reads them."""
        if self._refused:
            return
        if self._is_too_many:
            self._refuse(503, "too many connections", b"retry-after: 1\r\n")
            return
        if self._waiting or not (self._in_body or self._unread_bytes or self.requests.take()):
            self._wait(data)
            return
        if self._in_body:
            self._take_body(data)
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

    def _take_body(self, data: bytes) -> None:
        """In pieces, so that what is no body is noticed in time."""
        self.idle_since_s = self.loop.time()
        at = 0
        while self._in_body and not self._refused and at < len(data):
            piece, before = data[at : at + _PIECE_BYTES], self._body_bytes
            super().data_received(piece)
            at += len(piece)
            self._around_bytes += len(piece) - (self._body_bytes - before)
            if self._in_body and self._around_bytes > MAX_HEADER_BYTES + self._body_bytes:
                self._cut()
        if at < len(data) and not self._refused:
            self.data_received(data[at:])
        elif self._draining is not None:
            self._wait()

    def _wait(self, data: bytes = b"") -> None:
        """Look at this and at what comes later, when others had their turn."""
        if len(self._waiting) + len(data) > _MAX_WAITING_BYTES:
            self._refuse(503, "too many requests", b"retry-after: 1\r\n")
            return
        if not self._waiting:
            self.loop.call_later(_TURN_S, self._go_on)
        self._waiting += data
        self.transport.pause_reading()

    def _go_on(self) -> None:
        data, self._waiting = bytes(self._waiting), bytearray()
        if self.transport.is_closing():
            return
        self.transport.resume_reading()
        if data:
            self.data_received(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of what follows a body nothing is kept."""
        if not self._in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Refuse what no page takes."""
        if self._refused:
            return
        if len(self.pipeline) >= _MAX_PIPELINED:
            self._cut()
            return
        self.url = _plain_target(self.url)
        has_body = _takes_body(self.url) and self.parser.get_method() != b"GET"
        if problem := _problem(self.url, self.headers, has_body):
            self._refuse(*problem)
            return
        super().on_headers_complete()
        self._in_body = has_body
        if self.parser.should_upgrade():
            return
        self.scope["extensions"] = {CONNECTION: self}  # type: ignore[dict-item]
        if has_body:
            self._closes = not self.cycle.keep_alive
            self.cycle.keep_alive = True  # it is closed here, when the body has been read

    def on_body(self, body: bytes) -> None:
        """There is none where the request was refused."""
        self._body_bytes += len(body)
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

    def _cut(self) -> None:
        """End a connection of which others suffer, without an answer."""
        self._refused = True
        self.transport.abort()

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


def _plain_target(target: bytes) -> bytes:
    """A target without the server's name, which it may have, and with single slashes in its path: clients
    join a path to an address that ends with one."""
    path, mark, query = target.partition(b"?")
    if name := _AUTHORITY.match(path):
        path = path[name.end() :] or b"/"
    return _SLASHES.sub(b"/", path) + mark + query


def _takes_body(target: bytes) -> bool:
    """Whether a request with a body is looked at; others are refused by their headers."""
    return target.startswith(_BODIES) and not target.startswith(_NOT_HTTP)
