"""Utterances of a window of which a decoder seems to have left out the words.

Whisper now and then skips one of several utterances in its window, and stretches the sentence before over it,
or leaves a gap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from asrctl.policy.words import syllables
from asrctl.transcript import Segment

_LEAST_S = 1.0
"""In less speech there may be no word."""
_TOUCH_S = 0.3
"""A segment has to do with an utterance that it shares so much with, or half of."""
_SYLLABLES_PER_S = 1.0
_SYLLABLES_PER_S_OF_SEVERAL = 2.0
"""Slow speakers say 3 syllables a second: less of several utterances stands for one of them. With `--no-vad`
33 words of 20 clips with babble were left out without this, and none with it; of the other clips of the
choosing half no text changed (tiny.en q8_0, by hand)."""


class Sparse(NamedTuple):
    """Utterances, and the segments that are in them: [first, last) of each."""

    utterances: tuple[int, int]
    segments: tuple[int, int]


def sparse(
    segments: Sequence[Segment], places_s: Sequence[tuple[float, float]], speech_s: Sequence[float]
) -> Iterator[Sparse]:
    """Runs of utterances with too few words for the time that somebody speaks in them.

    Args:
        segments: Of a window, in order, times in seconds of it.
        places_s: Where its utterances start and end in it.
        speech_s: How long speech was heard in each.
    """
    touched = [_touched(segment, places_s) for segment in segments]
    joined = {at for first, last in touched for at in range(first + 1, last)}
    starts = [at for at in range(len(places_s)) if at not in joined]
    upto = 0
    for start, end in zip(starts, [*starts[1:], len(places_s)], strict=True):
        begin = upto
        while upto < len(touched) and touched[upto][0] < end:
            upto += 1
        said = sum(syllables(word) for one in segments[begin:upto] for word in one.text.split())
        rate = _SYLLABLES_PER_S_OF_SEVERAL if end - start > 1 else _SYLLABLES_PER_S
        spoken_s = sum(speech_s[start:end])
        if spoken_s >= _LEAST_S and said < rate * spoken_s:
            yield Sparse((start, end), (begin, upto))


def is_there(words: Sequence[str], text: Sequence[str]) -> bool:
    """Whether words seem to be in a text already, half of them in a row: its times may just be wrong."""
    found = SequenceMatcher(None, text, words, autojunk=False).find_longest_match()
    return 2 * found.size >= len(words)


def _touched(segment: Segment, places_s: Sequence[tuple[float, float]]) -> tuple[int, int]:
    """Utterances, [first, last), that a segment is in; the nearest if it is in none."""
    shared_s = [min(end, segment.end_s) - max(start, segment.start_s) for start, end in places_s]
    found = [
        at for at, (start, end) in enumerate(places_s) if shared_s[at] >= min(_TOUCH_S, (end - start) / 2)
    ] or [max(range(len(places_s)), key=shared_s.__getitem__)]
    return found[0], found[-1] + 1
