"""A language that the model does not know is noticed by low confidence throughout."""

from __future__ import annotations

import pytest

from asrctl.policy.misfit import seems_foreign
from asrctl.transcript import Segment


def segments(*rated: tuple[float, float]) -> list[Segment]:
    """One after the other: duration in seconds, confidence."""
    found, at_s = [], 0.0
    for duration_s, confidence in rated:
        found.append(Segment(at_s, at_s + duration_s, "what was heard", confidence))
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
