"""How far behind a live stream is: when its audio was due, whatever the network did with it.

Audio is due when it arrives, but no faster than one speaks: a burst, such as a file, or what a client held
while its connection was lost, is taken as if it were spoken from its arrival on. So a stream falls behind
only where its audio is answered more slowly than real time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from asrctl.transcript import SAMPLE_RATE_HZ

_STEP_S = 0.2
"""Arrivals closer than this are one."""


class Arrivals:
    """When the samples of one stream were due, by position."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin at position 0; `clock` gives monotonic seconds."""
        self._clock = clock
        self._due: deque[tuple[int, float]] = deque()
        self._end_sample = 0
        self._end_due_s = clock()

    def add(self, samples: int, *, spoken: bool = True) -> None:
        """The next samples came now; those that nobody will hear, since they were lost, take no time."""
        self._end_sample += samples
        duration_s = samples / SAMPLE_RATE_HZ if spoken else 0.0
        self._end_due_s = max(self._clock(), self._end_due_s + duration_s)
        if self._due and self._end_due_s - self._due[-1][1] < _STEP_S:
            self._due[-1] = (self._end_sample, self._due[-1][1])
        else:
            self._due.append((self._end_sample, self._end_due_s))

    def lag_s(self, sample: int) -> float:
        """How long ago the samples before this position were due; 0 if they still are."""
        due_s = next((due_s for end, due_s in self._due if end >= sample), self._end_due_s)
        return max(0.0, self._clock() - due_s)

    def due_before(self, lag_s: float) -> int:
        """The position up to which all was due so long ago; 0 if nothing was."""
        latest_s = self._clock() - lag_s
        return max((end for end, due_s in self._due if due_s <= latest_s), default=0)

    def forget(self, before_sample: int) -> None:
        """Nobody asks for earlier positions any more."""
        while self._due and self._due[0][0] < before_sample:
            self._due.popleft()
