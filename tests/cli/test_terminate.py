"""SIGTERM ends a run within three seconds with what there is written; long runs say how far they are."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import asrctl
from asrctl.cli import at_once, live
from asrctl.render.parts import left_of
from asrctl_tests.scripted import speak
from tests.streaming.speech import silence

from .commands import Options, run

PATIENCE_S = 60
LIMIT_S = 3.0

IN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(1, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Run a command with the terminal at its standard output as the one whose loss it is told of."""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no signals to send")


def started(*arguments: str) -> subprocess.Popen[bytes]:
    """`asrctl transcribe` in a process of its own, with pipes on all three streams."""
    command = [sys.executable, "-m", "asrctl", "transcribe", *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def terminated(
    process: subprocess.Popen[bytes], sent: signal.Signals = signal.SIGTERM
) -> tuple[float, str, str]:
    """Send a signal; seconds until its end, and the rest of its output and errors."""
    started_s = time.monotonic()
    process.send_signal(sent)
    assert process.stdout and process.stderr
    out, err = process.stdout.read().decode(), process.stderr.read().decode()
    process.wait(PATIENCE_S)
    return time.monotonic() - started_s, out, err


@pytest.mark.parametrize("way", [[], ["--live"]])
def test_a_source_that_gives_nothing_more(way: list[str], tmp_path: Path) -> None:
    """It waits for standard input while a decode hangs: the format is complete, the account balances."""
    script, kept = tmp_path / "script.json", tmp_path / "kept.wav"
    script.write_text(json.dumps({"hang_on": ["w7"]}))
    options = ["--provider", "scripted", "--model", str(script), "--raw-rate", "16000", "--no-vad"]
    options += ["--raw-encoding", "f32le", "-f", "jsonl"]
    with started("-", *way, *options, *(["--record", str(kept)] if way else [])) as process:
        assert process.stdin and process.stdout
        # A file's windows are long; live audio comes at its own pace.
        before = [speak(range(5))] * (1 if way else 100)
        for samples in (*before, speak(range(5, 9)), silence(1)):
            process.stdin.write(samples.tobytes())
        process.stdin.flush()
        first = "" if way else process.stdout.readline().decode()
        deadline_s = time.monotonic() + PATIENCE_S
        while way and time.monotonic() < deadline_s and not (kept.exists() and kept.stat().st_size > 60_000):
            time.sleep(0.02)
        took_s, rest, err = terminated(process)
    records = [json.loads(line) for line in (first + rest).splitlines()]
    assert records[-1]["type"] == "summary" and (way or records[0]["type"] == "segment")
    audio = records[-1]["audio"]
    known_s = audio["speech_s"] + audio["silence_s"] + audio["dropped_s"]
    assert known_s == pytest.approx(audio["received_s"]) and audio["received_s"] >= 1.5
    assert process.returncode == 130 and took_s < LIMIT_S
    assert "Traceback" not in err


@pytest.mark.parametrize("way", [[], ["--live"]])
def test_a_terminal_that_is_closed(way: list[str], tmp_path: Path) -> None:
    """What was transcribed is written, as at SIGTERM, though nothing can be said any more."""
    script, written = tmp_path / "script.json", tmp_path / "said.jsonl"
    script.write_text(json.dumps({"hang_on": ["w7"]}))
    command = [sys.executable, "-m", "asrctl", "transcribe", "-", *way, "-f", "jsonl", "-o", str(written)]
    command += ["--provider", "scripted", "--model", str(script), "--raw-rate", "16000", "--no-vad"]
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", IN_TERMINAL, *command, "--raw-encoding", "f32le"],
        stdin=subprocess.PIPE,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        assert process.stdin
        for samples in (*[speak(range(5))] * (1 if way else 100), speak(range(5, 9)), silence(1)):
            process.stdin.write(samples.tobytes())
        process.stdin.flush()
        shown = b""
        while b"w3" not in shown and not any(part.stat().st_size for part in tmp_path.glob("said.jsonl*")):
            shown += os.read(ours, 1000)
        os.close(ours)
        process.wait(PATIENCE_S)
    (found,) = tmp_path.glob("said.jsonl*")
    records = [json.loads(line) for line in found.read_text().splitlines()]
    assert process.returncode == 130
    assert records[-1]["type"] == "summary" and records[-1]["audio"]["received_s"] > 0


ANYWHERE = ["ws://{}", "http://{}/v1", "ws://{}/v1/realtime", "ws://{}/v1/listen", "wyoming://{}"]
"""What `--server` takes: each form of address."""
MONDAY = Path(asrctl.__file__).parent / "assets" / "monday.wav"
"""Speech, without which a server of files is asked nothing."""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("form", ANYWHERE)
def test_a_server_that_takes_the_connection_only(form: str, sent: signal.Signals) -> None:
    """While it is waited for, one signal ends it: an account in one line, and the document."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        url = form.format(f"127.0.0.1:{listener.getsockname()[1]}")
        options = ["--server", url, "--wait-for-server", "600", "-f", "jsonl"]
        with started(str(MONDAY), "other.wav", *options) as process:
            assert process.stderr
            connection, _ = listener.accept()
            assert b"waiting for " in process.stderr.readline()
            took_s, out, err = terminated(process, sent)
            connection.close()
    assert took_s < LIMIT_S and process.returncode == 130
    assert err.splitlines()[-1] == "asrctl: interrupted: monday.wav begun; not begun: other.wav"
    (record,) = [json.loads(line) for line in out.splitlines()]
    audio = record["audio"]
    assert record["type"] == "summary"
    assert audio["received_s"] == pytest.approx(audio["speech_s"] + audio["silence_s"] + audio["dropped_s"])


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("form", ANYWHERE)
def test_a_server_that_never_answers(form: str, live: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """It is given up as soon as was asked for, in whatever protocol; the error names the option."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = form.format(f"127.0.0.1:{listener.getsockname()[1]}")
        options = ["--server", url, "--wait-for-server", "0.3", "-q", *(["--live"] if live else [])]
        assert run("transcribe", str(MONDAY), *options) == 5
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.endswith("no answer in time; gave up after 0.3 s (--wait-for-server waits longer)\n")


def test_a_group_of_a_server_that_never_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is given up likewise; an older transcript stays."""
    path = tmp_path / "standup.txt"
    path.write_text("older")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = ["--server", f"ws://127.0.0.1:{listener.getsockname()[1]}", "--wait-for-server", "0.3"]
        assert run("transcribe", *server, "--subscribe", "standup", "-o", str(path)) == 5
    assert path.read_text() == "older" and left_of(path) == []
    assert "gave up after 0.3 s (--wait-for-server waits longer)\n" in capsys.readouterr().err


class Answers:
    """A server that answers each request on a connection of its own, in a thread; then it is gone."""

    def __init__(self, *answers: str, port: int = 0) -> None:
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", port))
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with self._listener:
            for answer in self._answers:
                connection, _ = self._listener.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(answer.encode())


FULL = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nno place\n"
DONE = 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\ndata: {"type": "done"}\n\n'


def test_a_group_of_a_server_that_is_not_there_yet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that refuses connections, and one that is full, is asked again until it gives the group."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    come: list[Answers] = []

    def sleep(_: float) -> None:
        if not come:
            come.append(Answers(FULL, FULL, DONE, port=port))

    monkeypatch.setattr("asrctl.cli.group_events.time.sleep", sleep)
    server = ["--server", f"ws://127.0.0.1:{port}", "--wait-for-server", str(PATIENCE_S)]
    assert run("transcribe", *server, "--subscribe", "standup") == 0
    assert capsys.readouterr().err.splitlines()[0] == "asrctl: waiting for the server: connection refused"


@pytest.mark.parametrize(
    "answer, said",
    [
        (FULL, "503 Service Unavailable: no place; gave up after 0.2 s (--wait-for-server waits longer)\n"),
        (FULL.replace("503 Service Unavailable", "401 No"), "the server refuses: 401 No: no place\n"),
    ],
)
def test_a_group_that_is_refused(answer: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What the server says is in the error."""
    server = ["--server", Answers(*[answer] * 20).url, "--wait-for-server", "0.2"]
    assert run("transcribe", *server, "--subscribe", "standup") == 5
    assert capsys.readouterr().err.endswith(said)


def test_a_server_that_stays_full(speech: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is waited for as long as was asked, and not as often as another; why is in the error."""
    full = FULL.replace("Connection", "Retry-After: 3600\r\nConnection")
    server = ["--server", Answers(*[full] * 20).url, "--wait-for-server", "0.3"]
    assert run("transcribe", *server, "-q", str(speech)) == 5
    said = (
        "the server is full, or still loading (503): no place; gave up after 0.3 s (--wait-for-server waits"
    )
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("closes", [False, True])
def test_a_server_that_says_nothing(closes: bool, speech: Path, tmp_path: Path) -> None:
    """Whether it takes the connection and is silent, or closes it again and again."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        with started(str(speech), "--server", url, "--wait-for-server", "600") as process:
            connection, _ = listener.accept()
            if closes:
                connection.close()
                connection, _ = listener.accept()
            took_s, out, err = terminated(process)
            connection.close()
    assert took_s < LIMIT_S and process.returncode == 130
    assert out == "" and "not transcribed" in err and "Traceback" not in err


def test_a_long_file_says_how_far_it_is(
    speech: Path, options: Options, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where standard error is no terminal, a line now and then; none with -q."""
    monkeypatch.setattr(at_once, "REPORT_S", 0.05)
    assert run("transcribe", str(speech), *options(delay_s=0.5)) == 0
    assert "asrctl: speech.wav begun; " in capsys.readouterr().err
    assert run("transcribe", "-q", str(speech), *options(delay_s=0.5)) == 0
    assert capsys.readouterr().err == ""


def test_waiting_for_a_server_is_said(
    speech: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what it is waiting for."""
    monkeypatch.setattr(live, "REPORT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        assert run("transcribe", str(speech), "--server", url, "--wait-for-server", "1") == 5
    assert "speech.wav: 0.0 s transcribed; connecting" in capsys.readouterr().err
