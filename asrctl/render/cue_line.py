"""The cues of one speaker: segments in, cues in order that never overlap."""

from __future__ import annotations

from dataclasses import replace

from asrctl.render.breaking import cue_of, cue_sizes
from asrctl.render.cues import CUE_MAX_MS, Atom, Cue, SubtitleOptions, atoms_of, needs_space, width
from asrctl.transcript import Segment

READABLE_COLUMNS_PER_S = 17
"""Reading speed that a cue is held on the screen for, where the next cue leaves room."""
SHORTEST_MS = 100
"""No cue is shorter, even when the recogniser gave words no time at all; later cues make way."""
CLOSED_GAP_MS = 500
"""A shorter gap between two cues flickers, and is closed but for the least gap."""


class CueLine:
    """What one speaker says, as cues. The last is held back until the start of the next is known."""

    def __init__(self, speaker: str, style: SubtitleOptions) -> None:
        self._speaker = speaker
        self._style = style
        self._atoms: list[Atom] = []
        self._floor_ms = 0

    @property
    def is_open(self) -> bool:
        """Whether a cue is held back."""
        return bool(self._atoms)

    @property
    def next_start_ms(self) -> int:
        """When the cue that is held back starts."""
        return max(self._atoms[0].start_ms, self._floor_ms)

    @property
    def spoken_ms(self) -> int:
        """When the last word of the cue that is held back ends; 0 without one."""
        return max((atom.end_ms for atom in self._atoms), default=0)

    def add(self, segment: Segment) -> list[Cue]:
        """The cues that are complete now: all but the last.

        The words of that one are broken into cues again with those of the next segment, so that a phrase
        that the recogniser cut in two may be shown whole.
        """
        self._atoms += self._in_order(atoms_of(segment, self._style.max_line_width))
        if not self._atoms:
            return []
        *complete, last = cue_sizes(self._atoms, self._style)
        cues = []
        for size in complete:
            chosen, self._atoms = self._atoms[:size], self._atoms[size:]
            cues.append(self._cue(chosen, self._atoms[0].start_ms))
        assert last == len(self._atoms)
        return cues

    def release(self, next_start_ms: int, *, is_last: bool = False) -> list[Cue]:
        """The cue that is held back, if any; the next one on the screen starts at `next_start_ms`."""
        atoms, self._atoms = self._atoms, []
        return [self._cue(atoms, next_start_ms, is_last=is_last)] if atoms else []

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

    def _cue(self, atoms: list[Atom], next_start_ms: int, *, is_last: bool = False) -> Cue:
        """A cue, held until it can be read where the next leaves room."""
        cue = cue_of(atoms, self._style)
        start_ms = max(cue.start_ms, self._floor_ms)
        readable_ms = width(atoms) * 1000 // READABLE_COLUMNS_PER_S
        wanted_ms = start_ms + max(self._style.min_duration_ms, min(readable_ms, CUE_MAX_MS))
        last_ms = next_start_ms - self._style.min_gap_ms
        end_ms = min(max(cue.end_ms, wanted_ms), last_ms)
        closes = not is_last and last_ms - end_ms < CLOSED_GAP_MS and last_ms - start_ms <= CUE_MAX_MS
        end_ms = max(last_ms if closes else end_ms, start_ms + SHORTEST_MS)
        self._floor_ms = end_ms + self._style.min_gap_ms
        return replace(cue, start_ms=start_ms, end_ms=end_ms, speaker=self._speaker)
