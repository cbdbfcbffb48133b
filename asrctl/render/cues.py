"""Segments cut into subtitle cues that can be read, as broadcasters ask for.

Pure text and arithmetic. A segment becomes *atoms* (the smallest pieces that a line may break between, each
with its time); `render.breaking` says which atoms make a cue; a cue's atoms become one or more lines.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from asrctl.errors import UsageError
from asrctl.render.text import milliseconds, one_line
from asrctl.transcript import Segment

CUE_MAX_MS = 6_000
"""Longest that a cue stays, by the usual guides."""
SLOWEST_COLUMNS_PER_S = 6
"""Text without word times is not spread thinner than this over its segment: speech runs at 12 to 17
characters a second, so the rest of a long segment with little text is silence at its end."""

_NO_LINE_START = frozenset("、。，．！？：；」』）］｝〉》】〕・ーっッゃゅょャュョ々…")  # noqa: RUF001
_NO_LINE_END = frozenset("「『（［｛〈《【〔")  # noqa: RUF001


@dataclass(frozen=True, slots=True)
class SubtitleOptions:
    """How cues look; the defaults are what broadcasters and streaming services ask for.

    Attributes:
        max_line_width: Longest line, in columns (a wide CJK character takes two).
        max_lines: Most lines of a cue.
        max_cps: Fastest reading speed, in columns a second. Speech that is faster than this throughout
            cannot be shown slower without leaving words out, and is not.
        min_gap_s: Shortest time between two cues: two frames at 25 frames a second.
        min_duration_s: Shortest time that a cue stays: 20 frames at 24 frames a second.
        word_by_word: A cue for each word.
        karaoke: In WebVTT and ASS, a time for each word inside of the cues.

    Raises:
        UsageError: A value makes no sense.
    """

    max_line_width: int = 42
    max_lines: int = 2
    max_cps: float = 20.0
    min_gap_s: float = 0.08
    min_duration_s: float = 0.83
    word_by_word: bool = False
    karaoke: bool = False

    def __post_init__(self) -> None:
        """Validate once, at the edge."""
        if not 4 <= self.max_line_width <= 1000:
            raise UsageError("subtitles: max_line_width must be between 4 and 1000")
        if not 1 <= self.max_lines <= 10:
            raise UsageError("subtitles: max_lines must be between 1 and 10")
        if not 1 <= self.max_cps <= 1000:
            raise UsageError("subtitles: max_cps must be between 1 and 1000")
        if not (0 <= self.min_gap_s <= 1 and 0 <= self.min_duration_s <= 5):
            raise UsageError("subtitles: min_gap_s must be between 0 and 1, min_duration_s between 0 and 5")

    @property
    def min_gap_ms(self) -> int:
        """The same in milliseconds."""
        return round(self.min_gap_s * 1000)

    @property
    def min_duration_ms(self) -> int:
        """The same in milliseconds."""
        return round(self.min_duration_s * 1000)


@dataclass(frozen=True, slots=True)
class Atom:
    """A piece of text that is never broken, its times, whether a space goes before it, and whether it goes on
    with a word that is wider than a line."""

    text: str
    start_ms: int
    end_ms: int
    spaced: bool
    columns: int
    parted: bool = False


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle: times in milliseconds, lines of plain text, the same lines as atoms, and who speaks."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]
    spoken: tuple[tuple[Atom, ...], ...] = field(default=(), compare=False, repr=False)
    speaker: str = ""


def columns(text: str) -> int:
    """How many terminal columns a text takes: two for each wide character, one for each other."""
    return sum(2 if _is_wide(char) else 1 for char in text)


def width(atoms: Sequence[Atom]) -> int:
    """How many columns some atoms take on one line."""
    return sum(atom.columns + atom.spaced for atom in atoms) - atoms[0].spaced


def joined(atoms: Sequence[Atom]) -> str:
    """Their text on one line."""
    return "".join(f" {atom.text}" if atom.spaced else atom.text for atom in atoms).lstrip()


def _is_wide(char: str) -> bool:
    return unicodedata.east_asian_width(char) in "WF"


def atoms_of(segment: Segment, max_line_width: int) -> list[Atom]:
    """A segment's atoms. Times are its words' where there are words, else shared out by length of text."""
    atoms: list[Atom] = []
    for text, start_ms, end_ms, spaced in _timed_words(segment):
        pieces = list(_pieces(text, spaced, max_line_width))
        widths = [columns(piece) for piece, _, _ in pieces]
        done, total = 0, sum(widths)
        for (piece, piece_spaced, parted), width in zip(pieces, widths, strict=True):
            start = start_ms + (end_ms - start_ms) * done // total
            done += width
            end = start_ms + (end_ms - start_ms) * done // total
            atoms.append(Atom(piece, start, end, piece_spaced, width, parted))
    return atoms


def _timed_words(segment: Segment) -> list[tuple[str, int, int, bool]]:
    """(text, start_ms, end_ms, spaced) of the segment's words, or of its whole text if they do not fit it."""
    text = one_line(segment.text)
    found, position = [], 0
    for word in segment.words:
        word_text = one_line(word.text)
        at = text.find(word_text, position)
        if not word_text or at < 0 or text[position:at].strip():
            break
        start_ms = milliseconds(word.start_s)
        found.append((word_text, start_ms, max(start_ms, milliseconds(word.end_s)), at > position))
        position = at + len(word_text)
    if found and position == len(text):
        return found
    start_ms = milliseconds(segment.start_s)
    longest_ms = columns(text) * 1000 // SLOWEST_COLUMNS_PER_S
    end_ms = min(max(start_ms, milliseconds(segment.end_s)), start_ms + longest_ms)
    return [(text, start_ms, end_ms, False)] if text else []


def _pieces(text: str, spaced: bool, max_line_width: int) -> Iterator[tuple[str, bool, bool]]:
    """Break a text at its spaces, around wide characters, and wherever it is longer than a line.

    Each piece, whether a space goes before it, and whether a word was parted there.
    """
    for run in text.split():
        piece, parted = "", False
        for char in run:
            may_break = bool(piece) and _may_break(piece, char)
            if may_break or (piece and columns(piece + char) > max_line_width):
                yield piece, spaced, parted
                piece, spaced, parted = "", False, not may_break
            piece += char
        yield piece, spaced, parted
        spaced = True


def _may_break(piece: str, char: str) -> bool:
    if char in _NO_LINE_START or piece[-1] in _NO_LINE_END or unicodedata.category(char)[0] == "M":
        return False
    return _stands_alone(char) or _stands_alone(piece[-1])


def needs_space(text: str, following: str) -> bool:
    """Whether a space goes between two segments' texts: not where a script has none."""
    return not (_stands_alone(text[-1]) or _stands_alone(following[0]))


def _stands_alone(char: str) -> bool:
    """Whether lines may break around a character: wide ones, but for Korean, which has spaces."""
    return _is_wide(char) and not "가" <= char <= "힣"
