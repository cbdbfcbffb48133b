"""What a reader was shown of an utterance: text that is settled only ever grows, whoever recognises it.

When another recogniser takes an utterance up again, its words are lined up with those that were shown, and
only what it has after them is added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from asrctl.policy.agreement import prefix_distances
from asrctl.policy.words import word_key
from asrctl.transcript import join_text


class Shown(NamedTuple):
    """What to show: text that will not change any more, and text after it that may."""

    stable: str
    unstable: str


class ShownText:
    """What was shown of one utterance."""

    def __init__(self) -> None:
        self._settled: list[str] = []

    def update(self, settled: Sequence[str], unsettled: Sequence[str]) -> Shown:
        """Take the words of whoever recognises the utterance now, from its start.

        Args:
            settled: Words that this recogniser will not change any more.
            unsettled: Those after them.
        """
        words = [*settled, *unsettled]
        known = self._known(words)
        self._settled += settled[known:]
        rest = words[max(known, len(settled)) :]
        return Shown(join_text(self._settled), join_text(rest))

    def _known(self, words: list[str]) -> int:
        """How many of the words say what was shown.

        It is the length of the prefix with the least edit distance to what was shown; among equals, the one
        nearest in length. Nobody who has said less than was shown has anything to add.
        """
        shown = len(self._settled)
        if words[:shown] == self._settled:
            return shown
        if len(words) <= shown:
            return len(words)
        distances = prefix_distances(
            [word_key(word) for word in self._settled], [word_key(word) for word in words]
        )
        return min(range(len(distances)), key=lambda length: (distances[length], abs(length - shown)))
