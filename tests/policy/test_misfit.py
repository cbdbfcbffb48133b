"""A language that the model does not know is noticed by low confidence throughout."""

from __future__ import annotations

import pytest

from asrctl.policy.misfit import seems_foreign, spoken_instead
from asrctl.transcript import LanguageEvidence, Segment


def segments(*rated: tuple[float, float]) -> list[Segment]:
    """One after the other: duration in seconds, confidence."""
    found, at_s = [], 0.0
    for duration_s, confidence in rated:
        found.append(Segment(at_s, at_s + duration_s, "what was heard of it", confidence))
        at_s += duration_s
    return found


@pytest.mark.parametrize(
    "rated, foreign",
    [
        ([], False),
        ([(1.9, 0.1)], False),  # too little to judge
        ([(2.0, 0.1)], True),
        ([(4.0, 0.49)], True),
        ([(4.0, 0.5)], False),
        ([(2.0, 0.2), (6.0, 0.8)], False),  # noise in English
        ([(1.0, 0.9), (30.0, 0.3)], True),  # a name or a greeting that it knows
    ],
)
def test_the_mean_over_time_decides(rated: list[tuple[float, float]], foreign: bool) -> None:
    """Long segments count for more than short ones, and a moment of speech for nothing."""
    assert seems_foreign(segments(*rated)) is foreign


@pytest.mark.parametrize(
    "text", ["777888899", "San", "Five, five. Five!", "555 555 1 2 four five", "No no no no."]
)
def test_few_words_again_and_again_tell_nothing(text: str) -> None:
    """Digits and repetitions are unsure in any language."""
    assert not seems_foreign([Segment(0.0, 5.0, text, 0.2)])


def heard(speech_s: float, *shares: tuple[str, float]) -> LanguageEvidence:
    """A piece of audio and what it is taken for, the likeliest first."""
    return LanguageEvidence(speech_s, shares)


@pytest.mark.parametrize(
    ("evidence", "spoken"),
    [
        ([], ""),
        ([heard(1.9, ("de", 0.99))], ""),  # too little to judge
        ([heard(2.0, ("de", 0.99))], "de"),
        ([heard(6.4, ("de", 0.79), ("en", 0.2))], ""),
        ([heard(6.4, ("en", 0.99))], ""),
        ([heard(6.4, ("de", 0.9)), heard(6.4, ("de", 0.81))], "de"),
        ([heard(1.5, ("de", 0.5), ("en", 0.3)), heard(6.4, ("de", 0.99))], "de"),
        ([heard(6.4, ("de", 0.9)), heard(6.4, ("nl", 0.9))], ""),
        ([heard(6.4, ("de", 0.9)), heard(6.4, ("en", 0.9))], ""),
        ([heard(6.4)], ""),
    ],
)
def test_another_language_than_was_asked_for(evidence: list[LanguageEvidence], spoken: str) -> None:
    """It is named where what was looked at is surely in it, and where there is enough of that."""
    assert spoken_instead("en", evidence) == spoken
