"""Word error rate over plainly normalised words.

Case, punctuation, and anything in square or round brackets do not count; `it's` is `its`
(`policy.words.words_of`: words of any script, characters where a script has no spaces). Numbers are
compared as they are written, so that "5" for "five" is an error: a reference should be written as the model
writes.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

import numpy as np

from asrctl.policy.words import words_of


@dataclass(frozen=True, slots=True)
class WordErrors:
    """How far an output is from its reference.

    Attributes:
        errors: Fewest words to replace, leave out or put in.
        words: Words of the reference.
    """

    errors: int
    words: int

    @property
    def percent(self) -> float:
        """The word error rate; of an empty reference, 0 if the output is empty too, and else 100."""
        if not self.words:
            return 100.0 if self.errors else 0.0
        return 100 * self.errors / self.words

    def __add__(self, other: WordErrors) -> WordErrors:
        """Both together."""
        return WordErrors(self.errors + other.errors, self.words + other.words)


def word_errors(reference: str, output: str) -> WordErrors:
    """Compare an output with the reference, both normalised."""
    expected, heard = normalised(reference), normalised(output)
    return WordErrors(distance(expected, heard), len(expected))


def normalised(text: str) -> list[str]:
    """The words of a text, as the module says."""
    text = unicodedata.normalize("NFKC", text)  # wide brackets too
    return words_of(re.sub(r"\[[^\]]*\]|\([^)]*\)", " ", text))


def distance(expected: list[str], heard: list[str]) -> int:
    """Levenshtein's distance in words: time by the product of the lengths, an hour of speech in a second.

    A row of the table at a time. Insertions run along the row: the cheapest way to column j is the cheapest
    way to any column k before it plus j - k, which is a running minimum of (cost - column).
    """
    numbers = {word: number for number, word in enumerate(dict.fromkeys([*expected, *heard]))}
    columns = np.arange(len(heard) + 1)
    row = columns.copy()
    words = np.array([numbers[word] for word in heard], np.int64)
    for count, word in enumerate(expected, 1):
        replaced = row[:-1] + (words != numbers[word])
        costs = np.concatenate(([count], np.minimum(replaced, row[1:] + 1)))
        row = np.minimum.accumulate(costs - columns) + columns
    return int(row[-1])
