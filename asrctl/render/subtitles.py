"""SubRip (SRT) and WebVTT subtitles."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

from asrctl.render.cues import Cue, columns, cues
from asrctl.render.text import milliseconds
from asrctl.render.writer import Sink, Writer
from asrctl.transcript import Segment, Transcript

READABLE_COLUMNS_PER_S = 17
"""Reading speed that a cue is held on the screen for, where the next cue leaves room."""
SHORT_MS = 800
"""A cue stays at least this long where the next leaves room: a word said quickly can still be read."""
SHORTEST_MS = 100
"""No cue is shorter, even when the recogniser gave words no time at all; later cues make way."""


class SubtitleWriter(Writer):
    """Cues in order that never overlap. One cue is held back until the start of the next is known."""

    needs_words = True

    def __init__(self, sink: Sink) -> None:
        super().__init__(sink)
        self._held: Cue | None = None
        self._written = 0

    def segment(self, segment: Segment) -> None:
        """Write the segment's cues but the last, after the one that was held back."""
        for cue in cues(segment):
            start_ms = cue.start_ms
            if self._held:
                start_ms = max(start_ms, self._held.start_ms + SHORTEST_MS)
                self._release(self._held, start_ms)
            self._held = replace(cue, start_ms=start_ms, end_ms=max(cue.end_ms, start_ms + SHORTEST_MS))

    def finish(self, transcript: Transcript) -> None:
        """Write the last cue, held on the screen until the end of the audio at most."""
        if self._held:
            self._release(self._held, max(self._held.end_ms, milliseconds(transcript.duration_s)))
            self._held = None

    def _release(self, cue: Cue, next_start_ms: int) -> None:
        text_columns = sum(columns(line) for line in cue.lines)
        wanted_ms = max(SHORT_MS, text_columns * 1000 // READABLE_COLUMNS_PER_S)
        end_ms = min(max(cue.end_ms, cue.start_ms + wanted_ms), next_start_ms)
        self._written += 1
        self._sink.write(self._cue(self._written, replace(cue, end_ms=end_ms)))

    @abstractmethod
    def _cue(self, number: int, cue: Cue) -> str:
        """The cue as text, with the empty line after it."""


class SrtWriter(SubtitleWriter):
    """SubRip. It has no way to escape characters, so the text stands as it is."""

    def _cue(self, number: int, cue: Cue) -> str:
        start, end = (clock(time_ms).replace(".", ",") for time_ms in (cue.start_ms, cue.end_ms))
        return "\n".join((str(number), f"{start} --> {end}", *cue.lines, "", ""))


class VttWriter(SubtitleWriter):
    """WebVTT, as W3C's recommendation has it."""

    def __init__(self, sink: Sink) -> None:
        super().__init__(sink)
        self._header = "WEBVTT\n\n"

    def finish(self, transcript: Transcript) -> None:
        """Write the last cue, and the header if there was no cue at all."""
        super().finish(transcript)
        if self._header:
            self._sink.write(self._header)

    def _cue(self, number: int, cue: Cue) -> str:
        header, self._header = self._header, ""
        lines = (escape_vtt(line) for line in cue.lines)
        return header + "\n".join((f"{clock(cue.start_ms)} --> {clock(cue.end_ms)}", *lines, "", ""))


def clock(time_ms: int) -> str:
    """`HH:MM:SS.mmm`; hours grow past two digits when they must."""
    seconds, millis = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}.{millis:03}"


def escape_vtt(text: str) -> str:
    """Escape what means markup in a WebVTT cue, which takes care of `-->` too."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
