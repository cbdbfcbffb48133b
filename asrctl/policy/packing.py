"""Packing: utterances laid one after the other into windows for the recogniser, and times mapped back.

A recogniser pays for every window, so short utterances share one. Long pauses between them are shortened;
short pauses are kept as they were recorded. Windows come out as soon as they are full, and the first is
small, so that the first text appears early. A window that does not fill is not waited for forever, since
its audio must be kept meanwhile.
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
        max_wait_s: a window whose first speech lies this far back goes out as it is.

    Raises:
        UsageError: the values make no sense together.
    """

    max_window_s: float = 12.0
    first_window_s: float = 4.0
    max_pause_s: float = 0.2
    max_wait_s: float = 30.0

    def __post_init__(self) -> None:
        """Validate once, at the edge."""
        if not 0 < self.first_window_s <= self.max_window_s < float("inf"):
            raise UsageError("packing: lengths must hold 0 < first_window_s <= max_window_s")
        if not 0 <= self.max_pause_s < self.max_window_s:
            raise UsageError("packing: max_pause_s must be between 0 and max_window_s")
        if not self.max_wait_s > 0:
            raise UsageError("packing: max_wait_s must be positive")


@dataclass(frozen=True, slots=True)
class Window:
    """Audio to decode at once: the samples of `spans`, with `pause_samples` of silence between each two.

    Spans are in order and do not touch; one span may cover several utterances and the short pauses between.
    It is `doubtful` whether anybody speaks in a window that no detector took for speech.
    """

    spans: tuple[Span, ...]
    pause_samples: int
    doubtful: bool = False

    @property
    def start_sample(self) -> int:
        """Where its audio begins in the source."""
        return self.spans[0].start_sample

    @property
    def end_sample(self) -> int:
        """Where its audio ends in the source."""
        return self.spans[-1].end_sample

    @property
    def length_samples(self) -> int:
        """Samples to decode, pauses included."""
        speech_samples = sum(span.length_samples for span in self.spans)
        return speech_samples + self.pause_samples * (len(self.spans) - 1)

    def start_in_source(self, window_s: float) -> float:
        """The time in the source where something starts that starts here in the window, both in seconds.

        It never decreases and always lies within a span: what starts in a pause, or at the very end of a
        span, starts with the next span; what lies outside the window goes to the first or last sample.
        """
        position = window_s * SAMPLE_RATE_HZ
        span = self.spans[0]
        for following in self.spans[1:]:
            if position < span.length_samples:
                break
            position -= span.length_samples + self.pause_samples
            span = following
        return _clamped(position, span)

    def end_in_source(self, window_s: float) -> float:
        """The same of an end: what ends in a pause, or with its last sample, ends with the span before."""
        position = window_s * SAMPLE_RATE_HZ
        span = self.spans[0]
        for following in self.spans[1:]:
            if position <= span.length_samples + self.pause_samples:
                break
            position -= span.length_samples + self.pause_samples
            span = following
        return _clamped(position, span)


class Packer:
    """Packs the utterances of one stream into windows."""

    def __init__(self, options: PackingOptions | None = None) -> None:
        options = options or PackingOptions()
        self._max_samples = _samples(options.max_window_s)
        self._wait_samples = _samples(options.max_wait_s)
        self._limit_samples = _samples(options.first_window_s)
        self._empty = Window((), _samples(options.max_pause_s))
        self._window = self._empty
        self._end_sample = 0

    @property
    def start_sample(self) -> int | None:
        """Where the window begins that is not full yet; None if it holds nothing."""
        return self._window.spans[0].start_sample if self._window.spans else None

    def push(self, utterance: Span) -> list[Window]:
        """Take the next utterance; returns the windows that are full now.

        Args:
            utterance: after the last one, not overlapping it, at most `max_window_s` long; the endpointer's
                `max_utterance_s` sees to that, and splits in pauses.

        Raises:
            ValueError: it is out of order, empty, or longer than a window.
        """
        if utterance.start_sample < self._end_sample or not 0 < utterance.length_samples <= self._max_samples:
            raise ValueError(f"cannot pack {utterance}: out of order, empty, or longer than a window")
        self._end_sample = utterance.end_sample
        full: list[Window] = []
        longer = _append(self._window, utterance)
        if self._window.spans and longer.length_samples > self._limit_samples:
            full += self.flush()
            longer = _append(self._empty, utterance)
        self._window = longer
        if longer.length_samples >= self._limit_samples:
            full += self.flush()
        return full

    def settle(self, position_sample: int) -> list[Window]:
        """Say how far the stream has come; returns the window that has waited long enough, if there is one.

        Args:
            position_sample: utterances to come start here or later.
        """
        start_sample = self.start_sample
        if start_sample is None or position_sample - start_sample < self._wait_samples:
            return []
        return self.flush()

    def flush(self) -> list[Window]:
        """Wait for nothing more; returns what there is."""
        if not self._window.spans:
            return []
        window, self._window = self._window, self._empty
        self._limit_samples = self._max_samples
        return [window]


def pack(utterances: Iterable[Span], options: PackingOptions | None = None) -> Iterator[Window]:
    """Pack utterances into windows, lazily: no more are taken than it needs to know that a window is full.

    Args:
        utterances: see `Packer.push`.
        options: how windows are filled.

    Raises:
        ValueError: utterances overlap, are out of order, or are too long.
    """
    packer = Packer(options)
    for utterance in utterances:
        yield from packer.settle(utterance.start_sample)
        yield from packer.push(utterance)
    yield from packer.flush()


def _clamped(position: float, span: Span) -> float:
    """A position in a span, in seconds of the source."""
    return (span.start_sample + min(max(position, 0.0), span.length_samples)) / SAMPLE_RATE_HZ


def _samples(time_s: float) -> int:
    return round(time_s * SAMPLE_RATE_HZ)


def _append(window: Window, utterance: Span) -> Window:
    """The window with one more utterance, joined to its last span if the pause between is short."""
    if window.spans:
        last = window.spans[-1]
        if utterance.start_sample - last.end_sample <= window.pause_samples:
            joined = Span(last.start_sample, utterance.end_sample)
            return Window((*window.spans[:-1], joined), window.pause_samples)
    return Window((*window.spans, utterance), window.pause_samples)
