"""When an utterance is worth a partial, and when a final may be decoded on suspicion."""

from __future__ import annotations

from typing import Any

import pytest

from asrctl.errors import UsageError
from asrctl.policy.pacing import Pacer, PacingOptions, gather_s

OPTIONS = PacingOptions(first_s=0.7, interval_s=1.0, max_interval_s=8.0, speculate_s=0.25)


def test_an_idle_machine_gives_what_the_options_say() -> None:
    """The first partial early, the others at the interval, finals on suspicion after a short pause."""
    pacer = Pacer(OPTIONS)
    assert not pacer.is_due(spoken_s=0.6, new_s=0.6)
    assert pacer.is_due(spoken_s=0.7, new_s=0.7)
    assert not pacer.is_due(spoken_s=5.0, new_s=0.9)
    assert pacer.is_due(spoken_s=5.0, new_s=1.0)
    assert not pacer.may_speculate(0.2)
    assert pacer.may_speculate(0.25)


def test_long_decodes_make_partials_rarer_and_nothing_else() -> None:
    """Twice the turnaround; the next utterance's first partial and its final are not made to wait."""
    pacer = Pacer(OPTIONS)
    pacer.observe(turnaround_s=1.5, wait_s=0.0)
    assert pacer.interval_s == 3.0
    assert pacer.is_due(spoken_s=0.7, new_s=0.7)
    assert pacer.may_speculate(0.3)


def test_waiting_for_others_slows_everything_down() -> None:
    """First partials come later by the wait, and nothing is decoded that may turn out useless."""
    pacer = Pacer(OPTIONS)
    pacer.observe(turnaround_s=1.0, wait_s=0.8)
    assert not pacer.is_due(spoken_s=1.4, new_s=1.4)
    assert pacer.is_due(spoken_s=1.5, new_s=1.5)
    assert not pacer.may_speculate(5.0)


def test_it_slows_down_at_once_and_recovers_step_by_step() -> None:
    """One slow partial counts in full; each quick one after it forgives some of it."""
    pacer = Pacer(OPTIONS)
    pacer.observe(2.0, 2.0)
    intervals = [pacer.interval_s]
    for _ in range(8):
        pacer.observe(0.1, 0.0)
        intervals.append(pacer.interval_s)
    assert intervals[0] == 4.0 and intervals == sorted(intervals, reverse=True)
    assert intervals[-1] == 1.0 and pacer.relaxed


def test_the_longest_interval_is_a_bound() -> None:
    """However slow, partials do not stop, and first ones come at that length at the latest."""
    pacer = Pacer(OPTIONS)
    pacer.observe(60.0, 60.0)
    assert (pacer.interval_s, pacer.first_s) == (8.0, 8.0)


def test_the_factor_is_for_others_to_set() -> None:
    """A rung of the ladder makes partials rarer and ends speculation."""
    pacer = Pacer(OPTIONS)
    pacer.factor = 3.0
    assert (pacer.interval_s, pacer.first_s) == (3.0, pytest.approx(2.1))
    assert not pacer.may_speculate(1.0)


def test_what_costs_no_decode_is_shown_unless_a_rung_forbids() -> None:
    """However slow others' decodes are; on a rung it is as rare as partials that are decoded."""
    pacer = Pacer(OPTIONS)
    pacer.observe(60.0, 60.0)
    assert pacer.may_show(spoken_s=0.1, new_s=0.1)
    pacer = Pacer(OPTIONS)
    pacer.factor = 2.0
    assert not pacer.may_show(spoken_s=1.3, new_s=1.3)
    assert pacer.may_show(spoken_s=1.4, new_s=1.4)
    assert not pacer.may_show(spoken_s=9.0, new_s=1.9)
    assert pacer.may_show(spoken_s=9.0, new_s=2.0)


@pytest.mark.parametrize(
    "wrong", [{"first_s": 0.0}, {"interval_s": 0.0}, {"interval_s": 9.0}, {"speculate_s": 0.0}]
)
def test_options_that_make_no_sense(wrong: dict[str, Any]) -> None:
    """They are refused where they are made."""
    with pytest.raises(UsageError, match="pacing"):
        PacingOptions(**wrong)


def test_many_sessions_have_their_audio_gathered() -> None:
    """Few are served message by message, many in pieces, and never in long ones."""
    assert [gather_s(sessions) for sessions in (0, 1, 4, 6, 10, 100)] == [0, 0, 0, 0.05, 0.15, 0.15]
