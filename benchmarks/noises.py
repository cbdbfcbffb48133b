"""Noises and music of RMS 1: noises are made here, music is Debian's `asterisk-moh-opsound-wav`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import SAMPLE_RATE_HZ, note
from benchmarks.sources import SourceError, debian, decoded

MUSIC = "asterisk-moh-opsound-wav"
LENGTH_S = 60

Array = NDArray[np.float32]


def noises(corpus: Path) -> Iterator[tuple[str, Array]]:
    """A minute of each, made and music."""
    rng, count = np.random.default_rng(2), LENGTH_S * SAMPLE_RATE_HZ
    yield "white", _unit(rng.normal(size=count))
    yield "pink", pink(count, rng)
    yield "hum", hum(count)
    yield "clicks", _unit((rng.random(count) < 2 / SAMPLE_RATE_HZ) * rng.normal(size=count) + 1e-4)
    yield from music(corpus)


def pink(count: int, rng: np.random.Generator) -> Array:
    """Noise with as much power in each octave."""
    spectrum = np.fft.rfft(rng.normal(size=count))
    return _unit(np.fft.irfft(spectrum / np.sqrt(np.maximum(1, np.arange(len(spectrum)))), count))


def hum(count: int) -> Array:
    """Of the mains, 50 Hz, and its third harmonic."""
    times_s = np.arange(count) / SAMPLE_RATE_HZ
    return _unit(np.sin(2 * np.pi * 50 * times_s) + np.sin(2 * np.pi * 150 * times_s) / 3)


def music(corpus: Path) -> Iterator[tuple[str, Array]]:
    """Pieces by name; none, and a note, where the package cannot be had."""
    directory = corpus / "packages" / MUSIC
    if not directory.exists():
        directory.mkdir(parents=True)
        try:
            debian(MUSIC)(directory)
        except SourceError as error:
            note(f"without music: {error}")
    for path in sorted(directory.rglob("*.wav")):
        yield path.stem, _unit(decoded(path, LENGTH_S))


def _unit(samples: NDArray[Any]) -> Array:
    floats = samples.astype(np.float64)
    unit: Array = (floats / np.sqrt(np.mean(np.square(floats)))).astype(np.float32)
    return unit
