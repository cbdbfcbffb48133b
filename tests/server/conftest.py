"""One server for the tests that do it no harm, and scripts for those that need their own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asrctl.audio.sample import SAMPLE_WORDS, sample_speech
from asrctl.audio.vad import SileroVad, SileroWeights
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.server.options import Models, NamedModel, ServeOptions
from asrctl.speakers import live_process
from asrctl.workers.options import HealthCheck, PoolOptions
from tests.speakers import children

from .servers import Running, options_for, running, script

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with the usual limits."""
    with running(options_for(script(tmp_path_factory.mktemp("script") / "plain.json"))) as server:
        yield server


@pytest.fixture
def telling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A server that hears one speaker, and another one at the end."""
    turns = [(0.0, 1e6, "someone")], [(0.0, 1e6, "another")]
    monkeypatch.setattr(live_process, "COMMAND", children.live_saying(*turns))
    with running(options_for(script(tmp_path / "script.json"), speakers_dir=tmp_path)) as server:
        yield server


@pytest.fixture(scope="session")
def real_options(tiny_en: Path) -> ServeOptions:
    """A server with whisper.cpp, to be run with `silero`."""
    health = HealthCheck(sample_speech(), SAMPLE_WORDS, DecodeOptions(word_timestamps=True))
    models = Models(NamedModel("tiny.en-q8_0", ModelSpec("whisper_cpp", tiny_en)))
    return ServeOptions(models, PoolOptions(health=health), port=0)


@pytest.fixture(scope="session")
def silero() -> Callable[[], SileroVad]:
    """Makes detectors of speech."""
    weights = SileroWeights.load()
    return lambda: SileroVad(weights)


@pytest.fixture(scope="module")
def real(real_options: ServeOptions, silero: Callable[[], SileroVad]) -> Iterator[Running]:
    """A server with whisper.cpp and Silero VAD, for all tests of a file that do it no harm."""
    with running(real_options, detector=silero) as server:
        yield server


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a certificate that nobody trusts, its key, both in one, and keys that do not fit."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    home = tmp_path_factory.mktemp("pems")
    make = "req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 1 -keyout key.pem -out cert.pem"
    for command in (
        f"{make} -addext subjectAltName=IP:127.0.0.1",
        "genrsa -out other.pem 2048",
        "rsa -aes256 -passout pass:sesame -in key.pem -out locked.pem",
    ):
        subprocess.run(["openssl", *command.split()], cwd=home, check=True, capture_output=True)
    (home / "both.pem").write_text((home / "key.pem").read_text() + (home / "cert.pem").read_text())
    (home / "junk.pem").write_text("junk")
    return home


@pytest.fixture
def scripted(tmp_path: Path) -> Callable[..., ModelSpec]:
    """Makes scripts; `crashes=n` makes a fault happen n times."""

    def make(name: str = "script", **faults: Any) -> ModelSpec:
        if isinstance(faults.get("crashes"), int):
            counter = tmp_path / f"{name}.count"
            counter.write_text(str(faults["crashes"]))
            faults["crashes"] = str(counter)
        return script(tmp_path / f"{name}.json", **faults)

    return make


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for all tests; each has a profile of its own."""
    from .chromium import chromium

    with chromium() as opened:
        yield opened
