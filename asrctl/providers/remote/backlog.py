"""The utterances that have no `Completed` yet: their audio, what was heard of them, and what was told.

Links come and go; the backlog stays. What a new link hears again is not told again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from asrctl.errors import DecodeError, ProviderError
from asrctl.providers.base import Completed, Heard, Spoken
from asrctl.providers.remote.pcm import SAMPLE_BYTES
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Segment

MAX_REFUSALS = 3
"""An utterance that a server refused so often is not given to it again."""
_MAX_TEXT = 100_000
"""Most characters of an utterance."""


@dataclass(slots=True, eq=False)
class Utterance:
    """One stretch of speech.

    Attributes:
        pcm: Its audio so far, at 16 kHz.
        ended: Whether that is all.
        ended_at_s: When it ended.
        heard: The text that the present link has given.
        told: The text that was said of it.
        outcome: What it said in the end.
        refusals: How often the server could not make text of it.
    """

    pcm: bytearray = field(default_factory=bytearray)
    ended: bool = False
    ended_at_s: float = 0.0
    heard: str = ""
    told: str = ""
    outcome: Hypothesis | None = None
    refusals: int = 0

    @property
    def duration_s(self) -> float:
        """Its length so far."""
        return len(self.pcm) / SAMPLE_BYTES / SAMPLE_RATE_HZ


class Backlog:
    """One stream's utterances, numbered from 0; at least the last is open. Methods return what is to be said.

    What is said follows the order of the utterances: text of a later one waits for the earlier ones'
    `Completed`.
    """

    def __init__(self, max_s: float, language: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with one empty utterance.

        Args:
            max_s: Most audio that is held.
            language: Of the hypotheses.
            clock: Monotonic seconds.
        """
        self._max_bytes = round(max_s * SAMPLE_RATE_HZ) * SAMPLE_BYTES
        self._language = language
        self._clock = clock
        self._utterances = deque([Utterance()])
        self._held_bytes = 0
        self.first = 0
        """Number of the oldest utterance that is held."""

    @property
    def last(self) -> int:
        """Number of the utterance that is open."""
        return self.first + len(self._utterances) - 1

    @property
    def held_s(self) -> float:
        """Audio that is held."""
        return self._held_bytes / SAMPLE_BYTES / SAMPLE_RATE_HZ

    @property
    def owed(self) -> bool:
        """Whether an utterance has ended and was not completed."""
        return len(self._utterances) > 1

    def get(self, number: int) -> Utterance:
        """An utterance that is held."""
        return self._utterances[number - self.first]

    def holds(self, number: int) -> bool:
        """Whether an utterance is not completed."""
        return self.first <= number <= self.last and self.get(number).outcome is None

    # What the caller does

    def feed(self, pcm: bytes) -> None:
        """Take more of the open utterance.

        Raises:
            ProviderError: There is no room.
        """
        if self._held_bytes + len(pcm) > self._max_bytes:
            raise ProviderError(f"the server does not keep up: more than {self.held_s:.0f} s of audio wait")
        self._utterances[-1].pcm += pcm
        self._held_bytes += len(pcm)

    def complete(self) -> list[Spoken]:
        """End the open utterance, and open the next; one without audio needs no server."""
        utterance = self._utterances[-1]
        utterance.ended, utterance.ended_at_s = True, self._clock()
        self._utterances.append(Utterance())
        if not utterance.pcm:
            utterance.outcome = Hypothesis((), self._language, 0.0)
        return self._release()

    # What the server says

    def heard(self, number: int, text: str) -> list[Spoken]:
        """An utterance says `text` so far, by the present link.

        Raises:
            DecodeError: There is no end to it.
        """
        if len(text) > _MAX_TEXT:
            raise DecodeError("the server finds no end")
        utterance = self.get(number)
        utterance.heard = text
        return self._tell(utterance) if number == self.first else []

    def said(self, number: int, text: str) -> list[Spoken]:
        """An utterance that has ended says `text`, and that is all that is known of it."""
        utterance, text = self.get(number), text.strip()
        segments = (Segment(0.0, utterance.duration_s, text, 1.0),) if text else ()
        return self.completed(number, segments)

    def completed(self, number: int, segments: tuple[Segment, ...], language: str = "") -> list[Spoken]:
        """An utterance that has ended says this; times are seconds since its first sample."""
        utterance = self.get(number)
        waited_s = max(0.0, self._clock() - utterance.ended_at_s)
        utterance.outcome = Hypothesis(segments, language or self._language, waited_s)
        return self._release()

    def refused(self, number: int, reason: str) -> None:
        """The server could not make text of an utterance.

        Raises:
            DecodeError: Too often.
        """
        utterance = self.get(number)
        utterance.refusals += 1
        if utterance.refusals >= MAX_REFUSALS:
            raise DecodeError(f"the server refuses an utterance: {reason}")

    def rewind(self) -> None:
        """The link is gone: what is not completed will be heard again."""
        for utterance in self._utterances:
            utterance.heard = ""

    # Inside

    def _release(self) -> list[Spoken]:
        """Complete utterances in their order, and tell what was heard of the one that comes next."""
        spoken: list[Spoken] = []
        while (outcome := self._utterances[0].outcome) is not None:
            spoken.append(Completed(outcome))
            self._held_bytes -= len(self._utterances.popleft().pcm)
            self.first += 1
            spoken += self._tell(self._utterances[0])
        return spoken

    def _tell(self, utterance: Utterance) -> list[Spoken]:
        """Say what goes beyond what was said; another wording waits for the end of the utterance."""
        heard, told = utterance.heard, utterance.told
        if utterance.outcome is not None or len(heard) <= len(told) or not heard.startswith(told):
            return []
        utterance.told = heard
        return [Heard(heard[len(told) :])]
