"""`asrctl serve` as a process: it starts, says what it does, refuses what is unsafe, and ends on a signal."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pytest

from asrctl.audio.sample import sample_speech
from asrctl.protocol.messages import SpeechStarted

from ..server.servers import PATIENCE_S, Talker, pcm, spoken, until
from .commands import run

pytest.importorskip("starlette")


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A script that decodes without faults."""
    path = tmp_path / "script.json"
    path.write_text("{}")
    return path


class Process:
    """`asrctl serve` in a process of its own."""

    def __init__(self, *args: str, **environ: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "asrctl", "serve", "--port", "0", *args],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environ},
        )
        self.lines: list[str] = []

    def wait_for(self, event: str) -> str:
        """Read the log until an event; returns its line."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if f" event={event}" in line:
                return line
        raise AssertionError("".join(self.lines))

    @property
    def url(self) -> str:
        return re.search(r"url=(\S+)", self.lines[0])[1]  # type: ignore[index]


@contextmanager
def serving(*args: str, **environ: str) -> Iterator[Process]:
    """A process that is ready, and is killed at the end if it still runs."""
    server = Process(*args, **environ)
    try:
        server.wait_for("ready")
        yield server
    finally:
        children = psutil.Process(server.process.pid).children() if server.process.poll() is None else []
        server.process.kill()
        for child in children:
            child.kill()
        server.process.communicate()


def test_serves_and_ends(spec: Path) -> None:
    """It serves a client, and SIGTERM ends it with exit code 0 and no process left."""
    with serving("--provider", "scripted", "--model", str(spec)) as server:
        [worker] = psutil.Process(server.process.pid).children()
        assert any("event=pace" in line for line in server.lines)
        with Talker(server.url, spoken(1, 2)) as talker:
            done = talker.finish()
        assert done.received_s == done.silence_s == len(talker.audio) / 32_000  # levels are not speech
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("stopped")
        assert server.process.wait(PATIENCE_S) == 0
        assert not worker.is_running()
        assert server.process.stdout is not None
        assert server.process.stdout.read() == ""
        for line in server.lines:
            assert re.match(r"time=\S+Z event=[a-z.]+( [a-z_]+=(\S+|\".*\"))*\n", line), line


def test_the_second_signal(spec: Path) -> None:
    """A second signal ends it at once, with exit code 130, even if a worker hangs."""
    with serving("--provider", "scripted", "--model", str(spec), "--grace", "1000") as server:
        [worker] = psutil.Process(server.process.pid).children()
        worker.suspend()
        with Talker(server.url, pcm(sample_speech())) as talker:
            talker.send()
            talker.receive_until(SpeechStarted)
            server.process.send_signal(signal.SIGINT)
            server.wait_for("stopping")
            server.process.send_signal(signal.SIGINT)
            assert server.process.wait(PATIENCE_S) == 130
        assert not worker.is_running()


def test_the_config_file(spec: Path, tmp_path: Path) -> None:
    """Limits come from the file, the key from the environment; flags go before both."""
    config = tmp_path / "serve.toml"
    config.write_text("[serve]\nmax_sessions = 3\nwindow_s = 5.0\nresume_ttl_s = 7.0\n")
    args = ("--config", str(config), "--provider", "scripted", "--model", str(spec), "--max-sessions", "4")
    with serving(*args, ASRCTL_API_KEY="sesame") as server:
        from urllib.request import Request

        address = server.url.replace("ws://", "http://").replace("/v1/stream", "/capabilities")
        request = Request(address, headers={"Authorization": "Bearer sesame"})
        with urlopen(request, timeout=PATIENCE_S) as answer:
            limits = json.load(answer)["limits"]
    assert (limits["max_sessions"], limits["window_s"], limits["resume_ttl_s"]) == (4, 5.0, 7.0)


def test_opens_the_page(spec: Path, tmp_path: Path) -> None:
    """`--open` has the browser open the page, which is there by then."""
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}.part && mv {opened}.part {opened}\n')
    browser.chmod(0o755)
    args = ("--open", "--provider", "scripted", "--model", str(spec))
    with serving(*args, BROWSER=f"{browser} %s") as server:
        until(opened.exists)
        address = opened.read_text()
        assert address == server.url.replace("ws://", "http://").replace("v1/stream", "")
        with urlopen(address, timeout=PATIENCE_S) as answer:
            assert b"<title>asrctl" in answer.read()


def test_without_the_page(spec: Path) -> None:
    """`--no-page` serves none."""
    with serving("--no-page", "--provider", "scripted", "--model", str(spec)) as server:
        address = server.url.replace("ws://", "http://").replace("v1/stream", "")
        with pytest.raises(HTTPError, match="404"):
            urlopen(address, timeout=PATIENCE_S)


def test_a_port_for_wyoming(spec: Path) -> None:
    """By flag or variable; its address is in the log, and the signal ends it too."""
    args = ("--provider", "scripted", "--model", str(spec))
    for more, environ in ((("--wyoming", "0"), {}), ((), {"ASRCTL_SERVE__WYOMING_PORT": "0"})):
        with serving(*args, *more, **environ) as server:
            [found] = re.findall(r"url=tcp://127\.0\.0\.1:(\d+) protocol=wyoming", "".join(server.lines))
            with socket.create_connection(("127.0.0.1", int(found)), PATIENCE_S) as client:
                client.sendall(b'{"type": "describe"}\n')
                assert client.recv(1 << 16).startswith(b'{"type": "info"')
                server.process.send_signal(signal.SIGTERM)
                server.wait_for("stopped")
                assert server.process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--host", "0.0.0.0", "--api-key", "x", "--wyoming", "0"], 2, "Wyoming knows no API key"),
        (["--wyoming", "70000"], 2, "--wyoming"),
        (["--zeroconf"], 2, "give --wyoming PORT too"),
        (["--open", "--no-page"], 2, "--open needs the page: leave out --no-page"),
        (["--host", "0.0.0.0"], 2, "anybody who reaches 0.0.0.0 could use this server: give --api-key"),
        (["--tls-key", "key.pem"], 2, "--tls-key goes with --tls-cert"),
        (["--tls-cert", "none.pem", "--port", "0"], 2, "cannot use the certificate none.pem"),
        (["--model", "none.json"], 3, "none.json: no such file"),
        (["--host", "192.0.2.1", "--insecure", "--port", "0"], 1, "cannot listen on 192.0.2.1:0"),
        (["--port", "99999"], 2, "--port"),
        (["--allow-origin", "example.org"], 2, "browsers send https://example.org\n"),
    ],
)
def test_refusals(
    args: list[str], code: int, message: str, spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be served is one line on stderr, with what to do."""
    assert run("serve", "--provider", "scripted", "--model", str(spec), *args) == code
    assert message in capsys.readouterr().err


def test_a_model_that_cannot_stand_in(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fallback must know the languages of the model that it stands in for."""
    args = ["--provider", "scripted", "--model", str(spec)]
    assert run("serve", *args, "--fallback-model", "tiny.en-q8_0", "--fallback-provider", "whisper_cpp") == 2
    assert "it knows English only" in capsys.readouterr().err


def test_a_model_that_does_not_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model that does not load ends the server, with the reason."""
    spec = tmp_path / "script.json"
    spec.write_text('{"fail_load": "no luck"}')
    assert run("serve", "--provider", "scripted", "--model", str(spec), "--port", "0") == 3
    assert "asrctl: error: no luck" in capsys.readouterr().err
