"""An allowance that refills: so many a second on average, those of some seconds at once."""

from __future__ import annotations

from collections.abc import Callable


class TokenBucket:
    """A token bucket."""

    def __init__(self, per_s: float, burst_s: float, clock: Callable[[], float]) -> None:
        """Begin full.

        Args:
            per_s: How many come back each second.
            burst_s: As many as of so many seconds may be taken at once.
            clock: Monotonic seconds.
        """
        self._per_s = per_s
        self._most = per_s * burst_s
        self._clock = clock
        self.refill()

    def refill(self) -> None:
        """All of it is there again."""
        self._left, self._at_s = self._most, self._clock()

    def take(self, count: float = 1.0) -> bool:
        """Take so many; False, and nothing is taken, if there are fewer."""
        now_s = self._clock()
        self._left = min(self._most, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._left < count:
            return False
        self._left -= count
        return True
