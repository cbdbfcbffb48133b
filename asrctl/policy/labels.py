"""Who said the finals of a live stream: labels as turns become known, and what changes in them later."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from asrctl.policy.turns import Turn, labelled, numbered_names
from asrctl.transcript import Segment

KEPT_S = 7200.0
"""For so long labels may be corrected; who spoke earlier stands as it was said."""
SETTLED_S = 40.0
"""The longest utterance and a window: labels so far behind do not change."""
TAIL_S = 0.3
"""The end of an utterance is quiet: nobody's words are in its last part."""


@dataclass(frozen=True, slots=True)
class KnownTurns:
    """Who spoke between two times; nothing is known of what is before and after."""

    turns: tuple[Turn, ...]
    since_s: float
    heard_s: float


class SpeakerLabels:
    """Labels of one stream. Who is not known by name is numbered in the order of first words."""

    def __init__(self, known: Collection[str] = ()) -> None:
        """Nobody was heard yet; `known` are the names of turns that are not numbered."""
        self._names = {name: name for name in known}
        self._numbers = numbered_names(known)
        self._turns = KnownTurns((), 0.0, 0.0)
        self._finals: dict[int, Segment] = {}
        self._unheard: set[int] = set()

    @property
    def since_s(self) -> float:
        """From where on turns are needed: by them, finals may still get other labels."""
        settled_s = self._turns.heard_s - SETTLED_S
        unsettled = [
            segment.start_s
            for utterance, segment in self._finals.items()
            if utterance in self._unheard or segment.end_s > settled_s
        ]
        return max(0.0, min([settled_s, *unsettled]))

    @property
    def has_unheard(self) -> bool:
        """Whether there are finals that no turns covered yet."""
        return bool(self._unheard)

    def final(self, utterance: int, segment: Segment) -> Segment:
        """A final's segment with its speakers, if they are known already; it is kept for later."""
        self._unheard.add(utterance)
        self._finals[utterance] = self._heard(utterance, segment)
        return self._finals[utterance]

    def take(self, turns: KnownTurns) -> list[tuple[int, Segment]]:
        """Take what is known now; returns the finals whose speakers change by it, in order."""
        self._turns = turns
        before = {
            utterance: segment
            for utterance, segment in self._finals.items()
            if segment.end_s > turns.heard_s - KEPT_S
        }
        self._finals = {utterance: self._heard(utterance, segment) for utterance, segment in before.items()}
        self._unheard &= self._finals.keys()
        return [each for each in self._finals.items() if each[1] != before[each[0]]]

    def _heard(self, utterance: int, segment: Segment) -> Segment:
        """A segment as far as turns tell who speaks in it."""
        known = self._turns
        if segment.start_s < known.since_s or segment.end_s > known.heard_s + TAIL_S:
            return segment
        self._unheard.discard(utterance)
        found = labelled(segment, known.turns)
        return found.labelled(self._name(found.speaker), [self._name(word.speaker) for word in found.words])

    def _name(self, speaker: str) -> str:
        if speaker and speaker not in self._names:
            self._names[speaker] = next(self._numbers)
        return self._names.get(speaker, "")
