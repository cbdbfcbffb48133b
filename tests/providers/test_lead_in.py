"""A sentence goes before short speech and is taken off what was heard."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from asrctl.audio.sample import SAMPLE_TEXT
from asrctl.providers.lead_in import helps, led_in, without_lead_in
from asrctl.transcript import Hypothesis, Segment, Word

LEAD_IN_S = len(led_in(np.zeros(0, np.float32))) / 16_000


def heard(*texts: str) -> Hypothesis:
    """Segments with words 0.4 s long, each less sure than the one before."""
    segments, count = list[Segment](), 0
    for text in texts:
        words = []
        for word in text.split():
            words.append(Word(0.4 * count, 0.4 * count + 0.3, word, 0.99 - 0.01 * count))
            count += 1
        sure = sum(word.confidence for word in words) / len(words)
        segments.append(Segment(words[0].start_s, words[-1].end_s, text, sure, tuple(words)))
    return Hypothesis(tuple(segments), "en", 0.0)


def test_the_sentence_goes_before_the_samples() -> None:
    """With a pause between them."""
    speech = np.ones(100, np.float32)
    longer = led_in(speech)
    np.testing.assert_array_equal(longer[-100:], speech)
    assert not longer[-100 - 4800 : -100].any() and longer[:-4900].any()
    assert longer.dtype == np.float32


@pytest.mark.parametrize(
    "texts",
    [
        (SAMPLE_TEXT, "Press star."),
        (SAMPLE_TEXT + " Press star.",),
        ("Please call me on Monday", "morning about the meeting. Press star."),
        ("Call me on Monday morning about the meeting, press star.",),
        ("Please call to me on Monday morning about the meeting", "press star."),
    ],
)
def test_the_sentence_is_taken_off(texts: tuple[str, ...]) -> None:
    """Wherever segments end, and if it is misheard by a word."""
    rest = without_lead_in(heard(*texts))
    assert rest is not None
    assert rest.text.lower() == "press star."
    assert [word.text.lower() for segment in rest.segments for word in segment.words] == ["press", "star."]


def test_what_is_left_has_its_own_times_and_confidence() -> None:
    """Times count from the end of the sentence and its pause; the sentence's confidence is gone."""
    rest = without_lead_in(heard(SAMPLE_TEXT + " Press star. Or", "wait."))
    assert rest is not None
    first, last = rest.segments
    assert first.start_s == pytest.approx(9 * 0.4 - LEAD_IN_S) == first.words[0].start_s
    assert first.confidence == pytest.approx(0.89, abs=0.001)
    assert (last.text, last.confidence) == ("wait.", pytest.approx(0.87))
    words = [word for segment in rest.segments for word in segment.words]
    assert all(one.end_s <= two.start_s for one, two in pairwise(words))


@pytest.mark.parametrize(
    "texts",
    [
        (SAMPLE_TEXT,),
        ("Press star.",),
        ("Please call me on Monday morning about the eating. Press star.",),
        ("Monday, about the meeting. Press star.",),
        ("Please call me on Monday morning about it. Press star for the next meeting.",),
    ],
)
def test_what_cannot_be_told_apart_is_not_taken(texts: tuple[str, ...]) -> None:
    """The sentence alone, none of it, or not its end where that should be."""
    assert without_lead_in(heard(*texts)) is None
    assert without_lead_in(Hypothesis((), "en", 0.0)) is None


@pytest.mark.parametrize(
    ("language", "duration_s", "expected"), [("en", 3.9, True), ("en", 4.0, False), ("de", 1.0, False)]
)
def test_it_helps_short_speech_in_its_language(language: str, duration_s: float, expected: bool) -> None:
    """Longer speech leads itself in; other languages would be heard as English."""
    assert helps(language, duration_s) is expected
