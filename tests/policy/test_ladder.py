"""The degrade ladder: how it climbs, how it comes down, and what each rung gives up."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.errors import UsageError
from asrctl.policy.ladder import MEASURES, Ladder, LadderOptions, Level, LevelChange
from asrctl.policy.priority import Source
from tests.policy.clock import Clock


def ladder_at(level: Level, clock: Clock) -> Ladder:
    """A ladder that has just come to a rung by load."""
    ladder = Ladder(LadderOptions(), clock)
    load = (0.0, 0.8, 1.0, 1.2)[level]
    ladder.observe(load, 0.0)
    assert ladder.level is level
    return ladder


@pytest.mark.parametrize(
    ("load", "level"),
    [(0.0, 0), (0.79, 0), (0.8, 1), (0.99, 1), (1.0, 2), (1.19, 2), (1.2, 3), (50.0, 3)],
)
def test_goes_up_where_the_load_calls_for_it(load: float, level: int) -> None:
    """0.8, 1.0 and 1.2 of what keeps up are the rungs' thresholds, for RTF and for the wait of finals."""
    assert Ladder(LadderOptions(), Clock()).observe(load, 0.0) == change_to(level)
    assert Ladder(LadderOptions(), Clock()).observe(0.0, 2.0 * load) == change_to(level)


class change_to:
    """Equal to a step from the foot to a level, whatever its reason; to None for the foot itself."""

    def __init__(self, level: int) -> None:
        self.level = level

    def __eq__(self, other: object) -> bool:
        if isinstance(other, LevelChange):
            return (other.from_level, other.level) == (Level.NORMAL, self.level)
        return other is None and self.level == Level.NORMAL


def test_stays_ten_seconds() -> None:
    """A worse load within 10 s of a step is answered when they have passed."""
    clock = Clock()
    ladder = ladder_at(Level.THINNED, clock)
    clock.advance(9.9)
    assert ladder.observe(2.0, 0.0) is None
    clock.advance(0.1)
    assert ladder.observe(2.0, 0.0) == LevelChange(Level.THINNED, Level.FINALS_ONLY, "load 2.00")


def test_comes_down_one_rung_after_half_a_minute_of_calm() -> None:
    """Below 0.7 for 30 s is one step; the next needs 30 s of its own."""
    clock = Clock()
    ladder = ladder_at(Level.FINALS_ONLY, clock)
    steps = []
    for second in range(121):
        if change := ladder.observe(0.69, 0.0):
            steps.append((second, change.level, change.reason))
        clock.advance(1.0)
    assert steps == [
        (30, Level.SMALL_MODEL, "load 0.69 for 30 s"),
        (61, Level.THINNED, "load 0.69 for 30 s"),
        (92, Level.NORMAL, "load 0.69 for 30 s"),
    ]


def test_calm_must_not_be_broken() -> None:
    """One busy moment begins the 30 s again."""
    clock = Clock()
    ladder = ladder_at(Level.THINNED, clock)
    ladder.observe(0.5, 0.0)
    clock.advance(29.0)
    ladder.observe(0.7, 0.0)
    clock.advance(1.0)
    assert ladder.observe(0.5, 0.0) is None
    clock.advance(29.0)
    assert ladder.observe(0.5, 0.0) is None
    clock.advance(1.0)
    assert ladder.observe(0.5, 0.0) is not None


@given(st.floats(0.7, 0.99), st.integers(1, 300))
def test_hysteresis(load: float, seconds: int) -> None:
    """On a rung, a load between the way down and the next way up moves nothing, however long."""
    clock = Clock()
    ladder = ladder_at(Level.THINNED, clock)
    for _ in range(seconds):
        clock.advance(1.0)
        assert ladder.observe(load, 0.0) is None


@given(st.lists(st.tuples(st.floats(0.0, 3.0), st.floats(0.0, 9.0)), max_size=200))
def test_never_flaps(loads: list[tuple[float, float]]) -> None:
    """Whatever the load: at least 10 s between steps, 30 s before one down, and down by one only."""
    clock = Clock()
    ladder = Ladder(LadderOptions(), clock)
    steps: list[tuple[float, LevelChange]] = []
    for rtf, delay_s in loads:
        if change := ladder.observe(rtf, delay_s):
            steps.append((clock.now_s, change))
        clock.advance(2.5)
    for (before_s, before), (after_s, after) in pairwise(steps):
        assert after.from_level is before.level
        assert after_s - before_s >= (10.0 if after.level > after.from_level else 30.0)
    for _, change in steps:
        assert change.level > change.from_level or change.level == change.from_level - 1


def test_provider_failure_fails_over_at_once() -> None:
    """Nothing is waited for, the reason is told, and it is told once; load moves nothing meanwhile."""
    clock = Clock()
    ladder = ladder_at(Level.THINNED, clock)
    assert ladder.provider_failed("crashed 5 times") == LevelChange(
        Level.THINNED, Level.FAILED_OVER, "crashed 5 times"
    )
    assert ladder.provider_failed("again") is None
    for load in [0.0] * 100 + [5.0]:
        clock.advance(1.0)
        assert ladder.observe(load, 0.0) is None
    assert ladder.measures.fallback


def test_provider_recovery_leads_down_the_ladder() -> None:
    """Back on the third rung first, and down from there as load allows; no recovery without a failure."""
    clock = Clock()
    ladder = Ladder(LadderOptions(), clock)
    assert ladder.provider_recovered() is None
    ladder.provider_failed("gone")
    change = ladder.provider_recovered()
    assert change == LevelChange(Level.FAILED_OVER, Level.FINALS_ONLY, "the provider is back")
    ladder.observe(0.0, 0.0)
    clock.advance(30.0)
    assert ladder.observe(0.0, 0.0) is not None
    assert ladder.level is Level.SMALL_MODEL


def test_a_load_that_is_no_number_moves_nothing() -> None:
    """Nothing was decoded yet: neither up, nor calm."""
    clock = Clock()
    ladder = ladder_at(Level.THINNED, clock)
    for _ in range(60):
        clock.advance(1.0)
        assert ladder.observe(float("nan"), 0.0) is None


def test_each_rung_does_less() -> None:
    """From rung to rung something is given up, and nothing comes back."""
    for before, after in pairwise(MEASURES[level] for level in Level):
        assert after != before
        assert after.partials <= before.partials
        assert after.interval_factor >= before.interval_factor
        for measure in ("small_model", "spool_system", "fallback"):
            assert getattr(after, measure) >= getattr(before, measure)


def test_what_each_rung_gives_up() -> None:
    """The design's rungs: thin out, smaller model without partials for system, finals only, fail over."""
    assert MEASURES[Level.NORMAL].partials == {Source.MIC, Source.SYSTEM}
    assert MEASURES[Level.THINNED].interval_factor == 2.0
    assert MEASURES[Level.SMALL_MODEL].partials == {Source.MIC}
    assert MEASURES[Level.SMALL_MODEL].small_model and not MEASURES[Level.THINNED].small_model
    assert not MEASURES[Level.FINALS_ONLY].partials and MEASURES[Level.FINALS_ONLY].spool_system
    assert MEASURES[Level.FAILED_OVER].fallback and not MEASURES[Level.FINALS_ONLY].fallback


@pytest.mark.parametrize(
    "wrong", [{"down": 0.9}, {"down": 0.0}, {"up": (1.0, 0.9, 1.2)}, {"max_queue_delay_s": 0.0}]
)
def test_options_that_make_no_sense(wrong: dict[str, float]) -> None:
    """They are refused where they are made."""
    with pytest.raises(UsageError, match="ladder"):
        LadderOptions(**wrong)  # type: ignore[arg-type]
