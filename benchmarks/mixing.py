"""Making clean speech hard: noise, rooms, telephones, other people. Pure functions of samples.

Samples are float64 in [-1, 1]. Noise is added at a ratio to the speech itself, pauses left out (`level_db`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import SAMPLE_RATE_HZ, Pcm, silence

Samples = NDArray[np.float64]

_FRAME = 512
_PEAK = 0.98
_TELEPHONE_BAND_HZ = (300.0, 3400.0)
_A = 87.6
"""The constant of G.711's A-law."""


def level_db(samples: Samples) -> float:
    """RMS of the louder half of 32 ms frames, in decibels below full scale: of speech, without its pauses."""
    frames = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME)
    powers = np.sort((frames**2).mean(axis=1)) if len(frames) else np.array([0.0])
    return 10 * float(np.log10(max(float(powers[len(powers) // 2 :].mean()), 1e-12)))


def at_level(samples: Samples, to_db: float) -> Samples:
    """The same with another `level_db`."""
    return samples * 10 ** ((to_db - level_db(samples)) / 20)


def with_noise(speech: Samples, noise: Samples, snr_db: float) -> Samples:
    """Speech with noise below it by so many decibels; noise that is too short is repeated."""
    bed = np.resize(noise, len(speech))
    return _within_scale(speech + at_level(bed, level_db(speech) - snr_db))


def babble(others: Sequence[Samples], length: int, rng: np.random.Generator) -> Samples:
    """People who talk at once, equally loud, each from anywhere in what they say."""
    people = [np.resize(np.roll(each, -int(rng.integers(len(each)))), length) for each in others]
    together: Samples = np.sum([at_level(each, -30.0) for each in people], axis=0)
    return together


def far(speech: Samples, rng: np.random.Generator, rt60_s: float, direct_db: float) -> Samples:
    """Speech from the other end of a room: its sound, then decaying noise as a response, at the same level.

    Args:
        speech: Close to the microphone.
        rng: Makes the response.
        rt60_s: After so long the reverberation is 60 dB weaker.
        direct_db: By how much what comes straight is louder than the reverberation.
    """
    times_s = np.arange(round(rt60_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tail = rng.normal(size=len(times_s)) * 10 ** (-3 * times_s / rt60_s)
    tail[: round(0.002 * SAMPLE_RATE_HZ)] = 0.0
    tail *= 10 ** (-direct_db / 20) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    size = len(speech) + len(tail) - 1
    heard = np.fft.irfft(np.fft.rfft(speech, size) * np.fft.rfft(tail, size), size)
    return _within_scale(at_level(heard, level_db(speech)))


def telephone(speech: Samples) -> Samples:
    """300 to 3400 Hz at 8 kHz, through A-law (G.711)."""
    spectrum = np.fft.rfft(speech)
    hz = np.fft.rfftfreq(len(speech), 1 / SAMPLE_RATE_HZ)
    low, high = _TELEPHONE_BAND_HZ
    narrow = np.fft.irfft(np.where((hz >= low) & (hz <= high), spectrum, 0), len(speech))[::2]
    heard = _a_law_decoded(np.round(_a_law(np.clip(narrow, -1, 1)) * 127) / 127)
    return np.fft.irfft(np.fft.rfft(heard) * 2, 2 * len(heard))[: len(speech)]


def _a_law(samples: Samples) -> Samples:
    size, scale = np.abs(samples), 1 + np.log(_A)
    large = 1 + np.log(np.maximum(_A * size, 1))
    coded: Samples = np.sign(samples) * np.where(size < 1 / _A, _A * size, large) / scale
    return coded


def _a_law_decoded(coded: Samples) -> Samples:
    size, scale = np.abs(coded), 1 + np.log(_A)
    large = np.exp(size * scale - 1)
    samples: Samples = np.sign(coded) * np.where(size < 1 / scale, size * scale, large) / _A
    return samples


def overlapping(one: Samples, other: Samples, overlap_s: float) -> Samples:
    """A speaker who falls in, equally loud, before the one before has ended."""
    start = max(0, len(one) - round(overlap_s * SAMPLE_RATE_HZ))
    both = np.zeros(max(len(one), start + len(other)))
    both[: len(one)] += one
    both[start : start + len(other)] += at_level(other, level_db(one))
    return _within_scale(both)


def hesitant(speech: Samples, rng: np.random.Generator, pause_s: tuple[float, float]) -> Samples:
    """Speech with pauses where it is weakest for a moment, one in about two seconds."""
    cuts = [0, *_dips(speech), len(speech)]
    parts = [speech[start:end] for start, end in pairwise(cuts)]
    paused = [parts[0]]
    for part in parts[1:]:
        paused += [floats(silence(rng.uniform(*pause_s), rng)), part]
    return np.concatenate(paused)


def _dips(speech: Samples) -> list[int]:
    """The weakest 60 ms of each two seconds, where they are 20 dB below the speech, as between words."""
    step, width, found = 2 * SAMPLE_RATE_HZ, round(0.06 * SAMPLE_RATE_HZ), list[int]()
    energy = np.convolve(speech**2, np.ones(width) / width, "same")
    least = 10 ** ((level_db(speech) - 20) / 10)
    for start in range(step // 2, len(speech) - step // 2, step):
        at = start + int(np.argmin(energy[start : min(start + step, len(speech) - step // 4)]))
        if energy[at] < least:
            found.append(at)
    return found


def flowing(clips: Sequence[Samples], rng: np.random.Generator, gap_s: tuple[float, float]) -> Samples:
    """Clips with hardly a pause between them."""
    gaps = [np.zeros(round(rng.uniform(*gap_s) * SAMPLE_RATE_HZ)) for _ in clips]
    return np.concatenate([part for pair in zip(clips, gaps, strict=True) for part in pair])


def floats(samples: Pcm) -> Samples:
    """Samples in [-1, 1]."""
    return samples.astype(np.float64) / 32768


def ints(samples: Samples) -> Pcm:
    """Samples of 16 bits."""
    return np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)


def _within_scale(samples: Samples) -> Samples:
    """The same, weaker where it would be clipped."""
    peak = float(np.abs(samples).max(initial=0.0))
    return samples * (_PEAK / peak) if peak > _PEAK else samples
