"""Sounds that change as those of speech do."""

from __future__ import annotations

import numpy as np

from asrctl.transcript import SAMPLE_RATE_HZ, Samples


def word(rng: np.random.Generator, length_s: float) -> Samples:
    """A syllable, two consonants around a vowel, each swelling and fading, and a short pause."""
    parts = []
    for lowest_hz, highest_hz in ((3000, 6000), (500, 2300), (3000, 6000)):
        count = round(length_s * 0.28 * SAMPLE_RATE_HZ)
        spectrum = np.fft.rfft(rng.normal(size=count))
        hertz = np.fft.rfftfreq(count, 1 / SAMPLE_RATE_HZ)
        formants = rng.uniform(lowest_hz, highest_hz, 2)
        spectrum *= sum(np.exp(-(((hertz - each) / 200) ** 2)) for each in formants)
        sound = np.fft.irfft(spectrum, count)
        parts.append(sound / np.abs(sound).max() * np.hanning(count) * rng.uniform(0.2, 0.5))
    pause = np.zeros(round(length_s * SAMPLE_RATE_HZ) - sum(map(len, parts)))
    return np.concatenate([*parts, pause]).astype(np.float32)


def speech(rng: np.random.Generator, length_s: float) -> Samples:
    """Ever new words."""
    words = list[Samples]()
    while sum(map(len, words)) < length_s * SAMPLE_RATE_HZ:
        words.append(word(rng, rng.uniform(0.2, 0.6)))
    return np.concatenate(words)[: round(length_s * SAMPLE_RATE_HZ)]


def again_and_again(rng: np.random.Generator, once: Samples, rounds: int, uneven: float) -> Samples:
    """The same word so often, its tempo and level changed by up to `uneven` of it each time."""
    said = list[Samples]()
    for _ in range(rounds):
        at = np.arange(0, len(once) - 1, 1 + rng.uniform(-uneven, uneven))
        said.append(np.interp(at, np.arange(len(once)), once) * (1 + rng.uniform(-uneven, uneven)))
    return np.concatenate(said).astype(np.float32)
