"""One utterance of a live stream: what is asked about it, and what is known."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from asrctl.policy.agreement import StablePrefix
from asrctl.policy.endpointing import Span
from asrctl.policy.priority import Kind
from asrctl.policy.shown import ShownText
from asrctl.providers.base import DecodeOptions
from asrctl.stream.events import Event
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Segment, Word


@dataclass(frozen=True, slots=True, eq=False)
class Decode:
    """A window to be decoded; answer with `Stream.resolve(job, …)`, whatever becomes of it."""

    job: int
    kind: Kind
    utterance: int
    samples: NDArray[np.float32]
    options: DecodeOptions
    provider: str = ""


@dataclass(frozen=True, slots=True)
class Abort:
    """A decode nobody needs any more."""

    job: int


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """Samples for a streaming session; it answers, in time, through `Stream.hear`."""

    voice: int
    samples: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Complete:
    """The utterance that a streaming session was fed has ended."""

    voice: int


@dataclass(frozen=True, slots=True)
class HangUp:
    """A streaming session that is not needed any more."""

    voice: int


Output = Event | Decode | Abort | Feed | Complete | HangUp


@dataclass(frozen=True, slots=True)
class Place:
    """Who takes an utterance.

    Attributes:
        provider: Its name.
        voice: The open streaming session to be fed; None if it decodes windows.
        reason: Why it is not one that would be better; empty if there is none.
    """

    provider: str = ""
    voice: int | None = None
    reason: str = ""


@dataclass(slots=True, eq=False)
class Utterance:
    """What is known of one utterance."""

    number: int
    start_sample: int
    heard_sample: int
    """How far partials have been asked for."""
    shown_sample: int
    """How far they have come."""
    prefix: StablePrefix = field(default_factory=StablePrefix)
    shown: ShownText = field(default_factory=ShownText)
    revision: int = 0
    place: Place | None = None
    """Who has it; None while it waits for somebody."""
    failures: Counter[str] = field(default_factory=Counter)
    """How often providers failed with it."""
    error: Exception | None = None
    """How the last of them did."""
    fed_sample: int = 0
    """How far a streaming session has it."""
    text: str = ""
    """What the session made of that so far."""
    partial: tuple[int, int] | None = None
    """Job of the partial that is being made, and where its window ends."""
    final: tuple[int, Span] | None = None
    """Job of the final, or of a guess at it while the utterance is open, and its span."""
    span: Span | None = None
    """Set once it has ended."""
    samples: NDArray[np.float32] | None = None
    """Its audio once it has ended, kept until its outcome is known."""
    outcome: Hypothesis | Exception | None = None

    @property
    def length_samples(self) -> int:
        """Its audio, once it has ended; 0 before."""
        return self.span.length_samples if self.span else 0

    @property
    def voice(self) -> int | None:
        """The streaming session that has it, if one has."""
        return self.place.voice if self.place else None

    def leave(self, error: Exception) -> None:
        """Whoever had it failed with it: what was found out is void, but for what was shown."""
        assert self.place is not None
        self.failures[self.place.provider] += 1
        self.place, self.error, self.outcome, self.final, self.text = None, error, None, None, ""
        self.heard_sample = self.shown_sample = self.fed_sample = self.start_sample
        self.prefix.reset()


@dataclass(frozen=True, slots=True)
class Gap:
    """Audio that never came; it is declared in its turn."""

    span: Span
    reason: str


def merged(hypothesis: Hypothesis, span: Span) -> Segment:
    """A final's segment: all of a hypothesis over `span`, times in seconds of the stream."""
    offset_s = span.start_sample / SAMPLE_RATE_HZ
    segments = [segment.shifted(offset_s) for segment in hypothesis.segments]
    if not segments:
        return Segment(offset_s, span.end_sample / SAMPLE_RATE_HZ, "", 0.0)
    words = sum(len(segment.text.split()) or 1 for segment in segments)
    weighted = sum(segment.confidence * (len(segment.text.split()) or 1) for segment in segments)
    return Segment(
        start_s=segments[0].start_s,
        end_s=segments[-1].end_s,
        text=hypothesis.text,
        confidence=weighted / words,
        words=tuple(word for segment in segments for word in segment.words),
    )


def words_of(hypothesis: Hypothesis) -> list[Word]:
    return [word for segment in hypothesis.segments for word in segment.words]
