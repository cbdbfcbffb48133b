"""What is as loud as speech and was not taken for it: voices in loud music are not detected, for one."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable

import numpy as np

from asrctl.policy.endpointing import Span
from asrctl.transcript import SAMPLE_RATE_HZ, Samples

_BLOCK_SAMPLES = SAMPLE_RATE_HZ
_LONGEST_SAMPLES = 12 * _BLOCK_SAMPLES
_QUIET_POWER = 1e-5
"""50 dB below full scale: quieter than any speech that nothing was heard before."""


class LoudGaps:
    """Finds the gaps between utterances that are, for a second, as loud as half of the utterances before.

    Noise behind speech is quieter than both together. So such a gap is music, something else that is loud, or
    speech that the detector did not hear; the recogniser is asked, which makes no words of noise alone. From
    its first loud second on a gap is looked at to its end.
    """

    def __init__(self, read: Callable[[Span], Samples]) -> None:
        """Begin with a stream.

        Args:
            read: Gives the samples of a span that is not forgotten.
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
        self._skip(settled_sample)
        whole = (settled_sample - self.start_sample) // _LONGEST_SAMPLES
        if self._powers:
            return self._cut(self.start_sample + whole * _LONGEST_SAMPLES)
        self.start_sample = max(self.start_sample, settled_sample - _LONGEST_SAMPLES)
        return []

    def flush(self, end_sample: int) -> list[Span]:
        """The same of what comes behind the last utterance."""
        return self._cut(end_sample) if self._powers else []

    def _cut(self, end_sample: int) -> list[Span]:
        self._skip(end_sample)
        found = list[Span]()
        while self._is_loud and end_sample - self.start_sample >= _BLOCK_SAMPLES:
            found.append(Span(self.start_sample, min(self.start_sample + _LONGEST_SAMPLES, end_sample)))
            self.start_sample = found[-1].end_sample
        return found

    def _skip(self, end_sample: int) -> None:
        """Go to the first loud second."""
        loud = self._powers[(len(self._powers) - 1) // 2] if self._powers else _QUIET_POWER
        while not self._is_loud and end_sample - self.start_sample >= _BLOCK_SAMPLES:
            following_sample = self.start_sample + _BLOCK_SAMPLES
            if self._power(Span(self.start_sample, following_sample)) < loud:
                self.start_sample = following_sample
            elif self._powers:
                self._is_loud = True
            else:
                break

    def _power(self, span: Span) -> float:
        return float(np.var(self._read(span)))
