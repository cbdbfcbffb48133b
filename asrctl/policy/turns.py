"""Who spoke when, and whose words are whose."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

from asrctl.transcript import Segment


@dataclass(frozen=True, slots=True)
class Turn:
    """A speaker's uninterrupted speech, in seconds; turns of different speakers may overlap."""

    start_s: float
    end_s: float
    speaker: str


def numbered_names(known: Collection[str]) -> Iterator[str]:
    """ "Speaker 1", "Speaker 2" ... for those who are not known; a name that somebody has is left out."""
    taken = {name.casefold() for name in known}
    return (name for name in map("Speaker {}".format, count(1)) if name.casefold() not in taken)


def smoothed(turns: Iterable[Turn], gap_s: float, least_s: float) -> list[Turn]:
    """Turns of one speaker joined over short gaps; what is then shorter than `least_s` is left out."""
    joined: dict[str, list[Turn]] = defaultdict(list)
    for turn in sorted(turns, key=lambda turn: turn.start_s):
        before = joined[turn.speaker]
        if before and turn.start_s - before[-1].end_s <= gap_s:
            before[-1] = replace(before[-1], end_s=max(before[-1].end_s, turn.end_s))
        else:
            before.append(turn)
    kept = [turn for each in joined.values() for turn in each if turn.end_s - turn.start_s >= least_s]
    return sorted(kept, key=lambda turn: (turn.start_s, turn.end_s, turn.speaker))


def labelled(segment: Segment, turns: Sequence[Turn]) -> Segment:
    """The segment with its speaker, and its words with theirs.

    Each is given to who speaks for most of it; where nobody does, to the nearest turn within `_NEAR_S`.
    Without words, the segment counts as a whole; with words, it is given to who says most of it.
    """
    near = [
        turn
        for turn in turns
        if turn.start_s < segment.end_s + 2 * _NEAR_S and turn.end_s > segment.start_s - 2 * _NEAR_S
    ]
    if not segment.words:
        return replace(segment, speaker=speaker_of(segment.start_s, segment.end_s, near))
    speakers = [speaker_of(word.start_s, word.end_s, near) for word in segment.words]
    said_s: dict[str, float] = defaultdict(float)
    for word, speaker in zip(segment.words, speakers, strict=True):
        said_s[speaker] += word.end_s - word.start_s
    return segment.labelled(max(said_s, key=lambda speaker: said_s[speaker]), speakers)


_NEAR_S = 1.0
"""Times of words are not exact, and quiet ends of words are no turns."""


def speaker_of(start_s: float, end_s: float, turns: Sequence[Turn]) -> str:
    """Who speaks for most of a stretch; else who does nearest to it; "" if nobody does within a second."""
    shared_s: dict[str, float] = defaultdict(float)
    for turn in turns:
        shared_s[turn.speaker] += max(0.0, min(end_s, turn.end_s) - max(start_s, turn.start_s))
    if any(shared_s.values()):
        return max(shared_s, key=lambda speaker: shared_s[speaker])
    off = [(max(turn.start_s - end_s, start_s - turn.end_s), turn.speaker) for turn in turns]
    away_s, speaker = min(off, default=(_NEAR_S, ""))
    return speaker if away_s < _NEAR_S else ""
