"""Speech without speakers: levels that the scripted recogniser reads, and a detector that hears them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asrctl.policy.endpointing import FRAME_SAMPLES
from asrctl.providers.scripted import listen, speak
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Segment


class LevelDetector:
    """Speech is whatever is not silent."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.float32)

    def probabilities(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        joined = np.concatenate((self._rest, samples))
        whole = len(joined) - len(joined) % FRAME_SAMPLES
        self._rest = joined[whole:]
        return (np.abs(joined[:whole].reshape(-1, FRAME_SAMPLES)).max(axis=1) > 0.01).astype(np.float32)

    def flush(self) -> NDArray[np.float32]:
        return self.probabilities(np.zeros(-len(self._rest) % FRAME_SAMPLES, np.float32))


def silence(duration_s: float) -> NDArray[np.float32]:
    """Digital silence at 16 kHz."""
    return np.zeros(round(duration_s * SAMPLE_RATE_HZ), np.float32)


def heard_in(samples: NDArray[np.float32]) -> Hypothesis:
    """What the scripted recogniser makes of these samples."""
    words = tuple(listen(samples))
    if not words:
        return Hypothesis((), "en", 0.0)
    text = " ".join(word.text for word in words)
    return Hypothesis((Segment(words[0].start_s, words[-1].end_s, text, 1.0, words),), "en", 0.0)


__all__ = ["LevelDetector", "heard_in", "silence", "speak"]
