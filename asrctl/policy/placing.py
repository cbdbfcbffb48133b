"""Placing: times of segments and words in a window become times in the source, where speech was heard.

Decoders time their text roughly. A segment usually starts where the one before ended, whatever pause lies
between, and a word before or after a pause is stretched over it; where pauses were cut out of a window, a
time that is off by a tenth of a second may be off by many seconds in the source. What is known better is
where there was speech. So the boundary between two segments goes into the pause that it is near, each word
belongs to one stretch of speech, and a segment is as long as its words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain, pairwise

from asrctl.policy.endpointing import Span
from asrctl.policy.packing import Window
from asrctl.policy.stretches import Stretch, pause_s, stretches_of
from asrctl.policy.words import syllables
from asrctl.transcript import Segment, Word

_JOINED_S = 0.3
"""Segments closer than this share one boundary."""
_REACH_S = 0.3
_LONGEST_REACH_S = 0.7
"""How far a boundary may be from its pause: whisper's timestamps are often rounded to half a second."""
_LONG_PAUSE_S = 2.5
_BLIP_S = 0.3
_FILLED = 0.8
_TOUCH_S = 0.1
_ROUGH_S = 0.3
_SLOWEST_SYLLABLES_PER_S = 2
"""Less speech than this, so far from the rest of its sentence, is a noise or a breath, and no word."""
_FAR_S = 0.3
_SHORTEST_WORD_S = 0.04
_LONGEST_WORD_S = 0.6
_LONGER_PER_CHARACTER_S = 0.06
"""A word over a pause is not longer than this: the slowest speech is twice as fast."""
_SENTENCE_PAUSE_S = 1.0
_SHARE_OFF = 0.12
_SENTENCE_END = re.compile(r"(?<=[.!?\u2026])\s+|(?<=[\u3002\uff01\uff1f])\s*(?=\S)")
_CLAUSE_END = re.compile(r"(?<=[,;:])\s+")
_FIRST_SENTENCE = re.compile(r"\S+(\s+\S+)?[.!?,;:…。！？，、]['\"”’»)]*(\s|$)")  # noqa: RUF001
_LAST_SENTENCE = re.compile(r"[.!?…。！？]['\"”’»)]*\s+\S+(\s+\S+)?$")  # noqa: RUF001


@dataclass(slots=True)
class _Placed:
    """A segment being placed: times in the window, and its first and last stretch, if it has some."""

    segment: Segment
    start_s: float
    end_s: float
    first: int = 0
    last: int = -1

    def within(self, stretches: Sequence[Stretch]) -> bool:
        return self.first <= self.last < len(stretches)


def place(segments: Sequence[Segment], window: Window, voiced: Sequence[Span] = ()) -> tuple[Segment, ...]:
    """A window's segments, times in seconds of the source.

    Args:
        segments: In order; times in seconds of the window.
        window: What was decoded.
        voiced: Where speech was heard in the source, in order; where that is not known, a window's spans.
    """
    stretches = stretches_of(window, voiced)
    stretches = sorted([*stretches, *_unheard(segments, stretches, window)], key=lambda one: one.start_s)
    placed = [_Placed(segment, segment.start_s, segment.end_s) for segment in segments]
    _part(placed, stretches)
    for each in placed:
        _find(each, stretches)
        _drop_blips(each, stretches)
    return tuple(
        _to_source(part, stretches, window) for each in placed for part in _sentences(each, stretches)
    )


def _unheard(segments: Sequence[Segment], stretches: list[Stretch], window: Window) -> Iterator[Stretch]:
    """Words far from all speech that the detector heard, though nothing stretched them: quiet ones.

    The first and last word of a segment do not tell, since their times are rough.
    """
    for segment in segments:
        for word in segment.words[1:-1]:
            is_far = all(one.overlap_s(word.start_s, word.end_s) < -_FAR_S for one in stretches)
            if is_far and 0 < word.end_s - word.start_s <= _longest_s(word):
                source_s = window.start_in_source(word.start_s)
                if window.end_in_source(word.end_s) > source_s:
                    yield Stretch(word.start_s, word.end_s, source_s)


def _longest_s(word: Word) -> float:
    return _LONGEST_WORD_S + _LONGER_PER_CHARACTER_S * len(word.text)


def _part(placed: list[_Placed], stretches: list[Stretch]) -> None:
    """Move each boundary between two segments into the pause it is near; no pause parts twice."""
    used = -1
    for one, other in pairwise(placed):
        if other.start_s - one.end_s > _JOINED_S:
            continue
        boundary_s = (one.end_s + other.start_s) / 2
        pauses = [
            (distance_s, at)
            for at in range(used + 1, len(stretches) - 1)
            if one.start_s < stretches[at].end_s and stretches[at + 1].start_s < other.end_s
            if (distance_s := _distance_s(boundary_s, stretches, at)) <= _reach_s(stretches, at)
        ]
        if pauses:
            _, used = min(pauses)
            one.end_s, other.start_s = stretches[used].end_s, stretches[used + 1].start_s


def _distance_s(time_s: float, stretches: list[Stretch], at: int) -> float:
    """How far a time is from the pause behind stretch `at`."""
    return max(stretches[at].end_s - time_s, time_s - stretches[at + 1].start_s, 0.0)


def _reach_s(stretches: list[Stretch], at: int) -> float:
    """The longer a pause, the surer that two segments are parted by it."""
    return min(_LONGEST_REACH_S, _REACH_S + pause_s(stretches, at) / 4)


def _find(each: _Placed, stretches: list[Stretch]) -> None:
    """The stretches a segment has a share in: not those that it only touches at its rough ends."""
    shares = [at for at, one in enumerate(stretches) if one.overlap_s(each.start_s, each.end_s) > 0]
    if not shares:
        return
    each.first, each.last = shares[0], shares[-1]
    touched_s = stretches[each.first].end_s - each.start_s
    if each.first < each.last and touched_s < _touch_s(stretches, each.first):
        each.first += 1
    touched_s = each.end_s - stretches[each.last].start_s
    if each.first < each.last and touched_s < _touch_s(stretches, each.last - 1):
        each.last -= 1
    each.start_s = stretches[each.first].inside(each.start_s)
    each.end_s = stretches[each.last].inside(each.end_s)


def _touch_s(stretches: list[Stretch], at: int) -> float:
    return min(_TOUCH_S, pause_s(stretches, at) / 4)


def _drop_blips(each: _Placed, stretches: list[Stretch]) -> None:
    """Let a sentence neither begin nor end in a moment of sound that lies far from all the rest of it."""
    while each.first < each.last and not _FIRST_SENTENCE.match(each.segment.text):
        edge = stretches[each.first]
        is_word = _fills(each.segment.words[:1], edge) or edge.end_s - each.start_s >= _BLIP_S
        if is_word or pause_s(stretches, each.first) < _LONG_PAUSE_S:
            break
        each.first += 1
        each.start_s = stretches[each.first].start_s
    while each.first < each.last and not _LAST_SENTENCE.search(each.segment.text):
        edge = stretches[each.last]
        is_word = _fills(each.segment.words[-1:], edge) or each.end_s - edge.start_s >= _BLIP_S
        if is_word or pause_s(stretches, each.last - 1) < _LONG_PAUSE_S:
            break
        each.last -= 1
        each.end_s = stretches[each.last].end_s


def _fills(words: tuple[Word, ...], stretch: Stretch) -> bool:
    """Whether the decoder put the word right there, and not somewhere about."""
    return any(
        stretch.overlap_s(word.start_s, word.end_s)
        >= _FILLED * max(_SHORTEST_WORD_S, word.end_s - word.start_s)
        for word in words
    )


def _sentences(each: _Placed, stretches: list[Stretch]) -> list[_Placed]:
    """A segment parted at long pauses, where one of its sentences, or of their clauses, ends about there.

    Which one ends at a pause is told by the share of all speech, and of all syllables, before it. Within a
    sentence people pause; where it is parted at a comma, the pause must be longer.
    """
    clauses = [_CLAUSE_END.split(one) for one in _SENTENCE_END.split(each.segment.text.strip())]
    sentence_ends, parted = {*accumulate(map(len, clauses))}, [*chain.from_iterable(clauses)]
    weights = [sum(syllables(word) for word in piece.split()) for piece in parted]
    speech_s = [one.overlap_s(each.start_s, each.end_s) for one in stretches[each.first : each.last + 1]]
    parts, done, first = list[_Placed](), 0, each.first
    for at in range(each.first, each.last):
        share = sum(speech_s[: at + 1 - each.first]) / (sum(speech_s) or 1)
        ends = [
            (end not in sentence_ends, off, end)
            for end in range(done + 1, len(parted))
            if (off := abs(sum(weights[:end]) / (sum(weights) or 1) - share)) <= _SHARE_OFF
            if pause_s(stretches, at) >= (_SENTENCE_PAUSE_S if end in sentence_ends else _LONG_PAUSE_S)
        ]
        if ends:
            *_, end = min(ends)
            parts.append(_part_of(each, parted, done, end, stretches, first, at))
            done, first = end, at + 1
    if not parts:
        return [each]
    return [*parts, _part_of(each, parted, done, len(parted), stretches, first, each.last)]


def _part_of(
    each: _Placed,
    sentences: list[str],
    start: int,
    end: int,
    stretches: list[Stretch],
    first: int,
    last: int,
) -> _Placed:
    """Sentences or clauses from `start` up to `end`, which were said in the stretches `first` to `last`."""
    skip, count = (len(" ".join(some).split()) for some in (sentences[:start], sentences[start:end]))
    is_told = len(each.segment.words) == len(each.segment.text.split())
    words = each.segment.words[skip : skip + count] if is_told else ()
    segment = replace(each.segment, text=" ".join(sentences[start:end]), words=words)
    start_s = max(each.start_s, stretches[first].start_s)
    return _Placed(segment, start_s, min(each.end_s, stretches[last].end_s), first, last)


def _to_source(each: _Placed, stretches: list[Stretch], window: Window) -> Segment:
    if not each.within(stretches):  # it was heard where the detector heard nothing
        words = tuple(
            replace(
                word, start_s=window.start_in_source(word.start_s), end_s=window.end_in_source(word.end_s)
            )
            for word in each.segment.words
        )
        start_s, end_s = window.start_in_source(each.start_s), window.end_in_source(each.end_s)
        return _in_order(replace(each.segment, start_s=start_s, end_s=end_s, words=words))
    words = _place_words(each, stretches)
    start_s = words[0].start_s if words else stretches[each.first].to_source(each.start_s)
    end_s = words[-1].end_s if words else stretches[each.last].to_source(each.end_s)
    return replace(each.segment, start_s=start_s, end_s=end_s, words=words)


def _in_order(segment: Segment) -> Segment:
    """No end before its start, where both were moved."""
    words = tuple(replace(word, end_s=max(word.start_s, word.end_s)) for word in segment.words)
    return replace(segment, end_s=max(segment.start_s, segment.end_s), words=words)


# Words


def _place_words(each: _Placed, stretches: list[Stretch]) -> tuple[Word, ...]:
    """Each word into one stretch, in order, with a time that it can be said in."""
    groups: list[list[Word]] = [[] for _ in stretches]
    at = each.first
    for number, word in enumerate(each.segment.words):
        start_s, end_s = _unstretched(word, number == 0, each, stretches)
        at = max(at, _stretch_of(start_s, end_s, each, stretches))
        inside = stretches[at].inside
        groups[at].append(replace(word, start_s=inside(start_s), end_s=inside(end_s)))
    return tuple(
        replace(word, start_s=stretch.to_source(word.start_s), end_s=stretch.to_source(word.end_s))
        for stretch, words in zip(stretches, groups, strict=True)
        for word in _with_room(_filling(words, stretch, each), stretch)
    )


def _filling(words: list[Word], stretch: Stretch, each: _Placed) -> list[Word]:
    """Words that are all that was said in a stretch, and enough for it, start and end with it."""
    length_s = stretch.end_s - stretch.start_s
    owned = each.start_s <= stretch.start_s + _TOUCH_S and each.end_s >= stretch.end_s - _TOUCH_S
    if not owned or sum(syllables(word.text) for word in words) < _SLOWEST_SYLLABLES_PER_S * length_s:
        return words
    filling = list(words)
    if filling[0].start_s - stretch.start_s > _ROUGH_S:
        filling[0] = replace(filling[0], start_s=stretch.start_s)
    if stretch.end_s - filling[-1].end_s > _ROUGH_S:
        filling[-1] = replace(filling[-1], end_s=stretch.end_s)
    return filling


def _unstretched(word: Word, is_first: bool, each: _Placed, stretches: list[Stretch]) -> tuple[float, float]:
    """A word's times; if there is a pause inside of them, no longer than a word is.

    Decoders stretch a segment's first word back to the end of what was before it, and others on to the next.
    """
    start_s, end_s = max(word.start_s, each.start_s), min(word.end_s, each.end_s)
    most_s = _longest_s(word)
    pauses = any(start_s < one.end_s < end_s for one in stretches[each.first : each.last])
    if pauses and end_s - start_s > most_s:
        return (end_s - most_s, end_s) if is_first else (start_s, start_s + most_s)
    return start_s, end_s


def _stretch_of(start_s: float, end_s: float, each: _Placed, stretches: list[Stretch]) -> int:
    """The stretch that has the most of a word, or is nearest to it."""
    middle_s = (start_s + end_s) / 2
    return max(
        range(each.first, each.last + 1),
        key=lambda at: (
            max(0.0, stretches[at].overlap_s(start_s, end_s)),
            stretches[at].overlap_s(middle_s, middle_s),
        ),
    )


def _with_room(words: list[Word], stretch: Stretch) -> list[Word]:
    """Words that were left no time get some of their neighbours', by their length."""
    rest = list(words)
    done: list[Word] = []
    while rest:
        count = 1
        while count < len(rest) and not _have_room(rest[:count]):
            count += 1
        group, rest = rest[:count], rest[count:]
        while done and not _have_room(group):
            group.insert(0, done.pop())
        done += group if len(group) == 1 else _shared(group, stretch)
    return done


def _have_room(words: list[Word]) -> bool:
    return words[-1].end_s - words[0].start_s >= _SHORTEST_WORD_S * len(words)


def _shared(words: list[Word], stretch: Stretch) -> list[Word]:
    start_s, end_s = stretch.inside(words[0].start_s), stretch.inside(words[-1].end_s)
    total = sum(len(word.text) for word in words) or 1
    placed, done = list[Word](), 0
    for word in words:
        first_s = start_s + (end_s - start_s) * done / total
        done += len(word.text)
        last_s = start_s + (end_s - start_s) * done / total
        placed.append(replace(word, start_s=first_s, end_s=last_s))
    return placed
