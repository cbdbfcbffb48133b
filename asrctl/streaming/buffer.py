"""The last stretch of a stream, by position."""

from __future__ import annotations

from collections import deque

import numpy as np

from asrctl.policy.endpointing import Span
from asrctl.transcript import Samples


class SampleBuffer:
    """Samples from `start_sample` on; what is no longer needed is forgotten chunk by chunk."""

    def __init__(self) -> None:
        self._chunks: deque[Samples] = deque()
        self.start_sample = 0
        self.end_sample = 0

    def append(self, chunk: Samples) -> None:
        """Add the samples that follow, shape (n,), float32; the array must not change afterwards."""
        self._chunks.append(chunk)
        self.end_sample += len(chunk)

    def read(self, span: Span) -> Samples:
        """The samples of a span, a copy of shape (n,).

        Raises:
            ValueError: Some of them are forgotten or have not come yet.
        """
        if not self.start_sample <= span.start_sample <= span.end_sample <= self.end_sample:
            raise ValueError(f"{span} is outside {self.start_sample}-{self.end_sample}")
        pieces, position = [], self.end_sample
        for chunk in reversed(self._chunks):  # since it is mostly the newest that is read
            if position <= span.start_sample:
                break
            position -= len(chunk)
            begin = max(span.start_sample - position, 0)
            end = min(span.end_sample - position, len(chunk))
            if begin < end:
                pieces.append(chunk[begin:end])
        return np.concatenate(pieces[::-1]) if pieces else np.zeros(0, np.float32)

    def forget(self, before_sample: int) -> None:
        """Let go of all whole chunks that end at or before a position."""
        while self._chunks and self.start_sample + len(self._chunks[0]) <= before_sample:
            self.start_sample += len(self._chunks.popleft())
