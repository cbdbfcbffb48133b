"""One utterance of a live stream, a gap between two, and what a final makes of a hypothesis."""

from __future__ import annotations

from dataclasses import dataclass, field

from asrctl.events import Partial
from asrctl.languages import known_language
from asrctl.policy.endpointing import Span
from asrctl.policy.shown import ShownText
from asrctl.providers.recognizer import Heard
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Segment


@dataclass(slots=True, eq=False)
class Utterance:
    """What is known of one utterance."""

    number: int
    start_sample: int
    fed_sample: int = field(init=False)
    """How far the recogniser has it."""
    shown: ShownText = field(default_factory=ShownText)
    shown_samples: int = 0
    """How much of it the last partial that was shown had heard."""
    revision: int = 0
    span: Span | None = None
    """Set once it has ended."""
    outcome: Hypothesis | Exception | None = None

    def __post_init__(self) -> None:
        """Nothing is fed yet."""
        self.fed_sample = self.start_sample

    @property
    def length_samples(self) -> int:
        """Its audio, once it has ended; 0 before."""
        return self.span.length_samples if self.span else 0

    def show(self, heard: Heard) -> Partial | None:
        """What is new to be shown of what was heard of it; None if there is nothing to be shown."""
        shown = self.shown.update(heard.stable, heard.unstable)
        if not any(shown):
            return None
        self.shown_samples = heard.samples
        self.revision += 1
        start_s = self.start_sample / SAMPLE_RATE_HZ
        end_s = start_s + heard.samples / SAMPLE_RATE_HZ
        return Partial(self.number, self.revision, start_s, end_s, shown.stable, shown.unstable)


@dataclass(frozen=True, slots=True)
class Gap:
    """Audio that never came; it is declared in its turn."""

    span: Span
    reason: str

    @property
    def start_sample(self) -> int:
        """Where it begins."""
        return self.span.start_sample


@dataclass(frozen=True, slots=True)
class FlushMark:
    """Where the stream was flushed; it is told of when all before it is answered for."""

    start_sample: int


def merged(hypothesis: Hypothesis, span: Span) -> Segment:
    """A final's segment: all of a hypothesis over `span`, times in seconds of the stream."""
    offset_s = span.start_sample / SAMPLE_RATE_HZ
    segments = [segment.shifted(offset_s) for segment in hypothesis.segments]
    if not segments:
        return Segment(
            offset_s, span.end_sample / SAMPLE_RATE_HZ, "", 0.0, language=known_language(hypothesis.language)
        )
    return Segment(
        start_s=segments[0].start_s,
        end_s=segments[-1].end_s,
        text=hypothesis.text,
        confidence=hypothesis.confidence,
        words=tuple(word for segment in segments for word in segment.words),
        language=known_language(hypothesis.language),
    )
