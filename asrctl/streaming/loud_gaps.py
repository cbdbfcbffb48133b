"""What is as loud as speech and was not taken for it: voices in loud music are not detected, for one."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from asrctl.policy.endpointing import Span
from asrctl.transcript import SAMPLE_RATE_HZ

_LONGEST_SAMPLES = 12 * SAMPLE_RATE_HZ
_SHORTEST_SAMPLES = SAMPLE_RATE_HZ


class LoudGaps:
    """Finds the gaps between utterances that are at least as loud as half of the utterances before.

    Noise behind speech is quieter than both together. So such a gap is music, something else that is loud, or
    speech that the detector did not hear; the recogniser is asked, which makes no words of noise alone. A gap
    that was loud is looked at to its end: music has rests.
    """

    def __init__(self, read: Callable[[Span], NDArray[np.float32]]) -> None:
        """Begin with a stream.

        Args:
            read: Gives the samples of a span, shape (n,), that is not forgotten.
        """
        self._read = read
        self._powers: list[float] = []
        self._is_loud = False
        self.start_sample = 0
        """From here on the audio is still needed."""

    def before(self, utterance: Span) -> list[Span]:
        """What is loud between the utterance before and this one, in pieces of 1 to 12 s."""
        insort(self._powers, self._power(utterance))
        found = self._cut(utterance.start_sample)
        self.start_sample = utterance.end_sample
        self._is_loud = False
        return found

    def until(self, settled_sample: int) -> list[Span]:
        """The same of a gap that is still open; before the first utterance only its last 12 s are kept."""
        if not self._powers:
            self.start_sample = max(self.start_sample, settled_sample - _LONGEST_SAMPLES)
            return []
        whole = (settled_sample - self.start_sample) // _LONGEST_SAMPLES
        return self._cut(self.start_sample + whole * _LONGEST_SAMPLES)

    def flush(self, end_sample: int) -> list[Span]:
        """The same of what comes behind the last utterance."""
        return self._cut(end_sample) if self._powers else []

    def _cut(self, end_sample: int) -> list[Span]:
        found = list[Span]()
        while end_sample - self.start_sample >= _SHORTEST_SAMPLES:
            piece = Span(self.start_sample, min(self.start_sample + _LONGEST_SAMPLES, end_sample))
            self.start_sample = piece.end_sample
            self._is_loud = self._is_loud or self._power(piece) >= self._powers[(len(self._powers) - 1) // 2]
            if self._is_loud:
                found.append(piece)
        return found

    def _power(self, span: Span) -> float:
        return float(np.var(self._read(span)))
