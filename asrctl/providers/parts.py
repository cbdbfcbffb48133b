"""What the time of decoding a window goes to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from asrctl.transcript import Part


class PartTimer:
    """Adds up the seconds that each part of a window's work took."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` gives seconds."""
        self._clock = clock
        self.parts_s: dict[Part, float] = {}

    @property
    def first_or_rest(self) -> Part:
        """What a decode is that nothing called for but the window itself."""
        return Part.REST if Part.FIRST in self.parts_s else Part.FIRST

    @contextmanager
    def timed(self, part: Part) -> Iterator[None]:
        """Count the time spent in here, also when it ends in an error."""
        started_s = self._clock()
        try:
            yield
        finally:
            self.parts_s[part] = self.parts_s.get(part, 0.0) + self._clock() - started_s
