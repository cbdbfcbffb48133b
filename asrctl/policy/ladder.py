"""The degrade ladder: what is given up under load, in which order, and when it comes back.

Up at once to the rung that the load calls for, down one rung at a time and only after a calm while.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

from asrctl.errors import UsageError
from asrctl.policy.priority import Source


class Level(IntEnum):
    """The rungs; the higher, the less work is done."""

    NORMAL = 0
    THINNED = 1
    SMALL_MODEL = 2
    FINALS_ONLY = 3
    FAILED_OVER = 4


@dataclass(frozen=True, slots=True)
class Measures:
    """What is to be done on a rung.

    Attributes:
        partials: The sources that get partials.
        interval_factor: By how much partials are further apart, and the first one later, than without load.
        hear_turns: Hear in pauses whether they end a turn.
        overlong_s: Utterances longer than this are cut where it is quiet, if they would not be sooner.
        small_model: Decode with a smaller or quantised model.
        spool_system: Hold `system` audio back and transcribe it later.
        fallback: Decode with the fallback provider.
    """

    partials: frozenset[Source]
    interval_factor: float = 1.0
    hear_turns: bool = True
    overlong_s: float = math.inf
    small_model: bool = False
    spool_system: bool = False
    fallback: bool = False


_BOTH = frozenset({Source.MIC, Source.SYSTEM})
_MIC = frozenset({Source.MIC})
_NONE = frozenset[Source]()
_THINNED = Measures(_BOTH, interval_factor=2.0, hear_turns=False)
# Long utterances are cut sooner: in a queue each session waits for the long ones of all others.
_SMALL_MODEL = replace(_THINNED, partials=_MIC, interval_factor=4.0, overlong_s=8.0, small_model=True)
_FINALS_ONLY = replace(_SMALL_MODEL, partials=_NONE, interval_factor=8.0, spool_system=True)

MEASURES: Mapping[Level, Measures] = {
    Level.NORMAL: Measures(_BOTH),
    Level.THINNED: _THINNED,
    Level.SMALL_MODEL: _SMALL_MODEL,
    Level.FINALS_ONLY: _FINALS_ONLY,
    Level.FAILED_OVER: replace(_FINALS_ONLY, fallback=True),
}
"""With partials 1 s apart without load, the factors make it 2, 4 and 8 s."""


@dataclass(frozen=True, slots=True)
class LadderOptions:
    """When to move. Loads are shares of what just keeps up: 1 is the most that can be borne for long.

    Attributes:
        up: Loads that call for rung 1, 2 and 3.
        down: Below this load it is calm.
        calm_s: How long it must be calm before one step down.
        min_stay_s: A rung is left no sooner, but for a provider that fails.
        max_queue_delay_s: A wait of final jobs that counts as a load of 1.

    Raises:
        UsageError: The values make no sense together.
    """

    up: tuple[float, float, float] = (0.8, 1.0, 1.2)
    down: float = 0.7
    calm_s: float = 30.0
    min_stay_s: float = 10.0
    max_queue_delay_s: float = 2.0

    def __post_init__(self) -> None:
        """Validate once, at the edge."""
        if not 0 < self.down < self.up[0] < self.up[1] < self.up[2] or self.max_queue_delay_s <= 0:
            raise UsageError("ladder: loads must rise from down over up, and max_queue_delay_s be positive")


@dataclass(frozen=True, slots=True)
class LevelChange:
    """A step: clients are told of it, and metrics count it."""

    from_level: Level
    level: Level
    reason: str


class Ladder:
    """Where on the ladder a server stands. `observe` is to be called regularly, about once a second."""

    def __init__(self, options: LadderOptions, clock: Callable[[], float]) -> None:
        """Begin at the foot; `clock` gives monotonic seconds."""
        self._options = options
        self._clock = clock
        self._level = Level.NORMAL
        self._since_s = clock() - options.min_stay_s
        self._calm_since_s: float | None = None

    @property
    def level(self) -> Level:
        """The rung."""
        return self._level

    @property
    def measures(self) -> Measures:
        """What is to be done on it."""
        return MEASURES[self._level]

    def observe(self, rtf: float, queue_delay_s: float) -> LevelChange | None:
        """Take note of the load, and move if it calls for it.

        Args:
            rtf: Inference that the audio of the last while costs, per second of it, as a share of what the
                workers can do in a second.
            queue_delay_s: How long final jobs wait before they run.
        """
        load = max(rtf, queue_delay_s / self._options.max_queue_delay_s)
        now_s = self._clock()
        if not load < self._options.down:
            self._calm_since_s = None
        elif self._calm_since_s is None:
            self._calm_since_s = now_s
        if self._level is Level.FAILED_OVER or now_s - self._since_s < self._options.min_stay_s:
            return None
        wanted = Level(sum(load >= threshold for threshold in self._options.up))
        if wanted > self._level:
            return self._move(wanted, f"load {load:.2f}")
        calm = self._calm_since_s is not None and now_s - self._calm_since_s >= self._options.calm_s
        if calm and self._level > Level.NORMAL:
            return self._move(Level(self._level - 1), f"load {load:.2f} for {self._options.calm_s:g} s")
        return None

    def provider_failed(self, reason: str) -> LevelChange | None:
        """The provider cannot go on: fail over, at once; None if that was done already."""
        return None if self._level is Level.FAILED_OVER else self._move(Level.FAILED_OVER, reason)

    def provider_recovered(self) -> LevelChange | None:
        """The provider is back: down one rung, and from there as the load allows; None if it never failed."""
        if self._level is not Level.FAILED_OVER:
            return None
        return self._move(Level.FINALS_ONLY, "the provider is back")

    def _move(self, level: Level, reason: str) -> LevelChange:
        change = LevelChange(self._level, level, reason)
        self._level, self._since_s, self._calm_since_s = level, self._clock(), None
        return change
