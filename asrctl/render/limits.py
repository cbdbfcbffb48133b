"""Limits of subtitles that could not be kept: speech that is too fast, a word wider than a line."""

from __future__ import annotations

from collections.abc import Iterator

from asrctl.render.cues import Cue, SubtitleOptions, columns

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
