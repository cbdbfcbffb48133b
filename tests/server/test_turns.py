"""Time for strangers: what never ends is cut, and what is too much waits for those who have a session."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from asrctl.providers.base import ModelSpec
from asrctl.server import server as server_module
from asrctl.server import sockets
from asrctl.server.requests import HttpConnection
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
        [connection] = [each for each in shared.server.limiter._peers if each.is_accepted]
        assert isinstance(connection, WebSocketConnection)
        link.sendall(b"\x81\xff" + (40_000).to_bytes(8) + bytes(4) + b"a" * 30_000)
        until(lambda: shared.call(lambda: connection._held_bytes) >= 30_000)
        shared.call(lambda: connection._check_slow(10_000))
        assert connection.is_accepted
        assert shared.call(lambda: connection._slow.when() - connection.loop.time()) <= 5.0  # half of 10 s
        link.sendall(b"a" * 10_000)
        until(lambda: shared.call(lambda: connection._slow) is None)
        assert connection.is_accepted


def test_messages_of_strangers_have_little_room(shared: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """What all of them hold of messages that have begun is bounded, also of messages of usual length."""
    begun = b"\x81\xff" + (900_000).to_bytes(8) + bytes(4) + b"a" * 300_000
    with ExitStack() as stack:
        links = []
        for number in range(3):
            links.append(stack.enter_context(link_to(shared)))
            links[-1].sendall(UPGRADE.replace(b"/v1/stream", b"/v1/realtime") + b"\r\n")
            until(lambda: b"\r\n\r\n" in links[-1].recv(1 << 16, socket.MSG_PEEK))
            connections = [each for each in shared.server.limiter._peers if each.is_accepted]
            room = connections[0].long_messages  # type: ignore[attr-defined]
            monkeypatch.setattr(room, "_most_bytes", 800_000)
            links[-1].sendall(begun)
            if number < 2:
                held = (number + 1) * 300_000
                until(lambda: shared.call(lambda: sum(room._held.values())) >= held)  # noqa: B023
        assert (1013).to_bytes(2) + b"too many long messages" in rest(links[-1])
        assert sum(each.is_accepted for each in shared.server.limiter._peers) == 2


def test_a_close_frame_that_is_not_answered(shared: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket of a client that does not take part in the end is cut all the same, and soon."""
    monkeypatch.setattr(sockets, "_LINGER_S", 0.1)
    with link_to(shared) as link:
        link.settimeout(5.0)  # the library's own time is 10 s
        link.sendall(UPGRADE + b"\r\n")
        until(lambda: b"\r\n\r\n" in link.recv(1 << 16, socket.MSG_PEEK))
        link.sendall(bytes((0x81, 0x87)) + bytes(4) + b"no JSON")
        assert b"\x88\n" + (1007).to_bytes(2) + b"bad_json" in rest(link)


def test_headers_behind_a_body_are_not_kept(shared: Running) -> None:
    """They are of no use to anybody, and each is an object."""
    with link_to(shared) as link:

        def asking() -> list[HttpConnection]:
            return [each for each in shared.server.limiter._peers if isinstance(each, HttpConnection)]

        link.sendall(CHUNKED + FORM)
        until(lambda: any(each._in_body for each in shared.call(asking)))
        link.sendall(b"0\r\n" + b"a:b\r\n" * 1000)
        until(lambda: any(each._around_bytes >= 5000 for each in shared.call(asking)))
        [connection] = shared.call(asking)
        assert len(connection.headers) == 3


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
        until(lambda: len(server.server.limiter))
        connection = next(iter(server.server.limiter._peers))
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
        [connection] = [each for each in server.server.limiter._peers if each.is_accepted]
        monkeypatch.setattr(type(connection), "strangers_frames", purse)
        for _ in range(100):
            link.ping()
        until(lambda: purse.asked > 2)
        with Talker(server.url, spoken(1, 2)) as talker:  # its frames cost nothing once it has a session
            talker.finish()
        assert talker.words == ["w1", "w2"]
        link.close_timeout = 0.0
        link.close()


def test_a_server_gives_back_what_is_free(
    scripted: Callable[..., ModelSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When connections are gone: what they leave behind is not seen otherwise."""
    calls = list[int]()
    monkeypatch.setattr(server_module, "_TIDY_S", 1)
    monkeypatch.setattr(server_module, "return_what_is_free", lambda: calls.append(1))
    with running(options_for(scripted())) as server:
        for _ in range(2):
            before = len(calls)  # those who asked whether it is ready may be gone one by one
            link_to(server).close()
            until(lambda: len(calls) > before)  # noqa: B023
