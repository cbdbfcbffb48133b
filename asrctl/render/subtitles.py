"""SubRip (SRT) and WebVTT subtitles."""

from __future__ import annotations

from abc import abstractmethod
from bisect import insort
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from asrctl.render.cue_line import SHORTEST_MS, CueLine
from asrctl.render.cues import Cue, SubtitleOptions, columns
from asrctl.render.options import RenderOptions
from asrctl.render.text import milliseconds, name_before, one_line
from asrctl.render.writer import Sink, Writer
from asrctl.transcript import Segment, Transcript

_MILLISECOND = 1  # times are whole milliseconds: no cue is too short by less


class BrokenLimits:
    """Counts the cues that break a limit, and remembers the first of each kind."""

    def __init__(self, options: SubtitleOptions) -> None:
        self._options = options
        self._cues = 0
        self._found: dict[str, tuple[int, int]] = {}
        """How many there are of a kind, and when the first starts."""

    def look_at(self, cue: Cue) -> None:
        """Take the next cue, as it is shown."""
        self._cues += 1
        for kind in self._broken(cue):
            count, first_ms = self._found.get(kind, (0, cue.start_ms))
            self._found[kind] = count + 1, first_ms

    def told(self) -> str:
        """What was broken, in one line; "" if nothing was."""
        kinds = [
            f"{count} of {self._cues} {kind} (first at {first_ms / 1000:.1f} s)"
            for kind, (count, first_ms) in self._found.items()
        ]
        return f"subtitles: {'; '.join(kinds)}" if kinds else ""

    def _broken(self, cue: Cue) -> Iterator[str]:
        style = self._options
        if any(atom.parted for line in cue.spoken for atom in line):
            yield f"part a word wider than {style.max_line_width} columns"
        if style.word_by_word:  # a word is as short as it is
            return
        shown_ms = cue.end_ms - cue.start_ms + _MILLISECOND
        needed = sum(columns(line) for line in cue.lines) + len(cue.lines) - 1
        if needed * 1000 > style.max_cps * shown_ms:
            yield f"go faster than {style.max_cps:g} characters a second"
        if shown_ms < style.min_duration_ms:
            yield f"stay less than {style.min_duration_s:g} s"


class SubtitleWriter(Writer):
    """Cues in the order of their starts. Only cues of different speakers overlap, where they spoke at once.

    The last cue of each speaker is held back until it is known what follows.
    """

    needs_words = True
    header: ClassVar[str] = ""
    """What a file begins with; it is written with the first cue, or at the end."""

    def __init__(self, sink: Sink, options: RenderOptions | None = None) -> None:
        super().__init__(sink, options)
        self._style = self._options.subtitles
        self._lines: dict[str, CueLine] = {}
        self._waiting: list[Cue] = []  # complete, in the order of their starts
        self._written = 0
        self._last_start_ms = 0
        self._limits = BrokenLimits(self._style)

    @property
    def warnings(self) -> list[str]:
        """The limits that could not be kept, in one line."""
        return [told] if (told := self._limits.told()) else []

    def segment(self, segment: Segment) -> None:
        """Write the cues that are complete now, and that no other can come before."""
        for turn in segment.turns():
            self._take(turn)

    def _take(self, turn: Segment) -> None:
        start_ms = milliseconds(turn.start_s)
        for speaker, line in self._lines.items():
            if speaker != turn.speaker and line.spoken_ms <= start_ms:
                self._queue(line.release(start_ms))
        if turn.speaker not in self._lines:
            self._lines[turn.speaker] = CueLine(turn.speaker, self._style_for(turn.speaker))
        self._queue(self._lines[turn.speaker].add(turn))
        self._write_before(start_ms if any(self._lines) else None)

    def finish(self, transcript: Transcript) -> None:
        """Write the last cues, held on the screen until the end of the audio at most; a header if need be."""
        duration_ms = milliseconds(transcript.duration_s)
        for line in self._lines.values():
            end_ms = max(line.spoken_ms, duration_ms)
            self._queue(line.release(end_ms + self._style.min_gap_ms, is_last=True))
        self._write_before(None)
        if not self._written and self.header:
            self._sink.write(self.header)

    def _queue(self, cues: list[Cue]) -> None:
        for cue in cues:
            insort(self._waiting, cue, key=lambda each: each.start_ms)

    def _write_before(self, limit_ms: int | None) -> None:
        """Write the cues that nothing can come before any more; segments to come start at `limit_ms`."""
        limits = [line.next_start_ms for line in self._lines.values() if line.is_open]
        limits += [] if limit_ms is None else [limit_ms]
        while self._waiting and all(self._waiting[0].start_ms <= limit for limit in limits):
            cue = self._waiting.pop(0)
            start_ms = max(cue.start_ms, self._last_start_ms)  # whatever order segments came in
            self._last_start_ms = start_ms
            self._written += 1
            end_ms = max(cue.end_ms, start_ms + SHORTEST_MS)
            shown = replace(cue, start_ms=start_ms, end_ms=end_ms)
            self._limits.look_at(shown)
            header = self.header if self._written == 1 else ""
            self._sink.write(header + self._cue(self._written, shown))

    def _style_for(self, speaker: str) -> SubtitleOptions:
        """How the cues of a speaker are broken."""
        return self._style

    @abstractmethod
    def _cue(self, number: int, cue: Cue) -> str:
        """The cue as text, with the empty line after it."""


class SrtWriter(SubtitleWriter):
    """SubRip. It has no way to escape characters, so the text stands as it is; names go before it."""

    def _style_for(self, speaker: str) -> SubtitleOptions:
        """Lines leave room for the name, but for one that would take more than half of them."""
        most = self._style.max_line_width
        room = max(4, most // 2, most - columns(name_before(speaker)))
        return replace(self._style, max_line_width=min(most, room))

    def _cue(self, number: int, cue: Cue) -> str:
        start, end = (clock(time_ms).replace(".", ",") for time_ms in (cue.start_ms, cue.end_ms))
        first, *others = cue.lines
        lines = (name_before(cue.speaker) + first, *others)
        return "\n".join((str(number), f"{start} --> {end}", *lines, "", ""))


class VttWriter(SubtitleWriter):
    """WebVTT, as W3C's recommendation has it: speakers as `<v Anna>`, with karaoke a time for each word."""

    header = "WEBVTT\n\n"

    def _cue(self, number: int, cue: Cue) -> str:
        first, *others = _karaoke(cue) if self._style.karaoke else [escape_vtt(line) for line in cue.lines]
        name = escape_vtt(one_line(cue.speaker))
        lines = (f"<v {name}>{first}" if name else first, *others)
        return "\n".join((f"{clock(cue.start_ms)} --> {clock(cue.end_ms)}", *lines, "", ""))


def _karaoke(cue: Cue) -> list[str]:
    """Lines with a time before each word; the standard wants them to rise, and to lie inside the cue."""
    lines: list[str] = []
    last_ms = cue.start_ms
    for atoms in cue.spoken:
        line = ""
        for index, atom in enumerate(atoms):
            space = " " if atom.spaced and index else ""
            text = escape_vtt(atom.text)
            if last_ms < atom.start_ms < cue.end_ms:
                last_ms = atom.start_ms
                line += f"{space}<{clock(last_ms)}><c>{text}</c>"
            else:
                line += f"{space}<c>{text}</c>"
        lines.append(line)
    return lines


def clock(time_ms: int) -> str:
    """`HH:MM:SS.mmm`; hours grow past two digits when they must."""
    seconds, millis = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}.{millis:03}"


def escape_vtt(text: str) -> str:
    """Escape what means markup in a WebVTT cue, which takes care of `-->` too."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
