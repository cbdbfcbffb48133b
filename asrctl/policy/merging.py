"""What several sources say, in the order of time: a source that is behind is waited for, within bounds."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

T = TypeVar("T")


class Merger(Generic[T]):
    """Holds items until nothing earlier can come, or it was waited for long enough."""

    def __init__(self, wait_s: float, most_held: int) -> None:
        """Nothing is held; an item is for `wait_s` at most, and `most_held` items are."""
        self._wait_s = wait_s
        self._most_held = most_held
        self._count = 0
        self._held: list[tuple[float, int, float, T]] = []

    def push(self, at_s: float, now_s: float, item: T) -> None:
        """Hold an item of the time `at_s`; it is `now_s`, by another clock."""
        self._count += 1
        heapq.heappush(self._held, (at_s, self._count, now_s, item))

    def due(self, settled_s: float, now_s: float) -> list[T]:
        """Items to be given now, in order: those before `settled_s`, before which nothing will come any more,
        those that have waited long enough, and what is earlier than these."""
        late = [at_s for at_s, _, held_s, _ in self._held if now_s - held_s >= self._wait_s]
        found = []
        while self._held and (
            self._held[0][0] < settled_s
            or (late and self._held[0][0] <= max(late))
            or len(self._held) > self._most_held
        ):
            found.append(heapq.heappop(self._held)[-1])
        return found
