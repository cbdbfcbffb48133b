"""LocalAgreement-2: the words of a growing utterance that two successive runs agreed on.

A recogniser run again and again on a growing utterance rewrites its last words. A word counts as stable once
two runs in a row had it, with all words before it stable; stable words are shown as settled and never change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from asrctl.policy.words import word_key
from asrctl.transcript import Word


class Agreement(NamedTuple):
    """What to show: words that will not change any more, then the newest run's words after them."""

    stable: tuple[Word, ...]
    unstable: tuple[Word, ...]


class StablePrefix:
    """The agreement within one utterance; times are in seconds on whatever clock the words carry."""

    def __init__(self) -> None:
        self._stable: tuple[Word, ...] = ()
        self._unstable: tuple[Word, ...] = ()

    def update(self, words: Sequence[Word]) -> Agreement:
        """Take the newest run's words, from the utterance's start, and say what is stable now.

        Words are compared without case and punctuation. Where the run contradicts words that are already
        stable, those stay as they were, and only what it has after them is used.
        """
        tail = tuple(words[self._tail_index(words) :])
        agreed = _common_prefix_length(self._unstable, tail)
        self._stable += tail[:agreed]
        self._unstable = tail[agreed:]
        return Agreement(self._stable, self._unstable)

    def _tail_index(self, words: Sequence[Word]) -> int:
        """How many of the run's first words say what the stable words say.

        It is the length of the prefix with the least edit distance to the stable words; among equals, the
        one that ends nearest in time to where they end.
        """
        if not self._stable or _common_prefix_length(self._stable, words) == len(self._stable):
            return len(self._stable)
        stable = [word_key(word.text) for word in self._stable]
        distances = prefix_distances(stable, [word_key(word.text) for word in words])
        end_s = self._stable[-1].end_s

        def badness(length: int) -> tuple[int, float]:
            prefix_end_s = words[length - 1].end_s if length else 0.0
            return distances[length], abs(prefix_end_s - end_s)

        return min(range(len(distances)), key=badness)


def _common_prefix_length(first: Sequence[Word], second: Sequence[Word]) -> int:
    length = 0
    for one, other in zip(first, second, strict=False):
        if word_key(one.text) != word_key(other.text):
            break
        length += 1
    return length


def prefix_distances(target: Sequence[str], words: Sequence[str]) -> list[int]:
    """Edit distance from `target` to the first 0, 1, … len(words) of `words` (Wagner and Fischer, 1974)."""
    row = list(range(len(words) + 1))
    for removed, wanted in enumerate(target, start=1):
        previous, row = row, [removed]
        for index, word in enumerate(words):
            replaced = previous[index] + (word != wanted)
            row.append(min(replaced, previous[index + 1] + 1, row[index] + 1))
    return row
