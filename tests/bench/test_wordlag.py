"""How long after they were said words are shown."""

from __future__ import annotations

import pytest

from asrctl.bench.paced import Heard
from asrctl.bench.wordlag import word_lags
from asrctl.events import Event, Final, Partial, SpeechStarted
from asrctl.transcript import SAMPLE_RATE_HZ, Segment, Word

SPOKEN = [Word(1.0, 1.3, "Good", 1.0), Word(1.3, 1.6, "morning,", 1.0), Word(1.6, 2.0, "it's", 1.0)]


def heard(*events: tuple[float, Event]) -> Heard:
    """A session that heard these, at these seconds."""
    return Heard(0.0, [(0.9, SpeechStarted(0, 0.8)), *events])


def partial(stable: str, unstable: str = "", utterance: int = 0) -> Partial:
    """What is shown of an utterance."""
    return Partial(utterance, 1, 0.8, 2.0, stable, unstable)


def final(text: str, start_s: float = 0.8, end_s: float = 2.2, utterance: int = 0) -> Final:
    """What it says for good."""
    bounds = round(start_s * SAMPLE_RATE_HZ), round(end_s * SAMPLE_RATE_HZ)
    return Final(utterance, Segment(start_s, end_s, text, 1.0), *bounds)


def test_a_word_counts_from_its_end_to_where_it_is_first_shown() -> None:
    """In a partial, stable or not, or at last in the final; however it is written."""
    events = heard(
        (1.8, partial("", "good")), (2.1, partial("Good", "morning")), (2.5, final("Good morning, its"))
    )
    assert word_lags(SPOKEN, events) == pytest.approx([0.5, 0.5, 0.5])


def test_a_word_that_was_shown_too_soon_has_no_lag_below_its_guess() -> None:
    """Where it is placed later than it was shown, the lag is below zero, and is kept."""
    assert word_lags(SPOKEN[:1], heard((1.2, partial("good")), (2.5, final("Good")))) == pytest.approx([-0.1])


def test_words_that_were_heard_otherwise_have_none() -> None:
    """Nobody knows which they are."""
    assert word_lags(SPOKEN, heard((2.5, final("Good evening, it's")))) == pytest.approx([1.2, 0.5])
    assert word_lags(SPOKEN, heard((2.5, final("")))) == []
    assert word_lags([], heard((2.5, final("Good")))) == []


def test_the_same_words_later_are_other_words() -> None:
    """Each utterance looks at what was said in it alone."""
    again = [Word(word.start_s + 10, word.end_s + 10, word.text, 1.0) for word in SPOKEN]
    events = heard(
        (2.5, final("Good morning, it's")),
        (11.8, partial("good", utterance=1)),
        (12.5, final("Good morning, it's", 10.8, 12.2, utterance=1)),
    )
    assert word_lags([*SPOKEN, *again], events) == pytest.approx([1.2, 0.9, 0.5, 0.5, 0.9, 0.5])
