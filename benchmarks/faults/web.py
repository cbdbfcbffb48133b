"""Strangers at the web port who say nothing, or nothing that ends."""

from __future__ import annotations

import asyncio
import os
import socket
import struct

from benchmarks.faults.kinds import kind
from benchmarks.faults.wire import Link

GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
CLIENT_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(200)
_NO_LINGER = struct.pack("ii", 1, 0)
_PIECE = 1 << 14


# Connections that say nothing, or nothing of HTTP


@kind("web", 200)
async def silent(link: Link) -> None:
    """Connects and says nothing."""


@kind("web", 40)
async def churn(link: Link) -> None:
    """Connects and closes, again and again."""
    while link.busy:
        other = await link.another("web")
        other.writer.close()
        await asyncio.sleep(0.01)


@kind("web", 40)
async def reset_churn(link: Link) -> None:
    """Connects and resets, in the middle of a request."""
    while link.busy:
        other = await link.another("web")
        other.writer.write(GET)
        other.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        other.close()
        await asyncio.sleep(0.01)


@kind("web")
async def half_closed_at_once(link: Link) -> None:
    """Ends its direction and listens for ever."""
    link.writer.write_eof()


@kind("web")
async def half_closed_in_a_request(link: Link) -> None:
    """The same in the middle of a request's headers."""
    await link.send(GET)
    link.writer.write_eof()


@kind("web")
async def one_byte(link: Link) -> None:
    """One letter of a request."""
    await link.send(b"G")


@kind("web")
async def garbage(link: Link) -> None:
    """Random bytes."""
    await link.flood(os.urandom(_PIECE))


@kind("web")
async def tls_hello_on_plain_port(link: Link) -> None:
    """Wants TLS where there is none."""
    await link.send(CLIENT_HELLO)


@kind("web")
async def http2_preface(link: Link) -> None:
    """Knows the server to speak HTTP/2."""
    await link.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))


@kind("web")
async def other_protocols(link: Link) -> None:
    """SSH, SMTP, Redis, SOCKS, an event of Wyoming."""
    first = (
        b"SSH-2.0-x\r\n",
        b"EHLO x\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"\x05\x01\x00",
        b'{"type":"describe"}\n',
    )
    await link.send(link.dice.choice(first))


@kind("web")
async def zeros_without_a_line(link: Link) -> None:
    """NUL bytes, never a line's end."""
    await link.flood(bytes(_PIECE))


@kind("web")
async def blank_lines(link: Link) -> None:
    """Empty lines before a request that never comes."""
    await link.flood(b"\r\n" * 4096)


@kind("web")
async def blank_lines_dripped(link: Link) -> None:
    """The same, slowly."""
    await link.drip(b"\r\n")


# Requests without an end


@kind("web")
async def slow_headers(link: Link) -> None:
    """A header, byte by byte."""
    await link.send(GET)
    await link.drip(b"X-A: b\r\n")


@kind("web")
async def endless_headers(link: Link) -> None:
    """One header after the other."""
    await link.send(GET)
    await link.flood(b"X-A: b\r\n" * 1024)


@kind("web")
async def endless_header_line(link: Link) -> None:
    """One header without an end."""
    await link.send(GET + b"X-A: ")
    await link.flood(b"a" * _PIECE)


@kind("web")
async def endless_header_name(link: Link) -> None:
    """One name without a colon."""
    await link.send(GET)
    await link.flood(b"a" * _PIECE)


@kind("web")
async def endless_target(link: Link) -> None:
    """A path without an end."""
    await link.send(b"GET /")
    await link.flood(b"a" * _PIECE)


@kind("web")
async def endless_target_dripped(link: Link) -> None:
    """The same, slowly."""
    await link.send(b"GET /")
    await link.drip(b"a")


@kind("web")
async def endless_method(link: Link) -> None:
    """A method without an end."""
    await link.flood(b"GET" * 4096)


@kind("web")
async def folded_headers(link: Link) -> None:
    """Continuation lines, as HTTP had long ago."""
    await link.send(GET + b"X-A: b\r\n")
    await link.flood(b" folded\r\n" * 1024)


@kind("web")
async def two_lengths(link: Link) -> None:
    """Content-Length twice, and a transfer encoding besides: whoever is in front reads it otherwise."""
    head = b"POST /inference HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 99\r\n"
    await link.send(head + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\n")


@kind("web")
async def strange_versions(link: Link) -> None:
    """HTTP/0.9, HTTP/1.0 without a host, versions to come."""
    lines = (b"GET /\r\n", b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n")
    await link.send(link.dice.choice(lines))


@kind("web")
async def strange_methods(link: Link) -> None:
    """CONNECT, TRACE, OPTIONS *, BREW."""
    methods = (b"CONNECT a:1", b"TRACE /", b"OPTIONS *", b"BREW /", b"DELETE /v1/stream", b"PUT /asr")
    await link.send(link.dice.choice(methods) + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")


@kind("web")
async def kept_alive(link: Link) -> None:
    """One good request, then silence."""
    await link.send(GET + b"\r\n")


@kind("web")
async def second_request_dripped(link: Link) -> None:
    """One good request; the next never ends."""
    await link.send(GET + b"\r\n" + GET)
    await link.drip(b"X-A: b\r\n")


@kind("web")
async def pipelined_and_never_read(link: Link) -> None:
    """Requests by the thousand, no answer is read."""
    await link.flood((GET + b"\r\n") * 200)


@kind("web")
async def pipelined_pages(link: Link) -> None:
    """The same with pages that are long."""
    pages = (b"/", b"/metrics", b"/capabilities", b"/page/app.js")
    await link.flood(b"".join(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % page for page in pages) * 20)


@kind("web")
async def slow_reader(link: Link) -> None:
    """One long page, read a byte at a time."""
    link.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    await link.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 8)
    while link.busy:
        await link.reader.read(1)
        await asyncio.sleep(0.5)


@kind("web", 20)
async def requests_as_fast_as_answered(link: Link) -> None:
    """A good client of /metrics with no patience at all."""
    while link.busy:
        await link.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        if not await link.reader.read(1 << 16):
            return
