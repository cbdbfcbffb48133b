"""Stretches of speech in a window: where they lie in it, and where in the source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asrctl.policy.endpointing import Span
from asrctl.policy.packing import Window
from asrctl.transcript import SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class Stretch:
    """Speech without a pause: its times in the window, and where it starts in the source; seconds."""

    start_s: float
    end_s: float
    source_start_s: float

    @property
    def source_end_s(self) -> float:
        """Where it ends in the source, in seconds."""
        return self.source_start_s + self.end_s - self.start_s

    def overlap_s(self, start_s: float, end_s: float) -> float:
        """How long both are at once; negative: how far they are apart."""
        return min(self.end_s, end_s) - max(self.start_s, start_s)

    def inside(self, time_s: float) -> float:
        """The time, or the nearest one that is inside."""
        return min(max(time_s, self.start_s), self.end_s)

    def to_source(self, time_s: float) -> float:
        """The time in the source, of the nearest one that is inside."""
        return self.source_start_s + self.inside(time_s) - self.start_s


def stretches_of(window: Window, voiced: Sequence[Span]) -> list[Stretch]:
    """Where speech was heard in a window's spans, in order; if nowhere, the spans."""
    found, whole, at = list[Stretch](), list[Stretch](), 0
    for span in window.spans:
        whole.append(_stretch(span, span, at))
        for part in voiced:
            start = max(part.start_sample, span.start_sample)
            end = min(part.end_sample, span.end_sample)
            if start < end:
                found.append(_stretch(Span(start, end), span, at))
        at += span.length_samples + window.pause_samples
    return found or whole


def _stretch(part: Span, span: Span, at: int) -> Stretch:
    start = at + part.start_sample - span.start_sample
    rate = SAMPLE_RATE_HZ
    return Stretch(start / rate, (start + part.length_samples) / rate, part.start_sample / rate)


def pause_s(stretches: list[Stretch], at: int) -> float:
    """How long the pause behind stretch `at` was in the source."""
    return stretches[at + 1].source_start_s - stretches[at].source_end_s
