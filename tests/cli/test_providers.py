"""Providers from the config: which is chosen, who stands in, and what the command line says about it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

import asrctl
from asrctl.api import AsyncEngine
from asrctl.assembly import prepare
from asrctl.cli.files import transcribe_files
from asrctl.cli.serve import options_of
from asrctl.cli.task import Task
from asrctl.cli.view import FileView
from asrctl.errors import UsageError
from asrctl.protocol.messages import Status
from asrctl.providers.remote.settings import RemoteSettings
from asrctl.providers.voxtral.settings import VoxtralSettings
from asrctl.settings import Settings, load
from asrctl.workers.options import PoolOptions
from asrctl_tests.scripted import speak
from tests.streaming.speech import LevelDetector, silence

from ..providers.brains import OpenAiBrain
from ..providers.http_server import HttpServer, serving_http
from ..providers.remote_server import RealtimeServer, serving
from ..providers.voxtral_standin import install, make_weights
from ..server.servers import Talker, running, spoken, until
from .commands import run

DEADLINE_S = 60.0
WORDS = [f"w{number}" for number in range(1, 11)]


@pytest.fixture(autouse=True)
def levels_are_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the scripted providers understand is no speech."""
    monkeypatch.setattr("asrctl.audio.vad.SileroVad", lambda _weights: LevelDetector())


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The config file, with a script as the model."""
    script = tmp_path / "script.json"
    script.write_text("{}")
    path = tmp_path / "config.toml"
    path.write_text(f'model = "{script}"\n')
    monkeypatch.setenv("ASRCTL_CONFIG", str(path))
    return path


@pytest.fixture
def voxtral(tmp_path: Path) -> VoxtralSettings:
    """Voxtral's stand-in."""
    weights = tmp_path / "weights"
    make_weights(weights)
    return VoxtralSettings(install(tmp_path), weights)


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Two utterances of five words."""
    path = tmp_path / "speech.wav"
    samples = np.concatenate(
        [silence(0.5), speak(range(1, 6)), silence(1), speak(range(6, 11)), silence(0.5)]
    )
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    return path


@contextmanager
def in_a_thread(server: RealtimeServer) -> Iterator[str]:
    """Run a server in a loop of its own, since the command line has one; gives its URL."""
    started, over = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    urls: list[str] = []

    async def main() -> None:
        async with serving(server) as url:
            urls.append(url)
            started.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    assert started.wait(DEADLINE_S)
    try:
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(DEADLINE_S)
        loop.close()


def set_up(config: Path, voxtral: VoxtralSettings, providers: str) -> None:
    with config.open("a") as file:
        file.write(f"providers = {providers}\n[voxtral]\n")
        file.write(f'binary = "{voxtral.binary}"\nmodel_dir = "{voxtral.model_dir}"\n')


def test_a_file_through_a_streaming_provider(
    config: Path, speech: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At full speed, several one after the other, each with its words and a balanced account."""
    out = config.parent / "out"
    args = ["--provider", "scripted_stream", "--format", "json", "--output-dir", str(out)]
    copy = speech.with_name("copy.wav")
    copy.write_bytes(speech.read_bytes())
    assert run("transcribe", str(speech), "missing.wav", str(copy), *args) == 1
    assert "missing.wav" in capsys.readouterr().err
    for name in ("speech", "copy"):
        document = json.loads((out / f"{name}.json").read_text())
        assert document["text"].split() == WORDS and document["provider"] == "scripted_stream"
        audio = document["audio"]
        assert audio["dropped_s"] == 0
        assert audio["received_s"] == pytest.approx(audio["speech_s"] + audio["silence_s"])


def test_voxtral_from_the_config(
    config: Path, speech: Path, voxtral: VoxtralSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is first in the list and set up, so it is what `auto` takes."""
    set_up(config, voxtral, '["voxtral", "scripted"]')
    assert run("transcribe", str(speech), "--format", "json") == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert document["provider"] == "voxtral" and document["text"].split() == WORDS
    assert printed.err == ""


def test_who_cannot_run_is_passed_over(
    config: Path, speech: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Voxtral is not set up: the next in the list does the work."""
    set_up(config, VoxtralSettings(Path("nowhere"), Path("nowhere")), '["voxtral", "remote", "scripted"]')
    assert run("transcribe", str(speech), "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["provider"] == "scripted"
    assert run("transcribe", str(speech), "--provider", "voxtral") == 4
    assert "provider voxtral cannot run: there is no program nowhere" in capsys.readouterr().err


def test_a_provider_that_breaks_is_replaced_and_that_is_said(
    config: Path, speech: Path, voxtral: VoxtralSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on standard error; the transcript is whole, and names whose words it has."""
    broken = VoxtralSettings(install(config.parent, faults={"w3": "kill"}), voxtral.model_dir)
    set_up(config, broken, '["voxtral", "scripted"]')
    assert run("transcribe", str(speech), "--format", "json") == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert document["text"].split() == WORDS
    assert document["provider"] in (
        "scripted",
        "scripted, voxtral",
    )  # back for the second
    assert printed.err.count("now transcribed by scripted: ") == 1


def test_a_realtime_server(config: Path, speech: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--provider remote` with the address from the config."""
    with in_a_thread(RealtimeServer(OpenAiBrain)) as url:
        with config.open("a") as file:
            file.write(f'[remote]\nurl = "{url}"\n')
        assert run("transcribe", str(speech), "--provider", "remote") == 0
    assert capsys.readouterr().out.split() == WORDS


def test_a_server_that_takes_windows(config: Path, speech: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One request for each window, none for partials, which might cost money."""
    with serving_http(HttpServer()) as server:
        with config.open("a") as file:
            file.write(f'[remote]\nurl = "{server.url}"\n')
        assert run("transcribe", str(speech), "--provider", "remote") == 0
    assert capsys.readouterr().out.split() == WORDS
    assert len(server.forms) == 1


def test_plain_http_needs_no_websockets(config: Path, speech: Path) -> None:
    """Where that package cannot be imported, such a server is used all the same; a socket's is refused."""
    command = ["transcribe", str(speech), "--provider", "remote", "--no-vad"]
    code = f"import sys; sys.modules['websockets'] = None; from asrctl.cli.main import main; main({command})"

    def transcribe(url: str) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "ASRCTL_REMOTE__URL": url}
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ)

    with serving_http(HttpServer()) as server:
        done = transcribe(server.url)
        assert (done.returncode, done.stdout.split()) == (0, WORDS), done.stderr
    done = transcribe("ws://127.0.0.1:1/v1/realtime")
    assert done.returncode == 4
    assert 'websockets is not installed: pip install "asrctl[remote]"' in done.stderr


def test_options_come_from_the_settings(voxtral: VoxtralSettings) -> None:
    """Each provider has its section, and `auto` tries them in order."""
    remote = RemoteSettings("ws://host:1/v1/realtime", "vllm", "mine", "key")
    own = {"voxtral": voxtral, "remote": remote}
    settings = Settings(providers=("remote", "voxtral", "whisper_cpp"), provider_settings=own)
    first = prepare(settings)
    assert first.setup and first.setup.settings == remote
    assert [each.provider for each in first.reserves] == ["voxtral", "whisper_cpp"]
    second = first.reserves[0].prepare()
    assert second.setup and second.setup.settings == voxtral
    assert (second.model, second.is_pooled) == ("voxtral", False)
    assert prepare(settings.overridden(provider="voxtral")).reserves == ()


def test_a_server_has_somebody_behind_a_streaming_provider(config: Path, voxtral: VoxtralSettings) -> None:
    """Voxtral has the utterances, the next windowed provider of the list is loaded to stand in."""
    set_up(config, voxtral, '["voxtral", "scripted"]')
    options = replace(options_of(load(config).settings), port=0, pool=PoolOptions())
    assert (options.shown.name, options.models.main.spec.provider) == ("voxtral", "scripted")
    with running(options) as server, Talker(server.url, spoken(1, 2, 3)) as talker:
        talker.finish()
        assert talker.words == ["w1", "w2", "w3"] and not talker.of(Status)
        assert json.loads(server.get("/ready")[1])["provider"] == "voxtral"
        pids = server.server.engine.pids()
        assert len(pids) > 1
    until(lambda: not any(psutil.pid_exists(pid) for pid in pids))


def test_a_server_needs_streams(config: Path) -> None:
    """One that takes windows would have no limits and no health check; what to give instead is said."""
    with config.open("a") as file:
        file.write('provider = "remote"\n[remote]\nurl = "http://127.0.0.1:9"\n')
    with pytest.raises(UsageError, match="set up for a server without streaming"):
        options_of(load(config).settings)


def test_what_cannot_be(voxtral: VoxtralSettings) -> None:
    """Said before anything is started."""
    with pytest.raises(UsageError, match="voxtral cannot translate"):
        prepare(Settings(provider="voxtral", provider_settings={"voxtral": voxtral}, translate=True))
    with pytest.raises(UsageError, match="remote: url must be like"):
        prepare(Settings(provider="remote", provider_settings={"remote": RemoteSettings("host")}))


def test_the_key_is_not_shown(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`config show` masks it."""
    with config.open("a") as file:
        file.write('[remote]\napi_key = "very-secret"\n')
    assert run("config", "show") == 0
    printed = capsys.readouterr().out
    assert "very-secret" not in printed and 'api_key = "..."' in printed


def test_a_file_whose_provider_crashes_is_taken_over(
    config: Path, speech: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whisper.cpp does what a scripted provider that always crashes could not; one line says so."""
    path = config.parent / "script.json"
    path.write_text('{"crash_load": true}')
    settings = Settings(model=str(path), provider="auto", providers=("scripted", "whisper_cpp"))
    plan = prepare(settings)
    reserve = replace(plan.reserves[0], prepare=lambda: prepare(Settings(provider="whisper_cpp")))
    monday = str(Path(asrctl.__file__).parent / "assets" / "monday.wav")
    task = Task([monday], [None], "json", settings, vad=False)

    async def main() -> int:
        with FileView() as view:
            async with AsyncEngine.of(replace(plan, reserves=(reserve,)), settings) as engine:
                return await transcribe_files(engine, task, view)

    assert asyncio.run(main()) == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert "Monday morning" in document["text"]
    assert (document["provider"], document["model"]) == ("whisper_cpp", "tiny.en-q8_0")
    assert document["audio"]["dropped_s"] == 0
    assert printed.err.count("now transcribed by whisper_cpp: scripted: ") == 1
