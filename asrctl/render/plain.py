"""Plain text and tab-separated values: a line for each segment."""

from __future__ import annotations

from collections.abc import Sequence

from asrctl.render.options import RenderOptions
from asrctl.render.text import milliseconds, name_before, one_line
from asrctl.render.writer import Sink, Writer
from asrctl.transcript import Segment, Transcript, Word


class TextWriter(Writer):
    """A line of text for each segment, which is what a person wants to see grow on a terminal.

    Each starts with the name of its speaker, if that is known: "Anna: Hello.". With paragraphs, an empty line
    stands where nothing was said for a while.
    """

    def __init__(self, sink: Sink, options: RenderOptions | None = None) -> None:
        super().__init__(sink, options)
        self._end_s: float | None = None

    def segment(self, segment: Segment) -> None:
        """Write the segment's line, or one for each of its speakers; silence gives none."""
        for turn in segment.turns():
            if text := one_line(turn.text):
                self._sink.write(f"{self._break_before(turn)}{name_before(turn.speaker)}{text}\n")
                self._end_s = turn.end_s

    def _break_before(self, segment: Segment) -> str:
        pause_s = self._options.paragraph_pause_s
        if pause_s is None or self._end_s is None:
            return ""
        return "\n" if segment.start_s - self._end_s >= pause_s else ""

    def finish(self, transcript: Transcript) -> None:
        """Nothing is left to write."""


class TsvWriter(Writer):
    """`start`, `end` in whole milliseconds, and `text`, separated by tabs, as whisper's own TSV.

    A row for each segment, or, if words are wanted, for each word.
    """

    def __init__(self, sink: Sink, options: RenderOptions | None = None) -> None:
        super().__init__(sink, options)
        self._header = "start\tend\ttext\n"

    def segment(self, segment: Segment) -> None:
        """Write the segment's row, or its words' rows."""
        spans: Sequence[Segment | Word] = (segment,)
        if self._options.words and segment.words:
            spans = segment.words
        for span in spans:
            start_ms = milliseconds(span.start_s)
            end_ms = max(start_ms, milliseconds(span.end_s))
            self._write(f"{start_ms}\t{end_ms}\t{one_line(span.text)}\n")

    def finish(self, transcript: Transcript) -> None:
        """Write the header if there was no row to follow it."""
        self._write("")

    def _write(self, row: str) -> None:
        if text := self._header + row:
            self._sink.write(text)
        self._header = ""
