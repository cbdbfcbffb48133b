"""Where the same is said again and again, and how often: recognisers hear that it is, and lose count."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asrctl.transcript import SAMPLE_RATE_HZ, Samples

_HOP_SAMPLES = SAMPLE_RATE_HZ // 100
_FRAME_SAMPLES = 400
_FFT_SAMPLES = 512
_BANDS = 20
_LOWEST_HZ, _HIGHEST_HZ = 80, 6000
_RANGE_DB = 50.0
"""What is further below the loudest band is as quiet as that."""
_ACTIVE_DB = 35.0
_STEADY_DB = 1.0
"""A tone or a hum differs from its mean by less."""

_VOWELS_HZ = (400, 2500)
_VOWELS_RANGE_DB = 25.0
_SMOOTHED = 7
_DIP_DB = 4.0

_PERIODS = range(15, 240)
"""In hops: a syllable is hardly shorter than 0.15 s; what takes 2.4 s is a sentence."""
_SHORTEST_LAG = 5
_ALIKE = 0.6
_UNLIKE_BETWEEN = 0.3
_EDGE = 0.8
_A_ROUND = 0.02
LEAST_ROUNDS = 4.5
"""In 606 pieces of real speech and music, 12 s long, one thing came as often. What espeak-ng repeats is 0.92
to 0.98 alike, recorded words with a tenth of their tempo and pauses changed 0.83 to 0.96 (by hand)."""


@dataclass(frozen=True, slots=True)
class Repetition:
    """A stretch of audio in which the same comes again and again.

    Attributes:
        start_s: Where it begins, pauses not counted.
        end_s: Where it ends.
        rounds: How often it comes; not whole, since pauses and tempo vary, and right to about one. Words
            that are said in pairs make one round each pair.
        syllables: How many are in it.
    """

    start_s: float
    end_s: float
    rounds: float
    syllables: int


def repetitions(samples: Samples) -> list[Repetition]:
    """Stretches with at least `LEAST_ROUNDS`, in order, apart from each other.

    The spectra of a stretch and those a period later correlate, over a period at a time, and do not at some
    shorter lag: a vowel that is held is like itself at all of them.

    Args:
        samples: Shape (n,), mono float32 at 16 kHz.
    """
    bands = _bands(samples)
    if len(bands) < LEAST_ROUNDS * _PERIODS.start:
        return []
    is_active = bands.max(axis=1) > bands.max() - _ACTIVE_DB
    vowels_db = _vowels_db(bands)
    bands = bands - bands.mean(axis=0)
    squares = _running_sum((bands * bands).sum(axis=1))
    least = np.ones(len(bands))
    found = list[tuple[float, int, int, float]]()
    for lag in range(_SHORTEST_LAG, min(_PERIODS.stop, round(len(bands) / (LEAST_ROUNDS - 1)))):
        alike = _likeness(bands, squares, lag)
        if lag in _PERIODS:
            for first, last in _runs((alike > _ALIKE) & (alike - least[: len(alike)] > _UNLIKE_BETWEEN)):
                inner = first + np.flatnonzero(
                    alike[first : last + 1] > _EDGE * alike[first : last + 1].max()
                )
                active = inner[0] + np.flatnonzero(is_active[inner[0] : inner[-1] + 2 * lag])
                rounds = float(active[-1] + 1 - active[0]) / lag if len(active) else 0.0
                if rounds >= LEAST_ROUNDS:
                    clear = float(alike[inner[0] : inner[-1] + 1].mean())
                    found.append((clear, int(active[0]), int(active[-1]) + 1, rounds))
        least[: len(alike)] = np.minimum(least[: len(alike)], alike)
    hop_s = _HOP_SAMPLES / SAMPLE_RATE_HZ
    return [
        Repetition(start * hop_s, end * hop_s, rounds, _peaks(vowels_db[start:end]))
        for start, end, rounds in _apart(found)
    ]


def _bands(samples: Samples) -> NDArray[np.float64]:
    """Level in each band of a mel scale, in dB, shape (frames, bands)."""
    count = max(0, (len(samples) - _FRAME_SAMPLES) // _HOP_SAMPLES + 1)
    frames = samples[np.arange(_FRAME_SAMPLES) + _HOP_SAMPLES * np.arange(count)[:, None]]
    powers = np.abs(np.fft.rfft(frames * np.hanning(_FRAME_SAMPLES), _FFT_SAMPLES)) ** 2
    hertz = np.arange(_FFT_SAMPLES // 2 + 1) * SAMPLE_RATE_HZ / _FFT_SAMPLES
    mels = np.array(_mels(*hertz))[:, None]
    edges = _edges()
    rising, falling = mels - edges[:-2], edges[2:] - mels
    weights = np.clip(np.minimum(rising, falling), 0, None) / (edges[1] - edges[0])
    levels: NDArray[np.float64] = 10 * np.log10(powers @ weights + 1e-12)
    levels = np.maximum(levels, levels.max(initial=-120.0) - _RANGE_DB)
    return levels


def _edges() -> NDArray[np.float64]:
    """Where bands begin, are highest, and end."""
    lowest, highest = _mels(_LOWEST_HZ, _HIGHEST_HZ)
    return lowest + np.arange(_BANDS + 2, dtype=np.float64) * (highest - lowest) / (_BANDS + 1)


def _mels(*hertz: float) -> list[float]:
    """O'Shaughnessy's formula."""
    return [2595 * math.log10(1 + each / 700) for each in hertz]


def _running_sum(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([[0.0], np.cumsum(values)])


def _likeness(bands: NDArray[np.float64], squares: NDArray[np.float64], lag: int) -> NDArray[np.float64]:
    """Correlation of as many frames as the lag with those a lag later, for each first frame."""
    products = _running_sum((bands[:-lag] * bands[lag:]).sum(axis=1))
    at = np.arange(len(bands) - 2 * lag + 1)
    before, after = squares[at + lag] - squares[at], squares[at + 2 * lag] - squares[at + lag]
    steady = lag * _BANDS * _STEADY_DB**2
    return (products[at + lag] - products[at]) / (np.sqrt(before * after) + steady)


def _runs(holds: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], holds.astype(np.int8), [0]])))
    return [(int(start), int(end) - 1) for start, end in edges.reshape(-1, 2)]


def _apart(found: list[tuple[float, int, int, float]]) -> list[tuple[int, int, float]]:
    """The clearest of those that overlap; of two about as clear the one with more rounds, since two rounds
    are a period too."""
    kept = list[tuple[int, int, float]]()
    for _, start, end, rounds in sorted(found, key=lambda each: each[0] + _A_ROUND * each[3], reverse=True):
        if all(end <= other_start or start >= other_end for other_start, other_end, _ in kept):
            kept.append((start, end, rounds))
    return sorted(kept)


def _vowels_db(bands: NDArray[np.float64]) -> NDArray[np.float64]:
    """Level where vowels are loud, and nasals and fricatives are not, smoothed; one for each frame."""
    (lowest, highest), centres = _mels(*_VOWELS_HZ), _edges()[1:-1]
    own = bands[:, (centres > lowest) & (centres < highest)]
    levels = 10 * np.log10(np.mean(10 ** (own / 10), axis=1))
    smooth = np.convolve(levels, np.ones(_SMOOTHED) / _SMOOTHED, "same")
    return np.asarray(np.maximum(smooth, smooth.max() - _VOWELS_RANGE_DB), np.float64)


def _peaks(levels_db: NDArray[np.float64]) -> int:
    """How often a level rises and falls again, by `_DIP_DB` each: syllable nuclei, as de Jong and Wempe
    (2009) count them."""
    count, rising, turn = 0, True, float(levels_db[0])
    for level in levels_db:
        if rising and level < turn - _DIP_DB:
            count, rising, turn = count + 1, False, level
        elif not rising and level > turn + _DIP_DB:
            rising, turn = True, level
        turn = max(turn, level) if rising else min(turn, level)
    return count + rising
