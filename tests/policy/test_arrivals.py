"""When the audio of a stream was due: what is late, and what only came in a burst."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.policy.arrivals import Arrivals
from tests.policy.clock import Clock

RATE = 16_000


def test_audio_that_comes_as_it_is_spoken() -> None:
    """A position is as late as it arrived long ago."""
    clock = Clock()
    arrivals = Arrivals(clock)
    for _ in range(100):
        clock.advance(0.1)
        arrivals.add(RATE // 10)
    assert arrivals.lag_s(RATE * 10) < 0.2
    assert arrivals.lag_s(RATE * 4) == pytest.approx(6.0, abs=0.2)
    assert arrivals.due_before(6.0) == pytest.approx(RATE * 4, abs=RATE // 5)
    assert arrivals.due_before(11.0) == 0


def test_a_burst_is_not_late() -> None:
    """A minute that comes at once is due over the minute that follows, and so is what is spoken after it."""
    clock = Clock()
    arrivals = Arrivals(clock)
    for _ in range(60):
        arrivals.add(RATE)
    assert arrivals.lag_s(RATE * 60) == 0.0
    clock.advance(30.0)
    assert arrivals.lag_s(RATE * 10) == pytest.approx(20.0, abs=0.3)
    assert arrivals.lag_s(RATE * 31) == 0.0
    arrivals.add(RATE)
    clock.advance(31.0)
    assert arrivals.lag_s(RATE * 61) == pytest.approx(0.0, abs=0.3)


def test_a_pause_of_the_client_is_nobodys_lag() -> None:
    """Whoever sends nothing for a while, and then speaks, is not late."""
    clock = Clock()
    arrivals = Arrivals(clock)
    arrivals.add(RATE)
    clock.advance(100.0)
    arrivals.add(RATE)
    assert arrivals.lag_s(2 * RATE) == 0.0
    assert arrivals.due_before(50.0) == RATE


def test_lost_audio_takes_no_time() -> None:
    """What a client could not hold moves positions, and earns no delay."""
    clock = Clock()
    arrivals = Arrivals(clock)
    arrivals.add(RATE * 600, spoken=False)
    clock.advance(1.0)
    arrivals.add(RATE)
    clock.advance(5.0)
    assert arrivals.lag_s(RATE * 601) == pytest.approx(5.0)
    assert arrivals.lag_s(RATE * 700) == pytest.approx(5.0)  # positions that have not come: as the last


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 40_000), st.integers(0, 50_000)), max_size=60))
def test_lag_falls_with_the_position(steps: list[tuple[float, int, int]]) -> None:
    """Later positions are never later than earlier ones, and what is forgotten changes nothing after it."""
    clock = Clock()
    arrivals, total = Arrivals(clock), 0
    for pause_s, samples, back in steps:
        clock.advance(pause_s)
        arrivals.add(samples)
        total += samples
        position = max(0, total - back)
        before = [arrivals.lag_s(at) for at in range(position, total + 1, 5_000)]
        assert before == sorted(before, reverse=True)
        arrivals.forget(position)
        assert [arrivals.lag_s(at) for at in range(position, total + 1, 5_000)] == before
