"""The diarization error rate, against values that were worked out by hand."""

from __future__ import annotations

import pytest

from asrctl.bench.der import diarization_errors
from asrctl.policy.turns import Turn

REFERENCE = [Turn(0.0, 10.0, "anna"), Turn(10.0, 20.0, "ben")]


def test_names_do_not_matter() -> None:
    """Speakers are mapped so that they agree for as long as possible."""
    found = [Turn(0.0, 10.0, "2"), Turn(10.0, 20.0, "1")]
    assert diarization_errors(REFERENCE, found).rate == 0.0


def test_a_late_change_is_confusion() -> None:
    """2 of 20 s are given to the wrong speaker."""
    errors = diarization_errors(REFERENCE, [Turn(0.0, 12.0, "1"), Turn(12.0, 20.0, "2")])
    assert (errors.speech_s, errors.confused_s, errors.missed_s, errors.false_s) == (20.0, 2.0, 0.0, 0.0)
    assert errors.rate == pytest.approx(0.1)


def test_missed_and_false_speech_are_told_apart() -> None:
    """The last 4 s are missed, and 1 s behind the end was not said."""
    errors = diarization_errors(
        REFERENCE, [Turn(0.0, 10.0, "1"), Turn(10.0, 16.0, "2"), Turn(20.0, 21.0, "2")]
    )
    assert (errors.missed_s, errors.false_s, errors.confused_s) == (4.0, 1.0, 0.0)


def test_overlap_counts_for_each_speaker() -> None:
    """Both speak for 2 s of 8; one of the two is heard."""
    reference = [Turn(0.0, 5.0, "a"), Turn(3.0, 8.0, "b")]
    errors = diarization_errors(reference, [Turn(0.0, 5.0, "1"), Turn(5.0, 8.0, "2")])
    assert (errors.speech_s, errors.missed_s) == (10.0, 2.0)


def test_a_collar_leaves_the_edges_out() -> None:
    """A change that is 0.2 s late lies within a collar of 0.25 s."""
    errors = diarization_errors(REFERENCE, [Turn(0.0, 10.2, "1"), Turn(10.2, 20.0, "2")], 0.25)
    assert errors.rate == 0.0
    assert errors.speech_s == pytest.approx(19.0)


def test_nothing_said_is_no_error() -> None:
    """The rate of an empty reference is 0, whatever was found."""
    assert diarization_errors([], []).rate == 0.0
