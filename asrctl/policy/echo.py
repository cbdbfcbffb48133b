"""Echo: whether a frame of a track holds nothing but what another track said before.

What decides is how much of a frame's power is left once all that a linear filter can make of the other track
is taken away. Speech of the track's own is left whole; so it is only ever taken for echo where it is weaker
than the echo that covers it. Tracks of about one level that hold the same are no echo of each other: what the
filter takes away is compared over a second too, since a quiet frame is weaker than a loud one before it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

_SILENT = 1e-9
"""Mean square of -90 dBFS: less is not worth a question."""
# When a frame is echo; chosen by `benchmarks/echo.py` on one half of its mixes.
_MOST_LEFT = 0.4
"""Share of the power that may be left of an echo."""
_WEAKER_BY = 0.5
"""An echo has at most this share of the other track's power, in a frame as over time."""
AROUND_FRAMES = 3
"""Frames before and after that are judged together with each."""
_FLOOR_RISE = 1.01
"""How fast the noise floor follows louder frames, per frame."""
_KEPT = 0.97
"""How much of the powers is kept a frame later, of those that are compared over time."""


@dataclass(frozen=True, slots=True)
class Powers:
    """Mean squares of one frame.

    Attributes:
        heard: Of the track.
        left: Of what the filter left of it.
        other: Of the loudest other track.
        loudest: Of all others together, in their loudest frame lately.
    """

    heard: float
    left: float
    other: float
    loudest: float


class EchoJudge:
    """Judges the frames of one track, `AROUND_FRAMES` late."""

    def __init__(self) -> None:
        self._recent: deque[Powers] = deque(maxlen=2 * AROUND_FRAMES + 1)
        self._floor = self._taken = self._other = 0.0
        self._pending = -AROUND_FRAMES

    def push(self, powers: Powers) -> list[bool]:
        """Take a frame; the verdict on an earlier one, once there is enough after it."""
        self._floor = min(powers.heard, max(self._floor * _FLOOR_RISE, _SILENT))
        self._taken = _KEPT * self._taken + max(0.0, powers.heard - powers.left)
        self._other = _KEPT * self._other + powers.other
        self._recent.append(powers)
        self._pending += 1
        return [self._is_echo()] if self._pending > 0 else []

    def flush(self) -> list[bool]:
        """Verdicts on the last frames."""
        late = min(AROUND_FRAMES, self._pending + AROUND_FRAMES)
        return [self._is_echo() for _ in range(late)]

    def _is_echo(self) -> bool:
        count = len(self._recent)
        heard = sum(each.heard for each in self._recent) / count
        left = sum(each.left for each in self._recent) / count
        loudest = sum(each.loudest for each in self._recent) / count
        own = heard - self._floor
        if own <= _SILENT or heard > _WEAKER_BY * loudest:
            return False
        if self._taken > _WEAKER_BY * self._other:
            return False
        return max(0.0, left - self._floor) <= _MOST_LEFT * own
