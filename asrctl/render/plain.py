"""Plain text and tab-separated values: a line for each segment."""

from __future__ import annotations

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

    A row for each segment, or, if words are wanted, for each word. If there are speakers, as is said or as
    the first segment shows, `speaker` follows, empty where it is unknown, and there is a row for each turn.
    """

    def __init__(self, sink: Sink, options: RenderOptions | None = None) -> None:
        super().__init__(sink, options)
        self._speakers = self._options.speakers
        self._begun = False

    def segment(self, segment: Segment) -> None:
        """Write the rows of the segment's turns, or of its words."""
        turns = segment.turns()
        self._begin(speakers=any(turn.speaker for turn in turns))
        for turn in turns if self._speakers else (segment,):
            spans = turn.words if self._options.words and turn.words else (turn,)
            self._sink.write("".join(self._row(span, turn.speaker) for span in spans))

    def finish(self, transcript: Transcript) -> None:
        """Write the header if there was no row to follow it."""
        self._begin(speakers=False)

    def _begin(self, *, speakers: bool) -> None:
        if not self._begun:
            self._begun = True
            self._speakers = self._speakers or speakers
            self._sink.write("start\tend\ttext" + "\tspeaker" * self._speakers + "\n")

    def _row(self, span: Segment | Word, speaker: str) -> str:
        start_ms = milliseconds(span.start_s)
        end_ms = max(start_ms, milliseconds(span.end_s))
        who = f"\t{one_line(speaker)}" if self._speakers else ""
        return f"{start_ms}\t{end_ms}\t{one_line(span.text)}{who}\n"
