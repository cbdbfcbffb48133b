"""Who is let in, who is turned away and how, and what the pages say about it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from websockets.exceptions import InvalidStatus

from asrctl.errors import AsrctlError, UsageError
from asrctl.policy.admission import AdmissionOptions
from asrctl.policy.priority import Source
from asrctl.protocol.messages import Error
from asrctl.providers.base import ModelSpec
from asrctl.server.options import check_exposure, checked_origins, is_loopback
from asrctl.workers.options import PoolOptions

from .servers import HEALTH, Running, Talker, open_socket, options_for, running, spoken

Scripted = Callable[..., ModelSpec]


def refused(server: Running) -> InvalidStatus:
    """The answer to a handshake that is not accepted."""
    with pytest.raises(InvalidStatus) as caught:
        open_socket(server.url)
    return caught.value


def test_one_too_many(scripted: Scripted) -> None:
    """The eleventh session gets 503 with Retry-After, at once; the ten feel nothing; a free place is free."""
    with running(options_for(scripted())) as server:
        talkers = [Talker(server.url, spoken(n, n + 1)).connect() for n in range(10)]
        for talker in talkers:
            talker.send(0.5)
        started_s = time.monotonic()
        for _ in range(30):
            answer = refused(server).response
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) >= 1
        assert time.monotonic() - started_s < 10
        assert server.metric('asrctl_rejected_total{reason="capacity"}') == 30
        for n, talker in enumerate(talkers):
            talker.finish()
            assert talker.words == [f"w{n}", f"w{n + 1}"]
        with Talker(server.url, spoken(1)) as talker:
            talker.finish()
        for talker in talkers:
            talker.__exit__(None, None, None)


def test_a_full_server_lets_its_own_back_in(scripted: Scripted) -> None:
    """A session that lost its socket is resumed although every place is taken: one of them is its own."""
    options = options_for(scripted(), admission=AdmissionOptions(max_sessions=1))
    with running(options) as server:
        talker = Talker(server.url, spoken(1, 2)).connect()
        talker.send(1.0)
        talker.cut()
        assert refused(server).response.status_code == 503
        talker.connect()
        talker.finish()
        assert talker.words == ["w1", "w2"]
        talker.__exit__(None, None, None)


def test_resuming_is_no_way_in(scripted: Scripted) -> None:
    """Who names a session at the handshake and begins a new one is turned away when the server is full."""
    options = options_for(scripted(), admission=AdmissionOptions(max_sessions=1))
    with running(options) as server, Talker(server.url, spoken(1)) as talker:
        link = open_socket(f"{server.url}?session={talker.protocol.session_id}")
        link.send('{"type":"start","format":{}}')
        message = json.loads(link.recv())
        assert (message["type"], message["code"]) == ("error", "overload")
        assert message["retry_after_s"] >= 1
        link.close()


def test_one_source_is_bounded(scripted: Scripted) -> None:
    """A source with a bound of its own is refused with 1013 when that is reached; the other is not."""
    admission = AdmissionOptions(max_by_source={Source.SYSTEM: 1})
    with running(options_for(scripted(), admission=admission)) as server:
        first = Talker(server.url, b"", source="system").connect()
        late = Talker(server.url, b"", source="system").connect()
        assert isinstance(late.news[0], Error)
        assert (late.news[0].code, late.close_code) == ("overload", 1013)
        with Talker(server.url, b"") as other:
            other.finish()
        first.__exit__(None, None, None)


def test_ready_means_ready(scripted: Scripted) -> None:
    """While the model loads, and after it decoded wrong words, the server is alive and not ready."""
    slow = scripted(delay_s=1.5)
    with running(options_for(slow), ready=False) as server:
        assert server.get("/health")[0] == 200
        status, body, headers = server.get("/ready")
        assert (status, headers["retry-after"]) == (503, "1")
        assert json.loads(body)["reason"] == "the model is loading"
        assert refused(server).response.status_code == 503
        server.wait_ready()


def test_a_model_that_understands_nothing(scripted: Scripted) -> None:
    """A model that fails its test speech is an error, not a server."""
    deaf = replace(HEALTH, words=frozenset({"w99"}))
    with running(options_for(scripted(), pool=PoolOptions(health=deaf)), ready=False) as server:
        server.join()
        assert isinstance(server.error, AsrctlError)
        assert "does not understand its test speech" in str(server.error)


def test_capabilities(shared: Running) -> None:
    """They say what there is, by the names that `start` takes."""
    document = json.loads(shared.get("/capabilities")[1])
    assert document["protocols"] == ["asrctl.v1"]
    assert document["models"]["main"]["name"] == "words"
    assert document["limits"]["max_sessions"] == document["limits"]["session_limit"] == 10
    assert document["limits"]["sessions_now"] == 0
    assert "whisper_cpp" in document["providers"]
    with Talker(shared.url, b""):
        assert json.loads(shared.get("/capabilities")[1])["limits"]["sessions_now"] == 1


def test_exposure_is_said(scripted: Scripted) -> None:
    """A server that other machines can reach says so in its log, and with which protection."""
    with running(options_for(scripted(), host="0.0.0.0", api_key="sesame")) as server:
        assert "event=exposed host=0.0.0.0 key=True tls=False" in server.log.getvalue()
    with running(options_for(scripted())) as server:
        assert "exposed" not in server.log.getvalue()


def test_exposure() -> None:
    """Other machines are served only with a key, or on purpose."""
    for host in ("127.0.0.1", "::1", "localhost", "127.8.8.8"):
        assert is_loopback(host)
        check_exposure(host, "", insecure=False, wyoming=True)
    for host in ("0.0.0.0", "::", "192.168.1.4", "example.org"):
        check_exposure(host, "key", insecure=False)
        check_exposure(host, "", insecure=True)
        with pytest.raises(UsageError, match="--api-key"):
            check_exposure(host, "", insecure=False)
        check_exposure(host, "key", insecure=True, wyoming=True)
        with pytest.raises(UsageError, match="Wyoming knows no API key"):
            check_exposure(host, "key", insecure=False, wyoming=True)


def test_a_port_that_is_taken(shared: Running, scripted: Scripted) -> None:
    """One line says which port it was."""
    with pytest.raises(AsrctlError, match=f":{shared.server.port}: another program has the port"):
        Running(replace(options_for(scripted()), port=shared.server.port))


@pytest.mark.parametrize(
    "origin",
    [
        "https://example.org",
        "http://example.org:8080",
        "https://xn--bcher-kva.example",
        "http://[2001:db8::1]:3000",
        "app://obsidian.md",
        "chrome-extension://abcdefghijklmnop",
        "null",
    ],
)
def test_origins_that_browsers_send(origin: str) -> None:
    """They are taken as they are."""
    assert checked_origins([origin]) == {origin}


@pytest.mark.parametrize(
    "origin, sent",
    [
        ("example.org", "https://example.org"),
        ("localhost:3000", "https://localhost:3000"),
        ("https://example.org/", "https://example.org"),
        ("https://example.org/app?a=b", "https://example.org"),
        ("HTTPS://Example.org", "https://example.org"),
        ("https://example.org:443", "https://example.org"),
        ("http://user@example.org:80", "http://example.org"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("*", "origins such as https://example.org"),
        ("https://*.example.org", "origins such as"),
        ("https://", "origins such as"),
        ("", "origins such as"),
        ("https://[::1", "origins such as"),
        ("https://a:b", "origins such as"),
    ],
)
def test_origins_that_no_browser_sends(origin: str, sent: str) -> None:
    """They would never match, so the server does not start, and says what would."""
    with pytest.raises(
        UsageError, match=re.escape(f"--allow-origin {origin} would let no page in")
    ) as caught:
        checked_origins(["https://good.example", origin])
    assert str(caught.value).partition("browsers send ")[2].startswith(sent)
