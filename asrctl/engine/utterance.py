"""One utterance of a live stream: what is asked about it, and what is known."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from asrctl.engine.events import Event
from asrctl.policy.agreement import StablePrefix
from asrctl.policy.endpointing import Span
from asrctl.policy.priority import Kind
from asrctl.providers.base import DecodeOptions
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Segment, Word


@dataclass(frozen=True, slots=True, eq=False)
class Decode:
    """A window to be decoded; answer with `Stream.resolve(job, …)`, whatever becomes of it."""

    job: int
    kind: Kind
    utterance: int
    samples: NDArray[np.float32]
    options: DecodeOptions


@dataclass(frozen=True, slots=True)
class Abort:
    """A decode nobody needs any more."""

    job: int


Output = Event | Decode | Abort


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
    revision: int = 0
    partial: tuple[int, int] | None = None
    """Job of the partial that is being made, and where its window ends."""
    final: tuple[int, Span] | None = None
    """Job of the final, or of a guess at it while the utterance is open, and its span."""
    span: Span | None = None
    """Set once it has ended."""
    overlong: bool = False
    outcome: Hypothesis | Exception | None = None

    @property
    def length_samples(self) -> int:
        """Its audio, once it has ended; 0 before."""
        return self.span.length_samples if self.span else 0


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
