"""The configuration for HAProxy, run by a real one in front of real servers."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from websockets.exceptions import InvalidStatus

from asrctl.policy.admission import AdmissionOptions
from asrctl.protocol.messages import Final, GoAway, SpeechStarted
from benchmarks.balancer import CONFIG, Balancer, configured, program

from ..server.conftest import pems
from ..server.servers import (
    PATIENCE_S,
    Running,
    Talker,
    open_socket,
    options_for,
    running,
    script,
    spoken,
    until,
)

pytestmark = pytest.mark.skipif(program() is None, reason="needs haproxy")
assert pems  # the fixture


@contextmanager
def cluster(directory: Path, places: dict[str, int], **changes: Any) -> Iterator[dict[str, Running]]:
    """Servers with so many places each."""
    spec = script(directory / "script.json")
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                running(
                    options_for(spec, node=name, admission=AdmissionOptions(max_sessions=most), **changes)
                )
            )
            for name, most in places.items()
        }


@contextmanager
def balanced(servers: dict[str, Running], **more: int) -> Iterator[Balancer]:
    """HAProxy in front of them, once it knows that they are ready; `more` are ports of other servers."""
    ports = {name: server.server.port for name, server in servers.items()} | more
    with Balancer(ports) as balancer:
        balancer.wait_up(ports)
        yield balancer


def stream(balancer: Balancer) -> str:
    """Where sessions are."""
    return f"{balancer.url}/v1/stream"


def check(path: Path, **environ: str) -> None:
    """`haproxy -c`; warnings count as well."""
    command = [program() or "", "-c", "-f", str(path)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert (done.returncode, "WARNING" in done.stderr) == (0, False), done.stderr


def test_the_configuration_is_valid(tmp_path: Path, pems: Path) -> None:
    """As it ships, with TLS, with servers by DNS, and with those of a test."""
    path = tmp_path / "haproxy.cfg"
    path.write_text(CONFIG.read_text(encoding="utf-8"))
    check(path)
    check(path, ASRCTL_CERTIFICATE=str(pems / "both.pem"))
    check(path, ASRCTL_DNS="asrctl:8765", ASRCTL_RESOLVER="127.0.0.1:53")
    path.write_text(configured({"asr-1": 8765, "asr-2": 8766}))
    check(path)


def test_full_servers_are_passed_over(tmp_path: Path) -> None:
    """Two that are full have fewer connections than the third: retries alone would not find that."""
    with (
        cluster(tmp_path, {"asr-1": 1, "asr-2": 1, "asr-3": 3}) as servers,
        balanced(servers) as balancer,
        ExitStack() as stack,
    ):
        for url in [server.url for server in servers.values()] + [servers["asr-3"].url]:
            stack.enter_context(Talker(url, spoken(1)))
        balancer.wait_up({"asr-3"})
        last = stack.enter_context(Talker(stream(balancer), spoken(1)))
        assert (last.protocol.session_id or "").startswith("asr-3.")
        until(lambda: not balancer.up())
        with pytest.raises(InvalidStatus) as refused:
            open_socket(stream(balancer))
        response = refused.value.response
        assert (response.status_code, response.headers["Retry-After"]) == (503, "5")


class _Refusing(BaseHTTPRequestHandler):
    """Ready, by what it says to HAProxy, and takes no session."""

    upgrades = 0

    def do_GET(self) -> None:
        is_check = self.path == "/ready?room"
        type(self).upgrades += not is_check
        self.send_response(200 if is_check else 503)
        self.send_header("Retry-After", "60")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_an_upgrade_that_is_refused_is_tried_elsewhere(tmp_path: Path) -> None:
    """A client does not see that a server was full: another one takes it."""
    refusing = ThreadingHTTPServer(("127.0.0.1", 0), _Refusing)
    threading.Thread(target=refusing.serve_forever).start()
    try:
        port = refusing.server_address[1]
        with cluster(tmp_path, {"asr-2": 10}) as servers, balanced(servers, **{"asr-1": port}) as balancer:
            with Talker(stream(balancer), spoken(1)) as first, Talker(stream(balancer), spoken(2)) as second:
                first.finish()
                second.finish()
            assert (first.words, second.words) == (["w1"], ["w2"])
            assert _Refusing.upgrades and balancer.elsewhere == _Refusing.upgrades
    finally:
        refusing.shutdown()
        refusing.server_close()


def test_who_resumes_comes_to_the_same_server(tmp_path: Path) -> None:
    """Although that is full, and the other one has fewer sessions."""
    with cluster(tmp_path, {"asr-1": 1, "asr-2": 10}) as servers, balanced(servers) as balancer:
        talker = Talker(servers["asr-1"].url, spoken(*range(3))).connect()
        talker.send(1.2)
        talker.receive_until(Final)
        balancer.wait_up({"asr-2"})
        session_id = talker.protocol.session_id
        talker.cut()
        talker.url = stream(balancer)
        with talker:
            assert talker.protocol.session_id == session_id
            talker.finish()
        assert talker.words == ["w0", "w1", "w2"]
        assert servers["asr-1"].metric("asrctl_resumes_total") == 1


def test_who_resumes_at_a_server_that_is_gone_starts_elsewhere(tmp_path: Path) -> None:
    """Nothing listens where the session was: another server says that it is gone, and takes it up."""
    with cluster(tmp_path, {"asr-1": 10, "asr-2": 10}) as servers, balanced(servers) as balancer:
        talker = Talker(servers["asr-1"].url, spoken(*range(3))).connect()
        talker.send(1.2)
        talker.receive_until(Final)
        talker.cut()
        servers["asr-1"].server.stop()
        servers["asr-1"].join()
        talker.url = stream(balancer)
        done = talker.persist()
        assert talker.words == ["w0", "w1", "w2"]
        assert (talker.protocol.session_id or "").startswith("asr-2.")
        assert done.audio_offset == len(talker.audio) // 2


def test_a_server_that_drains_keeps_its_sessions(tmp_path: Path) -> None:
    """It is not ready, so that new ones go elsewhere; its own goes on over the same connection."""
    with (
        cluster(tmp_path, {"asr-1": 10, "asr-2": 10}, drain_s=1000.0) as servers,
        balanced(servers) as balancer,
    ):
        with Talker(stream(balancer), spoken(0, pause_s=0.1)) as talker:
            talker.send(0.45)
            talker.receive_until(SpeechStarted)
            node = (talker.protocol.session_id or "").partition(".")[0]
            servers[node].server.stop()
            talker.receive_until(GoAway)
            balancer.wait_up(servers.keys() - {node})
            with Talker(stream(balancer), spoken(1)) as other:
                assert (other.protocol.session_id or "").partition(".")[0] != node
                other.finish()
            talker.finish()
        assert (talker.words, talker.sockets) == (["w0"], 1)
        servers[node].join()


def test_tls(tmp_path: Path, pems: Path) -> None:
    """With a certificate HAProxy serves wss."""
    with cluster(tmp_path, {"asr-1": 10}) as servers:
        ports = {"asr-1": servers["asr-1"].server.port}
        with Balancer(ports, ASRCTL_CERTIFICATE=str(pems / "both.pem")) as balancer:
            balancer.wait_up(ports)
            context = ssl.create_default_context(cafile=pems / "both.pem")
            socket = open_socket(stream(balancer), ssl=context)
            assert socket.subprotocol == "asrctl.v1"
            socket.close()


def test_metrics_are_not_mixed(tmp_path: Path) -> None:
    """Through the balancer they would be those of one server or another: 404. Other pages are there."""
    with cluster(tmp_path, {"asr-1": 10}) as servers, balanced(servers) as balancer:
        address = balancer.url.replace("ws:", "http:")
        with urlopen(f"{address}/health", timeout=PATIENCE_S) as answer:
            assert answer.status == 200
        with pytest.raises(HTTPError, match="404") as caught:
            urlopen(f"{address}/metrics", timeout=PATIENCE_S)
        caught.value.close()
