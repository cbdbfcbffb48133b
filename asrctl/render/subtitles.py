"""SubRip (SRT) and WebVTT subtitles."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

from asrctl.render.breaking import cue_of, cue_sizes
from asrctl.render.cues import CUE_MAX_MS, Atom, Cue, atoms_of, needs_space, width
from asrctl.render.options import RenderOptions
from asrctl.render.text import milliseconds
from asrctl.render.writer import Sink, Writer
from asrctl.transcript import Segment, Transcript

READABLE_COLUMNS_PER_S = 17
"""Reading speed that a cue is held on the screen for, where the next cue leaves room."""
SHORTEST_MS = 100
"""No cue is shorter, even when the recogniser gave words no time at all; later cues make way."""
CLOSED_GAP_MS = 500
"""A shorter gap between two cues flickers, and is closed but for the least gap."""


class SubtitleWriter(Writer):
    """Cues in order that never overlap. The last is held back until the start of the next is known."""

    needs_words = True

    def __init__(self, sink: Sink, options: RenderOptions | None = None) -> None:
        super().__init__(sink, options)
        self._style = self._options.subtitles
        self._atoms: list[Atom] = []
        self._floor_ms = 0
        self._written = 0

    def segment(self, segment: Segment) -> None:
        """Write the cues that are complete now: all but the last.

        The words of that one are broken into cues again with those of the next segment, so that a phrase
        that the recogniser cut in two may be shown whole.
        """
        self._atoms += self._in_order(atoms_of(segment, self._style.max_line_width))
        if not self._atoms:
            return
        *complete, last = cue_sizes(self._atoms, self._style)
        for size in complete:
            chosen, self._atoms = self._atoms[:size], self._atoms[size:]
            self._release(chosen, self._atoms[0].start_ms)
        assert last == len(self._atoms)

    def finish(self, transcript: Transcript) -> None:
        """Write the last cue, held on the screen until the end of the audio at most."""
        if self._atoms:
            spoken_ms = max(atom.end_ms for atom in self._atoms)
            end_ms = max(spoken_ms, milliseconds(transcript.duration_s))
            self._release(self._atoms, end_ms + self._style.min_gap_ms, is_last=True)
            self._atoms = []

    def _in_order(self, atoms: list[Atom]) -> list[Atom]:
        """Starts that rise, whatever a recogniser gave; a segment that overlaps cuts the one before short."""
        last_ms = self._atoms[-1].start_ms if self._atoms else 0
        placed: list[Atom] = []
        if atoms and self._atoms and needs_space(self._atoms[-1].text, atoms[0].text):
            atoms = [replace(atoms[0], spaced=True), *atoms[1:]]
        for atom in atoms:
            last_ms = max(last_ms, atom.start_ms)
            placed.append(replace(atom, start_ms=last_ms, end_ms=max(last_ms, atom.end_ms)))
        return placed

    def _release(self, atoms: list[Atom], next_start_ms: int, *, is_last: bool = False) -> None:
        """Write a cue, held until it can be read where the next leaves room."""
        cue = cue_of(atoms, self._style)
        start_ms = max(cue.start_ms, self._floor_ms)
        readable_ms = width(atoms) * 1000 // READABLE_COLUMNS_PER_S
        wanted_ms = start_ms + max(self._style.min_duration_ms, min(readable_ms, CUE_MAX_MS))
        last_ms = next_start_ms - self._style.min_gap_ms
        end_ms = min(max(cue.end_ms, wanted_ms), last_ms)
        closes = not is_last and last_ms - end_ms < CLOSED_GAP_MS and last_ms - start_ms <= CUE_MAX_MS
        end_ms = max(last_ms if closes else end_ms, start_ms + SHORTEST_MS)
        self._floor_ms = end_ms + self._style.min_gap_ms
        self._written += 1
        self._sink.write(self._cue(self._written, replace(cue, start_ms=start_ms, end_ms=end_ms)))

    @abstractmethod
    def _cue(self, number: int, cue: Cue) -> str:
        """The cue as text, with the empty line after it."""


class SrtWriter(SubtitleWriter):
    """SubRip. It has no way to escape characters, so the text stands as it is."""

    def _cue(self, number: int, cue: Cue) -> str:
        start, end = (clock(time_ms).replace(".", ",") for time_ms in (cue.start_ms, cue.end_ms))
        return "\n".join((str(number), f"{start} --> {end}", *cue.lines, "", ""))


class VttWriter(SubtitleWriter):
    """WebVTT, as W3C's recommendation has it; with karaoke, each word has the time when it is said."""

    def __init__(self, sink: Sink, options: RenderOptions | None = None) -> None:
        super().__init__(sink, options)
        self._header = "WEBVTT\n\n"

    def finish(self, transcript: Transcript) -> None:
        """Write the last cue, and the header if there was no cue at all."""
        super().finish(transcript)
        if self._header:
            self._sink.write(self._header)

    def _cue(self, number: int, cue: Cue) -> str:
        header, self._header = self._header, ""
        lines = _karaoke(cue) if self._style.karaoke else [escape_vtt(line) for line in cue.lines]
        return header + "\n".join((f"{clock(cue.start_ms)} --> {clock(cue.end_ms)}", *lines, "", ""))


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
