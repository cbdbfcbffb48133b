"""Segments cut into subtitle cues that can be read: short lines, two at most, shown long enough.

Pure text and arithmetic. A segment becomes *atoms* (the smallest pieces that a line may break between,
each with its time), atoms become cues, and a cue's atoms become one or two lines.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from asrctl.render.text import milliseconds, one_line
from asrctl.transcript import Segment

LINE_COLUMNS = 42
"""Longest line, in columns (a wide CJK character takes two): the usual limit of subtitling guides."""
CUE_MAX_MS = 6_000
"""Longest that a cue stays, by the same guides."""
SLOWEST_COLUMNS_PER_S = 6
"""Text without word times is not spread thinner than this over its segment: speech runs at 12 to 17
characters a second, so the rest of a long segment with little text is silence at its end."""

_SENTENCE_END = re.compile(r"[.!?…。！？]['\"”’»)\]」』]*$")  # noqa: RUF001
_CLAUSE_END = re.compile(r"[,;:、，；：–—]['\"”’»)\]」』]*$")  # noqa: RUF001
_NO_LINE_START = frozenset("、。，．！？：；」』）］｝〉》】〕・ーっッゃゅょャュョ々…")  # noqa: RUF001
_NO_LINE_END = frozenset("「『（［｛〈《【〔")  # noqa: RUF001
_PAUSE_MS = 300
"""A silence between words that a listener hears as a break: the usual threshold in prosody work."""


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle: times in milliseconds, and one or two lines of plain text."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Atom:
    """A piece of text that is never broken, its times, and whether a space goes before it."""

    text: str
    start_ms: int
    end_ms: int
    spaced: bool
    columns: int


def cues(segment: Segment) -> Iterator[Cue]:
    """Cut a segment into cues, at sentence ends, clause ends and pauses where they fit.

    Times are those of the words where there are words, else shared out by length of text. They rise
    within the segment if the words' times do; across segments that is the writer's care.
    """
    rest = _atoms(segment)
    while rest:
        count = _cue_size(rest)
        chosen, rest = rest[:count], rest[count:]
        start_ms, end_ms = chosen[0].start_ms, max(atom.end_ms for atom in chosen)
        yield Cue(start_ms, min(max(start_ms, end_ms), start_ms + CUE_MAX_MS), _lines(chosen))


def columns(text: str) -> int:
    """How many terminal columns a text takes: two for each wide character, one for each other."""
    return sum(2 if _is_wide(char) else 1 for char in text)


def _is_wide(char: str) -> bool:
    return unicodedata.east_asian_width(char) in "WF"


# From a segment to atoms


def _atoms(segment: Segment) -> list[Atom]:
    atoms: list[Atom] = []
    for text, start_ms, end_ms, spaced in _timed_words(segment):
        pieces = list(_pieces(text, spaced))
        widths = [columns(piece) for piece, _ in pieces]
        done, total = 0, sum(widths)
        for (piece, piece_spaced), width in zip(pieces, widths, strict=True):
            start = start_ms + (end_ms - start_ms) * done // total
            done += width
            end = start_ms + (end_ms - start_ms) * done // total
            atoms.append(Atom(piece, start, end, piece_spaced, width))
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


def _pieces(text: str, spaced: bool) -> Iterator[tuple[str, bool]]:
    """Break a text at its spaces, around wide characters, and wherever it is longer than a line."""
    for run in text.split():
        piece = ""
        for char in run:
            if piece and _may_break(piece, char):
                yield piece, spaced
                piece, spaced = "", False
            piece += char
        yield piece, spaced
        spaced = True


def _may_break(piece: str, char: str) -> bool:
    if columns(piece + char) > LINE_COLUMNS:
        return True
    if char in _NO_LINE_START or piece[-1] in _NO_LINE_END or unicodedata.category(char)[0] == "M":
        return False
    return _stands_alone(char) or _stands_alone(piece[-1])


def _stands_alone(char: str) -> bool:
    """Whether lines may break around a character: wide ones, but for Korean, which has spaces."""
    return _is_wide(char) and not "가" <= char <= "힣"


# From atoms to cues and lines


def _cue_size(atoms: Sequence[Atom]) -> int:
    """How many atoms the next cue takes: as many as fit, or fewer where that ends better."""
    most = _most_that_fit(atoms)
    if most == len(atoms):
        return most
    left = _width(atoms[: 2 * most])
    goal = min(_width(atoms[:most]), (left + 1) // 2)  # two halves read better than a full cue and a word
    return max(range(1, most + 1), key=lambda count: _break_score(atoms, count, goal))


def _most_that_fit(atoms: Sequence[Atom]) -> int:
    count = 1
    while (
        count < len(atoms)
        and atoms[count].end_ms - atoms[0].start_ms <= CUE_MAX_MS
        and _first_line(atoms[: count + 1]) is not None
    ):
        count += 1
    return count


def _break_score(atoms: Sequence[Atom], count: int, goal: int) -> float:
    """How well a cue of `count` atoms ends, less how far it is from the width aimed at."""
    last, following = atoms[count - 1], atoms[count]
    distance = abs(_width(atoms[:count]) - goal) / goal
    if _SENTENCE_END.search(last.text):
        return 0.8 - distance
    if following.start_ms - last.end_ms >= _PAUSE_MS:
        return 0.6 - distance
    if _CLAUSE_END.search(last.text):
        return 0.5 - distance
    return -distance


def _lines(atoms: Sequence[Atom]) -> tuple[str, ...]:
    split = _first_line(atoms)
    assert split is not None  # _most_that_fit sees to it
    return tuple(_join(line) for line in (atoms[:split], atoms[split:]) if line)


def _first_line(atoms: Sequence[Atom]) -> int | None:
    """How many atoms go on the first line of two even ones; all if one line does, None if two do not."""
    total = _width(atoms)
    if total <= LINE_COLUMNS:
        return len(atoms)
    best, best_score = None, 0.0
    first = 0
    for count, atom in enumerate(atoms[:-1], start=1):
        first += atom.columns + (atom.spaced and count > 1)
        second = total - first - atoms[count].spaced
        if max(first, second) > LINE_COLUMNS:
            continue
        ends_clause = _CLAUSE_END.search(atom.text) or _SENTENCE_END.search(atom.text)
        score = abs(first - second) - (LINE_COLUMNS // 4 if ends_clause else 0)
        if best is None or score < best_score:
            best, best_score = count, score
    return best


def _width(atoms: Sequence[Atom]) -> int:
    return sum(atom.columns + atom.spaced for atom in atoms) - atoms[0].spaced


def _join(atoms: Sequence[Atom]) -> str:
    return "".join(f" {atom.text}" if atom.spaced else atom.text for atom in atoms).lstrip()
