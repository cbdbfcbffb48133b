"""Packing: utterances laid one after the other into windows for the recogniser, and times mapped back.

A recogniser pays for every window, so short utterances share one. Long pauses between them are shortened;
short pauses are kept as they were recorded. Windows come out as soon as they are full, and the first is
small, so that the first text appears early.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from asrctl.errors import UsageError
from asrctl.policy.endpointing import Span
from asrctl.transcript import SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class PackingOptions:
    """How windows are filled; seconds.

    Attributes:
        max_window_s: no window is longer.
        first_window_s: the first window takes no second utterance beyond this.
        max_pause_s: a longer pause between utterances becomes this much silence.

    Raises:
        UsageError: the values make no sense together.
    """

    max_window_s: float = 12.0
    first_window_s: float = 4.0
    max_pause_s: float = 0.2

    def __post_init__(self) -> None:
        """Validate once, at the edge."""
        if not 0 < self.first_window_s <= self.max_window_s < float("inf"):
            raise UsageError("packing: lengths must hold 0 < first_window_s <= max_window_s")
        if not 0 <= self.max_pause_s < self.max_window_s:
            raise UsageError("packing: max_pause_s must be between 0 and max_window_s")


@dataclass(frozen=True, slots=True)
class Window:
    """Audio to decode at once: the samples of `spans`, with `pause_samples` of silence between each two.

    Spans are in order and do not touch; one span may cover several utterances and the short pauses between.
    """

    spans: tuple[Span, ...]
    pause_samples: int

    @property
    def length_samples(self) -> int:
        """Samples to decode, pauses included."""
        speech_samples = sum(span.length_samples for span in self.spans)
        return speech_samples + self.pause_samples * (len(self.spans) - 1)

    def to_source(self, window_s: float) -> float:
        """The time in the source that a time in the window stands for, both in seconds.

        It never decreases and always lies within a span: what falls into a pause goes to the nearer of its
        two ends, what falls outside the window to the first or last sample.
        """
        position = window_s * SAMPLE_RATE_HZ
        span = self.spans[0]
        for following in self.spans[1:]:
            if position <= span.length_samples + self.pause_samples / 2:
                break
            position -= span.length_samples + self.pause_samples
            span = following
        inside = min(max(position, 0.0), span.length_samples)
        return (span.start_sample + inside) / SAMPLE_RATE_HZ


def pack(utterances: Iterable[Span], options: PackingOptions | None = None) -> Iterator[Window]:
    """Pack utterances into windows, lazily: no more are taken than it needs to know that a window is full.

    Args:
        utterances: in order, not overlapping, each at most `max_window_s` long; the endpointer's
            `max_utterance_s` sees to that, and splits in pauses.
        options: how windows are filled.

    Raises:
        ValueError: utterances overlap, are out of order, or are too long.
    """
    options = options or PackingOptions()
    max_samples = round(options.max_window_s * SAMPLE_RATE_HZ)
    limit_samples = round(options.first_window_s * SAMPLE_RATE_HZ)
    window = Window((), round(options.max_pause_s * SAMPLE_RATE_HZ))
    previous_end_sample = 0
    for utterance in utterances:
        if utterance.start_sample < previous_end_sample or not 0 < utterance.length_samples <= max_samples:
            raise ValueError(f"cannot pack {utterance}: out of order, empty, or longer than a window")
        previous_end_sample = utterance.end_sample
        longer = _append(window, utterance)
        if window.spans and longer.length_samples > limit_samples:
            yield window
            limit_samples = max_samples
            longer = Window((utterance,), window.pause_samples)
        window = longer
        if window.length_samples >= limit_samples:
            yield window
            limit_samples = max_samples
            window = Window((), window.pause_samples)
    if window.spans:
        yield window


def _append(window: Window, utterance: Span) -> Window:
    """The window with one more utterance, joined to its last span if the pause between is short."""
    if window.spans:
        last = window.spans[-1]
        if utterance.start_sample - last.end_sample <= window.pause_samples:
            joined = Span(last.start_sample, utterance.end_sample)
            return Window((*window.spans[:-1], joined), window.pause_samples)
    return Window((*window.spans, utterance), window.pause_samples)
