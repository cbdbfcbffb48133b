"""Handshakes by the hundred, whole, broken and unfinished: nobody feels them, and nothing is left of them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace

import psutil
from websockets.exceptions import WebSocketException

from asrctl.protocol.messages import Limits
from asrctl.providers.base import ModelSpec

from .servers import Running, Talker, check_account, open_socket, options_for, running, spoken, until

Scripted = Callable[..., ModelSpec]
REQUEST = (
    b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Protocol: asrctl.v1\r\n"
)
PIECES = (b"", b"GET", REQUEST, REQUEST[:60] + b"\x00\xff", REQUEST + b"\r\n")


def flood(server: Running, stack: ExitStack, count: int) -> None:
    """Connections that send pieces of a handshake, and stay."""
    for number in range(count):
        link = stack.enter_context(socket.create_connection(("127.0.0.1", server.server.port)))
        with suppress(OSError):  # the server may have had enough
            link.sendall(PIECES[number % len(PIECES)])


def test_a_flood_of_handshakes(scripted: Scripted) -> None:
    """While hundreds shake hands badly, a session has its words; afterwards every place is free."""
    options = options_for(scripted(), limits=replace(Limits(), handshake_timeout_s=1.0))
    with running(options) as server, ExitStack() as stack:
        good = stack.enter_context(Talker(server.url, spoken(1, 2, 3)))
        good.send(0.7)
        flood(server, stack, 300)
        for _ in range(100):
            with suppress(OSError, WebSocketException, EOFError):  # most are one too many
                open_socket(server.url).socket.close()
        good.send(0.7)
        done = good.finish()
        assert good.words == ["w1", "w2", "w3"]
        check_account(done)
        until(lambda: not server.server._app.connections and not len(server.server.hub.admission))
        with Talker(server.url, spoken(4)) as talker:
            talker.finish()
        assert talker.words == ["w4"]
        here = psutil.Process()
        until(lambda: not open_ends(here, server.server.port))


def open_ends(process: psutil.Process, port: int) -> list[object]:
    """Connections to a port that the server has not closed on its side."""
    return [
        link
        for link in process.net_connections("tcp")
        if link.status == psutil.CONN_ESTABLISHED and link.laddr and link.laddr.port == port
    ]
