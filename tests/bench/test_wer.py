"""Word errors, against an oracle that tries everything."""

from __future__ import annotations

from functools import cache

import jiwer
from hypothesis import given
from hypothesis import strategies as st

from asrctl.bench.wer import WordErrors, distance, normalised, word_errors
from benchmarks.accuracy import accuracy, normalise

WORDS = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=7)


def oracle(expected: list[str], heard: list[str]) -> int:
    """Levenshtein's distance by its definition."""

    @cache
    def cost(at: int, to: int) -> int:
        if not at or not to:
            return at + to
        same = expected[at - 1] == heard[to - 1]
        return min(cost(at - 1, to) + 1, cost(at, to - 1) + 1, cost(at - 1, to - 1) + (not same))

    return cost(len(expected), len(heard))


@given(WORDS, WORDS)
def test_distance_is_the_fewest_edits(expected: list[str], heard: list[str]) -> None:
    """It is what trying every way gives."""
    assert distance(expected, heard) == oracle(expected, heard)


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=60), st.lists(st.sampled_from("abcdefgh")))
def test_the_rate_is_that_of_others(expected: list[str], heard: list[str]) -> None:
    """jiwer counts the same errors in longer texts."""
    found = word_errors(" ".join(expected), " ".join(heard))
    other = jiwer.process_words(" ".join(expected), " ".join(heard))
    assert found.errors == other.substitutions + other.deletions + other.insertions
    assert found.words == len(expected)


def test_what_is_not_said_does_not_count() -> None:
    """Case, punctuation, brackets and the kind of apostrophe."""
    assert normalised("It\u2019s (laughs) a WELL-known [BLANK_AUDIO] thing, isn't it?") == (
        ["its", "a", "well", "known", "thing", "isnt", "it"]
    )
    assert word_errors("Hello, world!", "hello world").percent == 0


def test_letters_of_all_languages_are_words() -> None:
    """Accents and other scripts stay; a script without spaces is compared in characters."""
    assert normalised("Über-Maß, señor; 東京 is 5") == ["über", "mass", "señor", "東", "京", "is", "5"]


def test_words_that_differ_by_vowel_signs_are_different() -> None:
    """In Indic scripts vowels are marks, and three of these five words have others."""
    assert word_errors("मैं घर जा रहा हूँ", "मै घर जे रहो हूँ") == WordErrors(3, 5)


def test_wide_brackets_do_not_count() -> None:
    """Japanese and Chinese have brackets of their own."""
    assert normalised("\uff08音楽\uff09はい") == ["は", "い"]


def test_rates_of_nothing() -> None:
    """Nothing expected and nothing heard is right; something heard is all wrong."""
    assert word_errors("", "").percent == 0
    assert word_errors("", "ghosts").percent == 100
    assert word_errors("one two", "").percent == 100


def test_texts_are_weighed_by_their_words() -> None:
    """Errors and words of several texts are added up."""
    assert WordErrors(1, 2) + WordErrors(0, 8) == WordErrors(1, 10)


def test_the_benchmarks_compare_the_same_words() -> None:
    """Their normaliser writes numbers out, and keeps vowel signs too."""
    assert normalise("मै घर 2 don't") == "मै घर two dont"
    assert accuracy("मैं घर जा रहा हूँ", "मै घर जे रहो हूँ").substitutions == 3
