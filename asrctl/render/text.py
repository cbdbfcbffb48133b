"""Plain text and tab-separated values: a line for each segment."""

from __future__ import annotations

import math

from asrctl.render.writer import Sink, Writer
from asrctl.transcript import Segment, Transcript

_CONTROLS = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), " ")


def one_line(text: str) -> str:
    """The text on one line: line breaks, tabs, control characters and runs of spaces become one space."""
    return " ".join(text.translate(_CONTROLS).split())


def milliseconds(time_s: float) -> int:
    """A time in whole milliseconds; what is negative or not a number becomes 0."""
    return round(time_s * 1000) if math.isfinite(time_s) and time_s > 0 else 0


class TextWriter(Writer):
    """A line of text for each segment, which is what a person wants to see grow on a terminal."""

    def segment(self, segment: Segment) -> None:
        """Write the segment's line; silence gives none."""
        if text := one_line(segment.text):
            self._sink.write(f"{text}\n")

    def finish(self, transcript: Transcript) -> None:
        """Nothing is left to write."""


class TsvWriter(Writer):
    """`start`, `end` in whole milliseconds, and `text`, separated by tabs, as whisper's own TSV."""

    def __init__(self, sink: Sink) -> None:
        super().__init__(sink)
        self._header = "start\tend\ttext\n"

    def segment(self, segment: Segment) -> None:
        """Write the segment's row."""
        start_ms = milliseconds(segment.start_s)
        end_ms = max(start_ms, milliseconds(segment.end_s))
        self._write(f"{start_ms}\t{end_ms}\t{one_line(segment.text)}\n")

    def finish(self, transcript: Transcript) -> None:
        """Write the header if there was no row to follow it."""
        self._write("")

    def _write(self, row: str) -> None:
        if text := self._header + row:
            self._sink.write(text)
        self._header = ""
