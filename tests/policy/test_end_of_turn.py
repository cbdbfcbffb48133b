"""How long a pause may be after what sounds finished, and after what does not."""

from __future__ import annotations

import pytest

from asrctl.errors import UsageError
from asrctl.policy.end_of_turn import TurnOptions


@pytest.mark.parametrize(
    ("probability", "silence_s"), [(1.0, 0.0), (0.8, 0.0), (0.79, None), (0.31, None), (0.3, 2.0), (0.0, 2.0)]
)
def test_the_pause_after_what_was_said(probability: float, silence_s: float | None) -> None:
    """None where it sounds finished, a long one where not, and no opinion in between."""
    options = TurnOptions(finished=0.8, unfinished=0.3, unfinished_silence_s=2.0)
    assert options.silence_s(probability) == silence_s


@pytest.mark.parametrize(
    "values",
    [
        {"finished": 0.5, "unfinished": 0.5},
        {"unfinished": -0.1},
        {"ask_s": 0.01},
        {"ask_s": 0.5, "unfinished_silence_s": 0.4},
    ],
)
def test_values_that_make_no_sense_together(values: dict[str, float]) -> None:
    """They are refused."""
    with pytest.raises(UsageError, match="end of turn"):
        TurnOptions(**values)
