"""What one session wishes of endpointing, and what becomes of the values of all."""

from __future__ import annotations

import pytest

from asrctl.policy.end_of_turn import TurnOptions
from asrctl.policy.endpointing import EndpointerOptions
from asrctl.protocol.endpointing import Endpointing
from asrctl.protocol.fields import Misfit

OWN = EndpointerOptions()


def test_no_wish_changes_nothing() -> None:
    """All values are those of all."""
    assert Endpointing().applied(OWN) == OWN
    assert Endpointing().turn(TurnOptions()) == TurnOptions() and Endpointing().turn(None) is None


def test_all_wishes_hold() -> None:
    """Each where it belongs; what depends on one of them follows."""
    wish = Endpointing(0.1, 0.5, 0.9, 0.8, 10.0, 0.7)
    assert wish.applied(OWN) == EndpointerOptions(
        onset_threshold=0.9,
        offset_threshold=0.8,
        pad_before_s=0.7,
        pad_after_s=0.1,
        min_speech_s=0.5,
        trailing_silence_s=0.1,
        overlong_s=7.5,
        max_utterance_s=10.0,
    )


@pytest.mark.parametrize(
    ("wish", "onset", "offset"),
    [
        (Endpointing(onset=0.2), 0.2, 0.2),
        (Endpointing(onset=0.9), 0.9, OWN.offset_threshold),
        (Endpointing(offset=0.9), 0.9, 0.9),
        (Endpointing(offset=0.1), OWN.onset_threshold, 0.1),
    ],
)
def test_a_threshold_alone_moves_the_other_no_further_than_it_must(
    wish: Endpointing, onset: float, offset: float
) -> None:
    """Speech never pauses above where it starts."""
    options = wish.applied(OWN)
    assert (options.onset_threshold, options.offset_threshold) == (onset, offset)


def test_how_pauses_are_heard() -> None:
    """Not at all, or with another bound for what sounds unfinished."""
    assert Endpointing(end_of_turn=False, unfinished_silence_s=4.0).turn(TurnOptions()) is None
    wish = Endpointing(end_of_turn=True, unfinished_silence_s=4.0)
    assert wish.turn(TurnOptions()) == TurnOptions(unfinished_silence_s=4.0)
    assert wish.turn(None) is None


def test_what_makes_no_sense() -> None:
    """It is refused by the name of its key."""
    with pytest.raises(Misfit, match="offset must not be above onset"):
        Endpointing(onset=0.3, offset=0.4)
    with pytest.raises(Misfit, match="pad_before_s must be from 0 to 1"):
        Endpointing(pad_before_s=1.5)
    with pytest.raises(Misfit, match="end_of_turn must be true or false"):
        Endpointing(end_of_turn=1)  # type: ignore[arg-type]
