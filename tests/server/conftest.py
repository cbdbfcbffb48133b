"""One server for the tests that do it no harm, and scripts for those that need their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asrctl.audio.sample import SAMPLE_WORDS, sample_speech
from asrctl.audio.vad import SileroVad, SileroWeights
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.server.options import Models, NamedModel, ServeOptions
from asrctl.workers.options import HealthCheck, PoolOptions

from .servers import Running, options_for, running, script

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with the usual limits."""
    with running(options_for(script(tmp_path_factory.mktemp("script") / "plain.json"))) as server:
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
