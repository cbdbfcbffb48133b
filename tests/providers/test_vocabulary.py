"""Terms told to real weights: they do not become text where nobody said them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from asrctl.audio.sample import SAMPLE_TEXT, sample_speech
from asrctl.models.store import ModelStore
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.providers.plugin import is_installed
from asrctl.workers.options import PoolOptions
from tests.workers.blocking import BlockingPool

pytestmark = pytest.mark.integration

TERMS = ("Okonkwo", "Lindqvist", "Kubernetes", "Metoprolol", "Ouagadougou", "Thyssenkrupp", "Ada Lovelace")
TOLD = DecodeOptions(vocabulary=TERMS)
DICE = np.random.default_rng(5)
NOISES = {
    "silence": np.zeros(32_000, np.float32),
    "hiss": DICE.normal(0, 0.01, 48_000).astype(np.float32),
    "hum": (0.1 * np.sin(np.arange(32_000) * 2 * np.pi * 50 / 16_000)).astype(np.float32),
}


@pytest.fixture(scope="module", params=["whisper_cpp", "faster_whisper"])
def pool(request: pytest.FixtureRequest, store: ModelStore) -> Iterator[BlockingPool]:
    """One worker with tiny.en."""
    if not is_installed(request.param if request.param == "faster_whisper" else "_pywhispercpp"):
        pytest.skip(f"{request.param} is not installed")
    is_ggml = request.param == "whisper_cpp"
    path = store.resolve("tiny.en-q8_0").path if is_ggml else store.ct2_directory("tiny.en")
    spec = ModelSpec(request.param, path, use_gpu=False)
    with BlockingPool(spec, PoolOptions(attempts=2)) as pool:
        pool.wait_ready()
        yield pool


def keys(text: str) -> list[str]:
    return [word.strip(".,!?").casefold() for word in text.split()]


@pytest.mark.parametrize("samples", NOISES.values(), ids=NOISES)
def test_nothing_is_made_up(pool: BlockingPool, samples: NDArray[np.float32]) -> None:
    """In silence and noise there is no term, nor anything that is not there without terms."""
    text = pool.decode(samples, TOLD).text
    assert not set(keys(" ".join(TERMS))) & set(keys(text))
    assert text in ("", pool.decode(samples, DecodeOptions()).text)


def test_speech_without_terms(pool: BlockingPool) -> None:
    """It keeps its words."""
    assert keys(pool.decode(sample_speech(), TOLD).text) == keys(SAMPLE_TEXT)
