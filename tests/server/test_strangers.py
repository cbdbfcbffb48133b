"""Strangers: connections without a session are bounded in number, time and memory, whatever they say."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import pairwise

import pytest
from websockets.exceptions import InvalidStatus

from asrctl.policy.admission import AdmissionOptions
from asrctl.protocol.messages import Limits
from asrctl.providers.base import ModelSpec
from asrctl.server.connection_limiter import affordable
from asrctl.server.options import ServeOptions

from .servers import (
    PATIENCE_S,
    Running,
    Talker,
    check_account,
    open_socket,
    options_for,
    running,
    spoken,
    until,
)
from .test_abuse import closing

Scripted = Callable[..., ModelSpec]
UPGRADE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Protocol: asrctl.v1\r\n"
)
CUT_S = 30.0
"""Somebody who reads nothing is cut by then, also on a busy machine."""
GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that gives strangers a second."""
    from .servers import script

    spec = script(tmp_path_factory.mktemp("script") / "plain.json")
    limits = replace(Limits(), handshake_timeout_s=1.0, max_messages_per_s=50)
    with running(options_for(spec, limits=limits)) as server:
        yield server


def link_to(server: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.server.port), timeout=PATIENCE_S)


def rest(link: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := link.recv(1 << 16):
            data += piece
    return data


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (UPGRADE + b"X-Long: " + b"x" * 9000 + b"\r\n\r\n", 431),
        (UPGRADE + b"".join(b"X-%d: y\r\n" % n for n in range(130)) + b"\r\n", 431),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        (GET + b"a:b\r\n" * 4000, 431),
        (GET + b"Content-Length: 99999999\r\n\r\n", 413),
        (b"POST /v1/stream HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 413),
        (b"POST /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", 413),
        (UPGRADE + b"Content-Length: 7\r\n\r\n", 413),
    ],
    ids=[
        "a long line",
        "many headers",
        "a long path",
        "tiny headers without end",
        "a body to come",
        "a body",
        "chunks",
        "an upgrade with a body",
    ],
)
def test_requests_that_are_too_much(server: Running, request_: bytes, status: int) -> None:
    """What is too long, or has a body, is answered at once, and the connection closed."""
    with link_to(server) as link:
        link.sendall(request_)
        assert rest(link).startswith(b"HTTP/1.1 %d " % status)


def drip(server: Running, before: bytes, piece: bytes) -> float:
    """Send something, then a little now and then; returns when the server had enough of it."""
    with link_to(server) as link:
        started_s = time.monotonic()
        link.sendall(before)
        link.settimeout(0.05)
        while time.monotonic() - started_s < PATIENCE_S:
            try:
                if not link.recv(1 << 16):
                    break
            except TimeoutError:
                with contextlib.suppress(OSError):
                    link.sendall(piece)
            except OSError:
                break
        return time.monotonic() - started_s


@pytest.mark.parametrize(
    ("before", "piece"),
    [
        (b"", b""),
        (b"", b"G"),
        (GET, b"a: b\r\n"),
        (GET + b"\r\n" + GET, b"a: b\r\n"),
        (UPGRADE, b"a: b\r\n"),
        (b"\r\n", b"\r\n"),
    ],
    ids=["nothing", "letters", "headers", "a second request", "an upgrade", "empty lines"],
)
def test_whoever_takes_for_ever_is_cut(server: Running, before: bytes, piece: bytes) -> None:
    """A request that does not come to its end has the time of a handshake, whatever came before it."""
    assert drip(server, before, piece) < 10


def test_answers_that_are_not_read(server: Running) -> None:
    """A client that asks on and on and reads nothing is cut too."""
    with link_to(server) as link:
        link.settimeout(0.05)
        started_s = time.monotonic()
        while time.monotonic() - started_s < CUT_S:
            try:
                link.sendall((b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n") * 20)
            except TimeoutError:
                continue
            except OSError:
                break
        assert time.monotonic() - started_s < CUT_S
    until(lambda: not server.server.limiter or server.call(lambda: len(server.server.limiter)) == 0)


def few(scripted: Scripted, **more: object) -> ServeOptions:
    """Options of a server with room for few."""
    return options_for(scripted(), **{"limits": replace(Limits(), handshake_timeout_s=60.0), **more})


def test_a_newcomer_takes_the_place_of_a_stranger(scripted: Scripted) -> None:
    """Where there are too many connections, the one that has waited longest goes; sessions stay."""
    options = few(scripted, max_connections=16, max_connections_per_peer=16)
    options = replace(options, admission=AdmissionOptions(max_sessions=2))
    with running(options) as server, contextlib.ExitStack() as stack:
        good = stack.enter_context(Talker(server.url, spoken(1, 2)))
        good.send(0.5)
        strangers = [stack.enter_context(link_to(server)) for _ in range(200)]
        until(lambda: server.call(lambda: len(server.server.limiter)) == 16)
        late = stack.enter_context(Talker(server.url, spoken(3)))
        late.finish()
        done = good.finish()
        assert (good.words, late.words) == (["w1", "w2"], ["w3"])
        check_account(done)
        assert rest(strangers[0]) == b""
        assert server.metric('asrctl_rejected_total{reason="connections"}') >= 180


def test_sessions_do_not_make_way(scripted: Scripted) -> None:
    """Where all connections are sessions, a newcomer is told to come back."""
    options = few(scripted, max_connections_per_peer=2)
    with running(options) as server, Talker(server.url, b""), Talker(server.url, b""):
        with pytest.raises(InvalidStatus) as refused:
            open_socket(server.url)
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["Retry-After"] == "1"


def test_places_that_nobody_uses(scripted: Scripted) -> None:
    """Sockets without `start`, and lost sessions without speech, make way for somebody who is there."""
    options = few(scripted, admission=AdmissionOptions(max_sessions=2), resume_ttl_s=600.0)
    with running(options) as server, contextlib.ExitStack() as stack:
        mute = open_socket(server.url)
        stack.callback(mute.close)
        silent = Talker(server.url, bytes(3200)).connect()
        silent.send()
        until(lambda: server.session.state.received == 1600)
        silent.cut()
        until(lambda: server.session.detached_s is not None)
        first = stack.enter_context(Talker(server.url, spoken(1)))
        second = patient(server, spoken(2))
        stack.push(second)
        assert closing(mute) == (4408, "handshake_timeout")
        for talker in (first, second):
            talker.finish()
        assert (first.words, second.words) == (["w1"], ["w2"])


def patient(server: Running, audio: bytes) -> Talker:
    """A client that comes again until it is let in."""
    talker = Talker(server.url, audio)

    def is_in() -> bool:
        talker.try_connect()
        return talker.protocol.state == "open"

    until(is_in)
    return talker


def test_a_lost_session_without_speech_is_not_kept(scripted: Scripted) -> None:
    """One in which nothing was even sent ends with its socket, whatever its time to live."""
    with running(few(scripted, resume_ttl_s=600.0)) as server:
        talker = Talker(server.url, b"").connect()
        assert server.sessions == 1
        talker.cut()
        until(lambda: server.sessions == 0)


def test_lost_sessions_without_speech_end_soon(scripted: Scripted) -> None:
    """Of two that were lost, the one in which nothing was spoken is gone after a few seconds."""
    with running(few(scripted, resume_ttl_s=600.0)) as server:
        hub = server.server.hub
        for audio, samples, speech in ((bytes(3200), 1600, False), (spoken(1), 20_800, True)):
            talker = Talker(server.url, audio).connect()
            talker.send()
            held = hub.find(talker.protocol.session_id or "")
            assert held is not None
            until(lambda held=held, samples=samples: held.state.received == samples)
            until(lambda held=held, speech=speech: held.has_spoken == speech)
            talker.cut()
            until(lambda held=held: held.detached_s is not None)
        now = hub.clock
        hub.clock = lambda: now() + 4.0
        server.call(hub.tick)
        assert server.sessions == 2
        hub.clock = lambda: now() + 30.0
        until(lambda: server.sessions == 1)
        assert server.session.has_spoken


def test_a_session_with_speech_is_kept(scripted: Scripted) -> None:
    """It has something to lose: a full server turns newcomers away for as long as it may come back."""
    options = few(scripted, admission=AdmissionOptions(max_sessions=1), resume_ttl_s=600.0)
    with running(options) as server, Talker(server.url, spoken(1, 2)) as talker:
        talker.send(1.0)
        until(lambda: server.session.has_spoken)
        talker.cut()
        until(lambda: server.session.detached_s is not None)
        with pytest.raises(InvalidStatus):
            open_socket(server.url)
        talker.connect()
        talker.finish()
        assert talker.words == ["w1", "w2"]


def test_no_descriptor_is_left(scripted: Scripted) -> None:
    """When connections cannot be accepted any more the log says so once a second, and it goes on later."""
    with running(few(scripted)) as server, contextlib.ExitStack() as stack:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        links = [stack.enter_context(socket.socket()) for _ in range(20)]
        spare = socket.socket()
        limit = spare.fileno()
        spare.close()
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            for link in links:
                link.settimeout(PATIENCE_S)
                link.connect(("127.0.0.1", server.server.port))
            until(lambda: len(unexpected(server)) >= 3)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        lines = unexpected(server)
        times = [datetime.fromisoformat(line.split()[0].removeprefix("time=")) for line in lines]
        assert all((later - earlier).total_seconds() >= 0.99 for earlier, later in pairwise(times))
        assert "Too many open files" in lines[0] and "skipped=" in lines[1]
        with Talker(server.url, spoken(1)) as talker:
            talker.finish()
        assert talker.words == ["w1"]


def test_connections_are_no_more_than_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a process may have few, some stay free for workers and files."""
    for soft, connections in ((1024, 256), (256, 192), (20, 16), (resource.RLIM_INFINITY, 256)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert affordable(256) == connections


def unexpected(server: Running) -> list[str]:
    """Lines of the log about what nobody caught."""
    return [line for line in server.log.getvalue().splitlines() if "event=error.unexpected" in line]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8765", 200),
        ("127.0.0.1", 200),
        ("[::1]:8765", 200),
        ("mybox", 200),
        ("mybox.local:1", 200),
        ("example.org", 200),
        ("evil.example.com", 403),
        ("localhost.evil.example:8765", 403),
        ("[::1", 403),
    ],
)
def test_pages_have_a_name(scripted: Scripted, server: Running, host: str, status: int) -> None:
    """A web page whose name was made to lead here reads nothing, unless its origin was named."""
    from asrctl.server.gate import Gate

    named = Gate("", frozenset({"https://example.org"}), "127.0.0.1")
    denial = named.check_page({"host": host})
    assert (denial.status if denial else 200) == status
    assert Gate("key", frozenset()).check_host({"host": host}) is None
    if host != "example.org":
        pages = [server.get(path, Host=host)[0] for path in ("/ready", "/capabilities", "/metrics")]
        assert pages == [status] * 3
        assert server.get("/health", Host=host)[0] == 200


def test_the_log_names_the_cause(server: Running) -> None:
    """A socket that is closed for a mistake leaves a line that says which."""
    link = open_socket(server.url)
    link.send('{"type":"start","format":{},"fast":true}')
    assert closing(link) == (4400, "bad_request")
    link.close()
    until(lambda: "cause=" in server.log.getvalue())
    line = next(line for line in server.log.getvalue().splitlines() if "fast" in line)
    assert "event=close code=4400 reason=bad_request cause=" in line
    assert json.dumps("fast")[1:-1] in line
