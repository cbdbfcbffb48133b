"""Pacing: when an utterance is worth another partial, and when a final may be decoded on suspicion.

Partials are what costs in live recognition, so their interval is the first knob under load: it follows how
long the last ones took to come back, which grows with the queue.
"""

from __future__ import annotations

from dataclasses import dataclass

from asrctl.errors import UsageError

_TURNAROUNDS = 2.0
"""An interval is at least so many turnarounds: a stream waits for a partial at most half of its time."""
_DECAY = 0.7
"""Share of a slow turnaround that is remembered with each quicker one: up at once, down step by step."""
_RELAXED_WAIT_S = 0.3
"""Waiting no longer than this, decodes find the machine idle most of the time."""
_FEW_SESSIONS = 4
_GATHER_PER_SESSION_S = 0.025
_MAX_GATHER_S = 0.15


def gather_s(sessions: int) -> float:
    """How much audio a server gathers before it looks for speech in it; seconds.

    Few sessions have each message looked at as it comes. For many, every look costs about as much as what it
    finds in 50 ms: ten sessions that had their audio gathered to 0.15 s took a third less processor time.
    """
    return min(_MAX_GATHER_S, _GATHER_PER_SESSION_S * max(0, sessions - _FEW_SESSIONS))


@dataclass(frozen=True, slots=True)
class PacingOptions:
    """How often partials are made; seconds.

    Attributes:
        first_s: Length of an utterance, its padding included, at its first partial.
        interval_s: New audio between partials, when there is no load.
        max_interval_s: The same under the heaviest load.
        speculate_s: Silence after which the final is decoded before the endpoint is certain; it is kept if
            no speech follows.

    Raises:
        UsageError: The values make no sense together.
    """

    first_s: float = 0.7
    interval_s: float = 1.0
    max_interval_s: float = 8.0
    speculate_s: float = 0.25

    def __post_init__(self) -> None:
        """Validate once, at the edge."""
        if not (self.first_s > 0 and 0 < self.interval_s <= self.max_interval_s and self.speculate_s > 0):
            raise UsageError("pacing: lengths must be positive, and interval_s no more than max_interval_s")


class Pacer:
    """Paces one stream. Time is the stream's own: seconds of audio.

    Two things slow it down: decodes that take long, because utterances are long, make partials rarer; decodes
    that wait for others, because the machine is busy, also make first partials later and end speculation.
    """

    def __init__(self, options: PacingOptions | None = None) -> None:
        self._options = options or PacingOptions()
        self._turnaround_s = 0.0
        self._wait_s = 0.0
        self.factor = 1.0
        """By how much partials are rarer than the options say; above 1 nothing is decoded on suspicion, and
        streamed ones, which come with each word otherwise, are as rare."""

    @property
    def interval_s(self) -> float:
        """New audio between partials at the present load."""
        options = self._options
        wanted_s = max(self.factor * options.interval_s, _TURNAROUNDS * self._turnaround_s)
        return min(wanted_s, options.max_interval_s)

    @property
    def first_s(self) -> float:
        """Length of an utterance at its first partial, at the present load."""
        wanted_s = self.factor * self._options.first_s + self._wait_s
        return min(wanted_s, self._options.max_interval_s)

    @property
    def relaxed(self) -> bool:
        """Whether the machine keeps up with ease, so that work may be risked that turns out useless."""
        return self.factor <= 1 and self._wait_s <= _RELAXED_WAIT_S

    def observe(self, turnaround_s: float, wait_s: float) -> None:
        """A partial took so long from submission to result, of which it waited so long for its turn."""
        self._turnaround_s = max(turnaround_s, _DECAY * self._turnaround_s)
        self._wait_s = max(wait_s, _DECAY * self._wait_s)

    def is_due(self, spoken_s: float, new_s: float) -> bool:
        """Whether to make a partial.

        Args:
            spoken_s: Length of the utterance so far.
            new_s: How much of it the last partial did not cover; all of it before the first.
        """
        if new_s >= spoken_s:  # nothing was shown yet
            return spoken_s >= self.first_s
        return new_s >= self.interval_s

    def may_show(self, spoken_s: float, new_s: float) -> bool:
        """Whether to show what a streaming provider has heard, which costs no decode: always without load.

        Args:
            spoken_s: Length of the utterance so far.
            new_s: How much of it came since something was shown; all of it before that.
        """
        return self.factor <= 1 or self.is_due(spoken_s, new_s)

    def may_speculate(self, silence_s: float) -> bool:
        """Whether to decode the final now, after so much trailing silence."""
        return self.relaxed and silence_s >= self._options.speculate_s
