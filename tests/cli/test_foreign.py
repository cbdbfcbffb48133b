"""`--server` with servers that speak other protocols than `asrctl.v1`: the address tells which."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

from asrctl.audio.sample import SAMPLE_WORDS, sample_speech
from asrctl.audio.vad import SileroVad, SileroWeights
from asrctl.cli.foreign import is_foreign, through
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.providers.registry import PROVIDERS
from asrctl.providers.remote.settings import RemoteSettings
from asrctl.server.options import Models, NamedModel, ServeOptions
from asrctl.settings import Settings
from asrctl.workers.options import HealthCheck, PoolOptions

from ..providers.http_server import Hang, HttpServer, Reply, serving_http
from ..server import servers
from ..server.servers import Running, running
from .commands import run

ADDRESSES = [
    "wyoming://{w}",
    "tcp://{w}",
    "http://{h}",
    "http://{h}/v1",
    "http://{h}/asr",
    "http://{h}/v1/realtime",
    "ws://{h}/v1/listen",
    "ws://{h}/v1/realtime",
]


@pytest.fixture(scope="module")
def server(tiny_en: Path) -> Iterator[Running]:
    """A server with whisper.cpp and Silero VAD."""
    weights = SileroWeights.load()
    health = HealthCheck(sample_speech(), SAMPLE_WORDS, DecodeOptions(word_timestamps=True))
    models = Models(NamedModel("tiny.en-q8_0", ModelSpec("whisper_cpp", tiny_en)))
    options = ServeOptions(models, PoolOptions(health=health), port=0, wyoming_port=0)
    with running(options, detector=lambda: SileroVad(weights)) as server:
        yield server


@pytest.fixture
def sentence(tmp_path: Path) -> Path:
    """A file with a spoken sentence."""
    path = tmp_path / "sentence.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(servers.pcm(sample_speech()))
    return path


def filled(address: str, server: Running) -> str:
    """An address with the ports of a server."""
    assert server.server.wyoming is not None
    here = "127.0.0.1"
    return address.format(h=f"{here}:{server.server.port}", w=f"{here}:{server.server.wyoming.port}")


@pytest.mark.integration
@pytest.mark.parametrize("address", ADDRESSES)
def test_a_file(address: str, server: Running, sentence: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its words come back, whatever is spoken with the server."""
    assert run("transcribe", "--server", filled(address, server), str(sentence)) == 0
    assert {word.strip(".,\n").casefold() for word in capsys.readouterr().out.split()} >= SAMPLE_WORDS


@pytest.mark.integration
@pytest.mark.parametrize("address", ["wyoming://{w}", "ws://{h}/v1/listen", "ws://{h}/v1/realtime"])
def test_live_audio(
    address: str, server: Running, sentence: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Speech is found here and recognised there; the account balances, and nothing is dropped."""
    args = ["--live", "--format", "json", "--server", filled(address, server), "--model", ""]
    assert run("transcribe", *args, str(sentence)) == 0
    result = json.loads(capsys.readouterr().out)
    assert {word.strip(".,").casefold() for word in result["text"].split()} >= SAMPLE_WORDS
    audio = result["audio"]
    assert audio["dropped_s"] == 0.0
    assert audio["received_s"] == pytest.approx(audio["speech_s"] + audio["silence_s"])


@pytest.mark.integration
def test_bench_stream_measures_it(
    server: Running, sentence: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the same figures as elsewhere, under the server's address."""
    address = filled("wyoming://{w}", server)
    assert run("bench", "stream", str(sentence), "--seconds", "3", "--server", address, "--json") == 0
    [row] = json.loads(capsys.readouterr().out)["rows"]
    assert row["setup"]["server"] == address
    assert row["figures"]["utterances"] >= 1 and row["figures"]["undeclared_s"] == 0


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--server", "wyoming://127.0.0.1:9"], 5, "wyoming://127.0.0.1:9: connection refused"),
        (["--server", "http://127.0.0.1:9/v1"], 5, "http://127.0.0.1:9: connection refused"),
        (["--server", "localhost:1"], 2, "no address of a server"),
        (["--server", "wyoming://h/v1"], 2, "has a host and a port"),
        (["--server", "http://h", "--threads", "2"], 2, "--threads is up to the server"),
        (["--server", "tcp://h", "--source", "mic"], 2, "--source is up to the server"),
    ],
)
def test_refusals(
    args: list[str], code: int, message: str, sentence: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says what is wrong."""
    assert run("transcribe", *args, str(sentence)) == code
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(400, b'{"error": "not today"}'), "HTTP 400: not today"),
        (Reply(200, b"Hello."), "the server's answer is no JSON object"),
        (Reply(200, b"{}"), "the server's answer has no text"),
    ],
)
@pytest.mark.parametrize("kind", ["txt", "json"])
def test_nothing_transcribed_is_a_failure(
    reply: Reply, reason: str, kind: str, sentence: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is the server's, and an older transcript stays."""
    older = sentence.with_name("older.txt")
    older.write_text("old")
    with serving_http(HttpServer([reply] * 20)) as server:
        args = ["transcribe", "--server", server.url, "--format", kind]
        assert run(*args, "-o", str(older), str(sentence)) == 5
        assert f"{sentence}: nothing could be transcribed: " in (said := capsys.readouterr().err)
        assert reason in said and "warning" not in said
        assert older.read_text() == "old" and not list(sentence.parent.glob("*.part"))
        assert run(*args, str(sentence)) == 5
        assert capsys.readouterr().out == ""


def test_others_go_on_where_nothing_could_be_transcribed(
    sentence: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is one input's failure."""
    other = sentence.with_name("other.wav")
    other.write_bytes(sentence.read_bytes())
    out = sentence.parent / "out"
    with serving_http(HttpServer([Reply(200, b"{}"), Reply(200, b'{"text": "well"}')])) as server:
        args = ["transcribe", "--server", server.url, "--output-dir", str(out)]
        assert run(*args, str(sentence), str(other)) == 1
    assert f"{sentence}: nothing could be transcribed" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["other.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
def test_ctrl_c_where_the_server_hangs(
    sentence: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not waited for beyond a while of silence, and what is lost is told."""
    monkeypatch.setattr("asrctl.cli.live.SILENCE_S", 0.25, raising=False)
    asked = threading.Event()

    class Hanging(HttpServer):
        def next_fault(self) -> Hang:
            asked.set()
            return Hang()

    def press() -> None:
        assert asked.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    with serving_http(Hanging()) as server:
        thread.start()
        code = run("transcribe", "--live", str(sentence), "--server", server.url)
        thread.join()
    told, silent, lost, account = capsys.readouterr().err.splitlines()
    assert code == 130 and told == "asrctl: finishing what was read; another Ctrl-C stops now"
    assert "the server said nothing for 0.25 s" in silent and "stopped: the last " in lost
    assert "interrupted: " in account


def test_a_server_that_comes_late(sentence: Path) -> None:
    """With `--wait-for-server` it is waited for, which is said once, as is its answer."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    options = ["--server", f"http://127.0.0.1:{port}/v1", "--wait-for-server", "60", str(sentence)]
    command = [sys.executable, "-m", "asrctl", "transcribe", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert process.stderr.readline() == f"asrctl: waiting for http://127.0.0.1:{port} to answer\n"
        with serving_http(HttpServer([Reply(200, b'{"text": "well"}')] * 9), port):
            out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "well\n", "asrctl: it does now\n")


@pytest.mark.parametrize(
    ("url", "dialect"),
    [
        ("ws://h:8765", None),
        ("wss://h/v1/stream", None),
        ("wss://h/behind/a/proxy", None),
        ("localhost:8765", None),
        ("ftp://h", None),
        ("ws://[h", None),
        ("ws://h/v1/realtime", "auto"),
        ("wss://h/v1/realtime?model=x", "auto"),
        ("wss://h/v1/listen", "deepgram"),
        ("https://h/v1", "transcriptions"),
        ("http://h/asr", "transcriptions"),
        ("https://h/v1/realtime", "auto"),
        ("tcp://h:1", "wyoming"),
    ],
)
def test_an_address_tells_the_protocol(url: str, dialect: str | None) -> None:
    """By scheme or path; a WebSocket with another path speaks ours."""
    assert is_foreign(url) == (dialect is not None)
    if dialect is not None:
        remote = through(Settings(), url, "key", "name").of(PROVIDERS["remote"])
        assert (remote.address.dialect, remote.model, remote.api_key) == (dialect, "name", "key")


def test_what_waits_is_set_and_who_it_is_for_is_not() -> None:
    """`[remote]` may be about another server, whose key is not for this one."""
    other = RemoteSettings("wss://other/v1/realtime", "openai", "large", "secret", outage_s=3.0)
    settings = Settings(provider_settings={"remote": other})
    remote = through(settings, "tcp://h:1", None, None).of(PROVIDERS["remote"])
    assert (remote.url, remote.model, remote.api_key, remote.outage_s) == ("tcp://h:1", "", "", 3.0)
