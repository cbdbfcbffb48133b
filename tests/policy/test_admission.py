"""Admission: the limit, how it follows the machine, bounds by source, and Retry-After."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.errors import UsageError
from asrctl.policy.admission import Admission, AdmissionOptions
from asrctl.policy.priority import Source
from tests.policy.clock import Clock


def filled(admission: Admission, count: int) -> Admission:
    for number in range(count):
        assert admission.admit(f"s{number}") is None
    return admission


def test_the_eleventh_is_refused() -> None:
    """Ten by default; who is refused is told why, and takes no place."""
    admission = filled(Admission(AdmissionOptions(), Clock()), 10)
    refusal = admission.admit("late")
    assert refusal is not None and "10 sessions are open" in refusal.reason
    assert len(admission) == 10


def test_a_place_becomes_free() -> None:
    """One goes, one comes; a session that is not in, or not any more, frees nothing."""
    admission = filled(Admission(AdmissionOptions(), Clock()), 10)
    admission.release("nobody")
    assert admission.admit("late") is not None
    admission.release("s3")
    admission.release("s3")
    assert admission.admit("late") is None
    assert admission.admit("later") is not None


def test_the_limit_follows_what_sessions_cost() -> None:
    """Where a session takes a fifth of the machine, four are let in, and never more than the maximum."""
    admission = Admission(AdmissionOptions(), Clock())
    assert admission.limit == 10
    admission.observe(load=0.4, live=2)
    assert admission.limit == 4
    filled(admission, 4)
    assert admission.admit("fifth") is not None


def test_the_limit_recovers_slowly() -> None:
    """An expensive while is remembered, and fades; silence is not taken for capacity at once."""
    admission = Admission(AdmissionOptions(), Clock())
    admission.observe(load=0.8, live=1)
    limits = []
    for _ in range(40):
        limits.append(admission.limit)
        admission.observe(load=0.0, live=1)
    assert limits[0] == limits[1] == 1
    assert limits == sorted(limits)
    assert limits[-1] == 10


@pytest.mark.parametrize(("cost", "expected"), [(0.04, 20), (0.08, 10), (0.25, 3)])
def test_the_limit_does_not_flutter(cost: float, expected: int) -> None:
    """Finals that come in bursts, and so costs of a moment that jump, leave the limit where the cost is."""
    dice = random.Random(1)
    admission = Admission(AdmissionOptions(max_sessions=32), Clock())
    limits = []
    for _ in range(900):
        live = 10 * dice.uniform(0.2, 1.8)
        admission.observe(load=live * cost * dice.choice((0.3, 0.7, 1.0, 2.0)), live=live)
        limits.append(admission.limit)
    steady = limits[60:]
    assert max(steady) - min(steady) <= 1 + expected // 3
    assert sum(one != other for one, other in pairwise(steady)) < len(steady) / 20
    assert abs(sum(steady) / len(steady) - expected) <= 1 + expected / 10


def test_the_limit_follows_dearer_sessions() -> None:
    """Sessions that come to cost twice as much lower the limit; it rises again after them."""
    admission = Admission(AdmissionOptions(), Clock())
    limits = {}
    for phase, cost in (("cheap", 0.08), ("dear", 0.2), ("cheap again", 0.08)):
        for _ in range(180):
            admission.observe(load=8 * cost, live=8)
        limits[phase] = admission.limit
    assert limits["cheap"] == 10 and limits["dear"] == 4 and limits["cheap again"] >= 8


def test_the_limit_is_what_can_be_expected() -> None:
    """Before any session shows its cost, and again once that is over; a better expectation raises it."""
    admission = Admission(AdmissionOptions(), Clock())
    admission.expect(0.14)
    assert admission.limit == 5
    for _ in range(120):
        admission.observe(load=1.2, live=4)
    assert admission.limit == 2
    for _ in range(600):
        admission.relax()
    assert admission.limit == 5
    admission.expect(0.04)
    assert admission.limit == 10


def test_nothing_is_learned_from_nobody() -> None:
    """An idle server knows no more about what sessions cost."""
    admission = Admission(AdmissionOptions(), Clock())
    admission.observe(load=0.9, live=0)
    assert admission.limit == 10


def test_sessions_that_cost_nothing() -> None:
    """A load as good as zero, such as an expensive one that has faded for hours, leaves the maximum."""
    admission = Admission(AdmissionOptions(), Clock())
    admission.observe(load=5e-324, live=1)
    assert admission.limit == 10


def test_one_session_always() -> None:
    """However slow the machine, somebody is served, with the ladder's help."""
    admission = Admission(AdmissionOptions(), Clock())
    admission.observe(load=7.0, live=1)
    assert admission.admit("one") is None
    assert admission.admit("two") is not None


def test_lowering_the_limit_throws_nobody_out() -> None:
    """Sessions that are in stay in; new ones wait for more than one to go, and are told so."""
    admission = filled(Admission(AdmissionOptions(session_s=60.0, max_retry_after_s=120), Clock()), 10)
    admission.observe(load=2.0, live=10)
    assert (len(admission), admission.limit) == (10, 4)
    refusal = admission.admit("late")
    assert refusal is not None
    assert refusal.retry_after_s == 105  # seven must go, and of four one goes in 15 s


def test_bounds_by_source() -> None:
    """System audio has a bound of its own; the microphones' sessions do not count against it."""
    options = AdmissionOptions(max_by_source={Source.SYSTEM: 2})
    admission = filled(Admission(options, Clock()), 6)
    assert [admission.assign(f"s{n}", Source.MIC) for n in range(3)] == [None] * 3
    assert [admission.assign(f"s{n}", Source.SYSTEM) for n in (3, 4)] == [None] * 2
    refusal = admission.assign("s5", Source.SYSTEM)
    assert refusal is not None and "2 sessions with system audio" in refusal.reason
    admission.release("s3")
    assert admission.assign("s5", Source.SYSTEM) is None
    assert admission.assign("s5", Source.SYSTEM) is None, "it does not count against itself"


def test_retry_after_follows_how_long_sessions_last() -> None:
    """Places come free faster where sessions are short; before any has ended, a guess is given."""
    clock = Clock()
    admission = filled(Admission(AdmissionOptions(max_retry_after_s=120), clock), 10)
    before = admission.admit("late")
    assert before is not None and before.retry_after_s == 30  # 300 s in 10 places
    clock.advance(20.0)
    for number in range(10):
        admission.release(f"s{number}")
    filled(admission, 10)
    after = admission.admit("late")
    assert after is not None and after.retry_after_s == 4  # the mean is on its way from 300 to 20 s


@given(st.floats(0.1, 1e6), st.floats(0.0, 100.0), st.integers(1, 50), st.integers(0, 60))
def test_never_more_than_the_limit(session_s: float, load: float, most: int, arrivals: int) -> None:
    """Whatever is measured, the limit holds and Retry-After is a sensible number of whole seconds."""
    admission = Admission(AdmissionOptions(max_sessions=most, session_s=session_s), Clock())
    admission.observe(load, 1)
    for number in range(arrivals):
        refusal = admission.admit(str(number))
        assert refusal is None or 1 <= refusal.retry_after_s <= 5
    assert len(admission) == min(arrivals, admission.limit)
    assert 1 <= admission.limit <= most


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_sessions": 0},
        {"max_by_source": {Source.MIC: -1}},
        {"target_load": 0.0},
        {"session_s": 0.0},
        {"max_retry_after_s": 0},
    ],
)
def test_options_that_make_no_sense(wrong: dict[str, float]) -> None:
    """They are refused where they are made."""
    with pytest.raises(UsageError, match="admission"):
        AdmissionOptions(**wrong)  # type: ignore[arg-type]
