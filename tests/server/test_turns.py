"""Time for strangers: what never ends is cut, and what is too much waits for those who have a session."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from asrctl.providers.base import ModelSpec
from asrctl.server.sockets import WebSocketConnection

from .servers import PATIENCE_S, Running, Talker, open_socket, options_for, running, spoken, until
from .test_strangers import GET, UPGRADE, link_to, rest, server

Scripted = Callable[..., ModelSpec]
__all__ = ["server"]


@pytest.mark.parametrize(
    "sent", [b"\x81", b"\x01\x81" + bytes(4) + b"{\x80"], ids=["a frame", "a fragment before it"]
)
def test_messages_that_do_not_come(server: Running, sent: bytes) -> None:
    """One that has begun and does not go on is no reason to keep a socket that may be idle for long."""
    with link_to(server) as link:
        link.sendall(UPGRADE.replace(b"/v1/stream", b"/v1/realtime") + b"\r\n")
        until(lambda: b"\r\n\r\n" in link.recv(1 << 16, socket.MSG_PEEK))
        link.sendall(sent + b"\xff" + (900_000).to_bytes(8) + bytes(4) + b"a" * 1000)
        assert b" 101 " in rest(link)


def test_messages_that_come_slowly(shared: Running) -> None:
    """One that goes on is waited for; once it is complete, nothing is waited for."""
    with link_to(shared) as link:
        link.sendall(UPGRADE.replace(b"/v1/stream", b"/v1/realtime") + b"\r\n")
        until(lambda: b"\r\n\r\n" in link.recv(1 << 16, socket.MSG_PEEK))
        [connection] = [each for each in shared.server.doorkeeper._peers if each.is_accepted]
        assert isinstance(connection, WebSocketConnection)
        link.sendall(b"\x81\xff" + (40_000).to_bytes(8) + bytes(4) + b"a" * 30_000)
        until(lambda: shared.call(lambda: connection._held_bytes) >= 30_000)
        shared.call(lambda: connection._check_slow(10_000))
        assert connection.is_accepted
        link.sendall(b"a" * 10_000)
        until(lambda: shared.call(lambda: connection._slow) is None)
        assert connection.is_accepted


CHUNKED = b"POST /inference HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
FORM = b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"0\r\n", b"a:b\r\n" * 1000),
        (b"0\r\na:", b"b" * 4000),
        (b"", b"1\r\n-\r\n" * 1000),
        (b"1;", b"x" * 4000),
    ],
    ids=["headers behind it", "a long header behind it", "tiny chunks", "a long chunk extension"],
)
def test_what_is_around_a_body(server: Running, begin: bytes, more: bytes) -> None:
    """It is no way to send without a bound: what is not the body itself may not be more than that."""
    with link_to(server) as link, pytest.raises(OSError):
        link.sendall(CHUNKED + FORM + begin)
        for _ in range(10_000):
            link.sendall(more)


def test_an_upload_in_chunks(server: Running) -> None:
    """Chunks as clients make them are no such thing, however often they come on a connection."""
    chunk = b"40\r\n" + b"-" * 64 + b"\r\n"
    with link_to(server) as link:
        for _ in range(3):
            link.sendall(CHUNKED + FORM)
            link.sendall(chunk * 2000 + b"0\r\n\r\n")
            until(lambda: b"well-formed" in link.recv(1 << 16))


def test_many_requests_at_once(server: Running) -> None:
    """A client that sends requests by the hundred before the first is answered is cut."""
    with link_to(server) as link:
        link.sendall((GET + b"\r\n") * 150)
        assert rest(link).count(b"HTTP/1.1 200 ") < 20


def test_requests_take_turns(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the server cares to answer at a time wait, and are answered then."""

    class Purse:
        is_open, asked = False, 0

        def take(self) -> bool:
            self.asked += 1
            return self.is_open

    purse = Purse()
    with link_to(server) as link:
        until(lambda: len(server.server.doorkeeper))
        connection = next(iter(server.server.doorkeeper._peers))
        monkeypatch.setattr(type(connection), "requests", purse)
        link.sendall(GET + b"\r\n")
        until(lambda: purse.asked > 2)
        link.setblocking(False)
        with pytest.raises(BlockingIOError):
            link.recv(1)
        link.settimeout(PATIENCE_S)
        purse.is_open = True
        assert link.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


def test_frames_without_a_session_take_turns(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood before a session begins is looked at bit by bit: it keeps nobody waiting who has one."""

    class Purse:
        asked = 0

        def take(self) -> bool:
            self.asked += 1
            return False

    purse = Purse()
    with running(options_for(scripted())) as server:
        link = open_socket(server.url)
        [connection] = [each for each in server.server.doorkeeper._peers if each.is_accepted]
        monkeypatch.setattr(type(connection), "strangers_frames", purse)
        for _ in range(100):
            link.ping()
        until(lambda: purse.asked > 2)
        with Talker(server.url, spoken(1, 2)) as talker:  # its frames cost nothing once it has a session
            talker.finish()
        assert talker.words == ["w1", "w2"]
        link.close_timeout = 0.0
        link.close()
