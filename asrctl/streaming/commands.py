"""What a stream tells its recogniser."""

from __future__ import annotations

from dataclasses import dataclass

from asrctl.transcript import Samples


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """For the recogniser: the next samples of the open utterance."""

    samples: Samples


@dataclass(frozen=True, slots=True)
class Pause:
    """For the recogniser: the speaker has paused for so long."""

    silence_s: float


@dataclass(frozen=True, slots=True)
class End:
    """For the recogniser: the open utterance is complete."""


@dataclass(frozen=True, slots=True)
class Drop:
    """For the recogniser: nobody waits for this utterance any more."""

    utterance: int


@dataclass(frozen=True, slots=True, eq=False)
class AskTurn:
    """For whoever hears the ends of turns: is what was said before the pause that began there finished?"""

    pause_sample: int
    samples: Samples


Command = Feed | Pause | End | Drop | AskTurn
