"""The utterances of a stream that are not done: their audio, and what was heard and said of them.

Links come and go; the backlog stays. What a new link hears again is not said again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from asrctl.errors import DecodeError, ProviderError
from asrctl.providers.outbox import split_words
from asrctl.providers.recognizer import Completed, Failed, Heard, Spoken
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
        refusals: How often the server could not make text of it.
        failure: Why it is not given to the server any more; None while it may be.
        dropped: Whether nobody waits for it.
    """

    pcm: bytearray = field(default_factory=bytearray)
    ended: bool = False
    ended_at_s: float = 0.0
    heard: str = ""
    told: str = ""
    refusals: int = 0
    failure: DecodeError | None = None
    dropped: bool = False

    @property
    def duration_s(self) -> float:
        """Its length so far."""
        return len(self.pcm) / SAMPLE_BYTES / SAMPLE_RATE_HZ


class Backlog:
    """One stream's utterances by number; the last is open."""

    def __init__(
        self,
        max_s: float,
        language: str,
        say: Callable[[Spoken], None],
    ) -> None:
        """Begin with one empty utterance.

        Args:
            max_s: Most audio that is held.
            language: Of the hypotheses.
            say: Takes what is to be said.
        """
        self._max_bytes = round(max_s * SAMPLE_RATE_HZ) * SAMPLE_BYTES
        self._language = language
        self._say = say
        self._utterances = {0: Utterance()}
        self._held_bytes = 0
        self.last = 0
        """Number of the utterance that is open."""

    @property
    def first(self) -> int:
        """Number of the oldest utterance that is not done."""
        return next(iter(self._utterances))

    @property
    def owed(self) -> bool:
        """Whether an utterance has ended and is not done."""
        return len(self._utterances) > 1

    @property
    def blamed(self) -> int | None:
        """The utterance that the server is at work on; None if it was given nothing."""
        return self.first if self._utterances[self.first].pcm else None

    def get(self, number: int) -> Utterance:
        """An utterance that is not done."""
        return self._utterances[number]

    def holds(self, number: int) -> bool:
        """Whether an utterance is not done."""
        return number in self._utterances

    def next_to_send(self, number: int) -> int:
        """The first utterance from `number` on, none of which was sent, that the server should hear.

        Those that nobody waits for are forgotten on the way. It may be the open one, without audio yet.
        """
        for each, utterance in list(self._utterances.items()):
            if each >= number and utterance.dropped:
                self._forget(each)
            elif each >= number and utterance.failure is None:
                return each
        return self.last

    # What the caller does

    def feed(self, pcm: bytes) -> None:
        """Take more of the open utterance.

        Raises:
            ProviderError: There is no room.
        """
        if self._held_bytes + len(pcm) > self._max_bytes:
            waiting_s = self._held_bytes / SAMPLE_BYTES / SAMPLE_RATE_HZ
            raise ProviderError(f"the server does not keep up: more than {waiting_s:.0f} s of audio wait")
        self._utterances[self.last].pcm += pcm
        self._held_bytes += len(pcm)

    def end(self) -> None:
        """End the open utterance, and open the next; one without audio needs no server."""
        number, utterance = self.last, self._utterances[self.last]
        utterance.ended, utterance.ended_at_s = True, time.monotonic()
        self.last += 1
        self._utterances[self.last] = Utterance()
        if utterance.failure is not None:
            self._done(number, Failed(number, utterance.failure))
        elif not utterance.pcm:
            self.completed(number, ())

    def drop(self, number: int) -> None:
        """Nobody waits for an utterance that has ended; one that is not on its way is never sent."""
        if number in self._utterances and number != self.last:
            self._utterances[number].dropped = True

    # What the server says

    def heard(self, number: int, text: str, samples: int) -> None:
        """An utterance says `text` so far, by the present link, which has heard so many samples of it.

        Another wording than what was said before waits for the end of the utterance.

        Raises:
            DecodeError: There is no end to it.
        """
        if len(text) > _MAX_TEXT:
            raise DecodeError("the server's text for one utterance is too long")
        utterance = self._utterances[number]
        utterance.heard = text
        if len(text) > len(utterance.told) and text.startswith(utterance.told):
            utterance.told = text
            self._say(Heard(number, *split_words(text), samples))

    def said(self, number: int, text: str) -> None:
        """An utterance that has ended says `text`, and that is all that is known of it."""
        text, duration_s = text.strip(), self._utterances[number].duration_s
        self.completed(number, (Segment(0.0, duration_s, text, 1.0),) if text else ())

    def completed(self, number: int, segments: tuple[Segment, ...]) -> None:
        """An utterance that has ended says this; times are seconds since its first sample."""
        waited_s = max(0.0, time.monotonic() - self._utterances[number].ended_at_s)
        self._done(number, Completed(number, Hypothesis(segments, self._language, waited_s)))

    def refused(self, number: int, reason: str) -> None:
        """The server could not make text of an utterance; after some times it is not asked again."""
        utterance = self._utterances[number]
        utterance.refusals += 1
        if utterance.refusals >= MAX_REFUSALS:
            self.fail(number, DecodeError(f"the server refuses an utterance: {reason}"))

    def fail(self, number: int, error: DecodeError) -> None:
        """The server is not asked for an utterance again, which is said when it has ended."""
        utterance = self._utterances[number]
        utterance.failure = error
        if utterance.ended:
            self._done(number, Failed(number, error))

    def rewind(self) -> None:
        """The link is gone: what is not done will be heard again. What nobody waits for is forgotten."""
        for number, utterance in list(self._utterances.items()):
            utterance.heard = ""
            if utterance.dropped:
                self._forget(number)

    def _done(self, number: int, spoken: Spoken) -> None:
        self._forget(number)
        self._say(spoken)

    def _forget(self, number: int) -> None:
        self._held_bytes -= len(self._utterances.pop(number).pcm)
