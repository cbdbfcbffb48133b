"""Speech for streams under test: detectors that hear levels, and what a recogniser makes of `speak`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from asrctl.policy.endpointing import FRAME_SAMPLES
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Segment
from asrctl_tests.scripted import listen, speak

Samples = NDArray[np.float32]
PATIENCE_S = 60.0


class LevelDetector:
    """Speech is whatever is not silent; the short pauses between words are less probable, no more."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.float32)

    def probabilities(self, samples: Samples) -> Samples:
        joined = np.concatenate((self._rest, samples))
        whole = len(joined) - len(joined) % FRAME_SAMPLES
        self._rest = joined[whole:]
        frames = np.abs(joined[:whole].reshape(-1, FRAME_SAMPLES))
        least, most = frames.min(axis=1), frames.max(axis=1)
        return np.where(most < 0.01, 0.0, np.where(least < 0.1, 0.5, 1.0)).astype(np.float32)

    def flush(self) -> Samples:
        return self.probabilities(np.zeros(-len(self._rest) % FRAME_SAMPLES, np.float32))


def silence(duration_s: float) -> Samples:
    """Digital silence at 16 kHz."""
    return np.zeros(round(duration_s * SAMPLE_RATE_HZ), np.float32)


def heard_in(samples: Samples, language: str = "en") -> Hypothesis:
    """What a recogniser that makes no mistakes hears in audio of `speak`."""
    words = tuple(listen(samples))
    if not words:
        return Hypothesis((), language, 0.0)
    text = " ".join(word.text for word in words)
    return Hypothesis((Segment(words[0].start_s, words[-1].end_s, text, 1.0, words),), language, 0.0)


def words(*numbers: int) -> list[str]:
    """The words that `speak` says for these numbers."""
    return [f"w{number}" for number in numbers]


def joined(*pieces: Samples) -> Samples:
    """All of the audio, one piece after the other."""
    return np.concatenate(pieces)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until `condition` holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.001)


__all__ = ["LevelDetector", "Samples", "heard_in", "joined", "silence", "speak", "until", "words"]
