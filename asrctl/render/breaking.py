"""Which atoms make a cue, and which make a line: where a text breaks best.

All ways to break a text into cues are compared, by a cost that is summed over the cues (dynamic programming,
as TeX breaks paragraphs: Knuth and Plass, 1981). Costs are in breaks inside a clause: one that reads too fast
costs more than several of these, one that parts "some of" from "the victims" as much as two.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate, pairwise

from asrctl.render.cues import CUE_MAX_MS, Atom, Cue, SubtitleOptions, joined, width

_SENTENCE_END = re.compile(r"[.!?…。！？]['\"”’»)\]」』]*$")  # noqa: RUF001
_CLAUSE_END = re.compile(r"[,;:、，；：–—]['\"”’»)\]」』]*$")  # noqa: RUF001
_PAUSE_MS = 300
"""A silence between words that a listener hears as a break: the usual threshold in prosody work."""
_LONG_PAUSE_MS = 1_000

_LEANING_WORDS = """
a an the of to in on at by for from with into onto over under about between through during before after
my your his her its our their this that these those some any no every each and or but nor if as than
because while when where who which whose is are was were be been am do does did have has had will would
can could shall should may might must not very so too i you he she we they it
der die das dem den des ein eine einen einem einer eines und oder aber zu im in am an auf aus bei mit
nach von vor für über unter durch ist sind war nicht ich du er sie wir ihr es mein dein sein kein
le la les un une des du de et ou mais à au aux en dans sur sous par pour avec sans ce cette ces mon ma
mes je tu il elle nous vous ils elles est sont ne pas que qui
el los las unos unas y o pero del al con sin por para su sus mi mis es son no se que
il lo gli i uno e ma di da nel nella sul con per tra fra che non è sono
o os as um uma e ou mas do da dos das no na em por para com sem que não é são
"""
_LEANING = frozenset(_LEANING_WORDS.split())
"""What leans on the word after it in English, German, French, Spanish, Italian and Portuguese: articles,
prepositions, possessives, pronouns, auxiliaries, conjunctions."""

_INSIDE = 4.0
_AFTER_LEANING = 8.0
_AFTER_CLAUSE = 1.0
_AFTER_PAUSE = 0.8
_CUE = 0.6
_TOO_FAST = 9.0
_TOO_SHORT = 30.0
_OVER_PAUSE = 3.0
_OVER_LONG_PAUSE = 12.0
_OVER_SENTENCE = 3.0


def cue_sizes(atoms: Sequence[Atom], options: SubtitleOptions) -> list[int]:
    """How many atoms each cue takes.

    Args:
        atoms: At least one; in order.
        options: How cues look.
    """
    if options.word_by_word:
        return _word_sizes(atoms)
    count = len(atoms)
    inner = [0.0, 0.0, *accumulate(_inner_cost(one, other) for one, other in pairwise(atoms))]
    until = [0, *accumulate(atom.columns + atom.spaced for atom in atoms)]  # columns before each atom
    best: list[tuple[float, int]] = [(0.0, 0)]
    for end in range(1, count + 1):
        following_ms = atoms[end].start_ms if end < count else None
        ways = [
            (
                best[start][0]
                + _cue_cost(
                    atoms[start].start_ms,
                    until[end] - until[start] - atoms[start].spaced,
                    following_ms,
                    options,
                )
                + inner[end]
                - inner[start + 1],
                start,
            )
            for start in _starts(atoms, end, until, options)
        ]
        cost, start = min(ways)
        best.append((cost + _break_cost(atoms, end), start))
    sizes: list[int] = []
    end = count
    while end:
        start = best[end][1]
        sizes.append(end - start)
        end = start
    return sizes[::-1]


def _word_sizes(atoms: Sequence[Atom]) -> list[int]:
    """Pieces of one word stay together."""
    sizes: list[int] = []
    for atom in atoms:
        if sizes and not atom.spaced and atom.columns == len(atom.text):
            sizes[-1] += 1
        else:
            sizes.append(1)
    return sizes


def _starts(atoms: Sequence[Atom], end: int, until: list[int], options: SubtitleOptions) -> list[int]:
    """Where a cue may start that ends before atom `end`: it must fit its lines, and not stay too long."""
    starts = [end - 1]
    for start in range(end - 2, -1, -1):
        needed = until[end] - until[start] - atoms[start].spaced
        if atoms[end - 1].end_ms - atoms[start].start_ms > CUE_MAX_MS:
            break
        if needed > options.max_line_width and not _fits(atoms[start:end], options):
            break
        starts.append(start)
    return starts


def _fits(atoms: Sequence[Atom], options: SubtitleOptions) -> bool:
    lines, at = 1, 0
    for index, atom in enumerate(atoms):
        needed = atom.columns + (atom.spaced and index > 0 and at > 0)
        if at + needed > options.max_line_width:
            lines, at, needed = lines + 1, 0, atom.columns
        at += needed
    return lines <= options.max_lines


def _cue_cost(start_ms: int, text_columns: int, following_ms: int | None, options: SubtitleOptions) -> float:
    """What is wrong with a cue of so many columns, until what follows it starts."""
    wanted_ms = max(options.min_duration_ms, text_columns * 1000 / options.max_cps)
    end_ms = start_ms + wanted_ms if following_ms is None else following_ms - options.min_gap_ms
    shown_ms = max(1, min(end_ms, start_ms + CUE_MAX_MS) - start_ms)
    cost = _CUE
    if shown_ms < options.min_duration_ms:
        cost += _TOO_SHORT * (2 - shown_ms / options.min_duration_ms)
    if shown_ms < wanted_ms:
        cost += _TOO_FAST * min(4.0, wanted_ms / shown_ms)
    room = options.max_line_width * options.max_lines
    cost += (1 - min(1.0, 2 * text_columns / room)) ** 2 + (1 - min(1.0, text_columns / room)) ** 2 / 2
    return cost


def _inner_cost(one: Atom, other: Atom) -> float:
    """What it costs not to break between two atoms: a pause, or the end of a sentence, inside of a cue."""
    cost = _OVER_SENTENCE if _SENTENCE_END.search(one.text) else 0.0
    pause_ms = other.start_ms - one.end_ms
    if pause_ms >= _LONG_PAUSE_MS:
        return cost + _OVER_LONG_PAUSE
    return cost + (_OVER_PAUSE * pause_ms / _LONG_PAUSE_MS if pause_ms >= _PAUSE_MS else 0.0)


def _break_cost(atoms: Sequence[Atom], end: int) -> float:
    """What it costs to break before atom `end`; nothing at either end of the text."""
    if not 0 < end < len(atoms):
        return 0.0
    last, following = atoms[end - 1], atoms[end]
    if _SENTENCE_END.search(last.text):
        return 0.0
    if _CLAUSE_END.search(last.text):
        return _AFTER_CLAUSE
    if following.start_ms - last.end_ms >= _PAUSE_MS:
        return _AFTER_PAUSE if not _leans(last) else _INSIDE
    if _leans(last):
        return _AFTER_LEANING
    return _INSIDE - (1.0 if _leans(following) else 0.0)


def _leans(atom: Atom) -> bool:
    return atom.text.casefold() in _LEANING


# Lines


def cue_of(atoms: Sequence[Atom], options: SubtitleOptions) -> Cue:
    """The cue of some atoms that fit, from the first one's start to the last one's end."""
    lines = _lines(atoms, options)
    start_ms = atoms[0].start_ms
    end_ms = max(start_ms, *(atom.end_ms for atom in atoms))
    texts = tuple(joined(line) for line in lines)
    return Cue(start_ms, min(end_ms, start_ms + CUE_MAX_MS), texts, lines)


def _lines(atoms: Sequence[Atom], options: SubtitleOptions) -> tuple[tuple[Atom, ...], ...]:
    """As few lines as will do, about even, and broken where the text breaks best."""
    if width(atoms) <= options.max_line_width:
        return (tuple(atoms),)
    for count in range(2, options.max_lines + 1):
        goal = width(atoms) / count
        found = _split(atoms, count, goal, options.max_line_width)
        if found is not None:
            return found[1]
    return (tuple(atoms),)  # a single atom is never wider; more only fit if `_fits` says so


def _split(
    atoms: Sequence[Atom], count: int, goal: float, max_width: int
) -> tuple[float, tuple[tuple[Atom, ...], ...]] | None:
    """The best way to break atoms into `count` lines, and its cost; None if there is none."""
    if count == 1:
        whole = width(atoms)
        return (abs(whole - goal) / goal, (tuple(atoms),)) if whole <= max_width else None
    best: tuple[float, tuple[tuple[Atom, ...], ...]] | None = None
    for end in range(1, len(atoms)):
        first = width(atoms[:end])
        if first > max_width:
            break
        rest = _split(atoms[end:], count - 1, goal, max_width)
        if rest is None:
            continue
        cost = rest[0] + abs(first - goal) / goal + _break_cost(atoms, end) / _INSIDE / 2
        if best is None or cost < best[0]:
            best = cost, (tuple(atoms[:end]), *rest[1])
    return best
