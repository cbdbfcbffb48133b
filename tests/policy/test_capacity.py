"""How many live sessions measured costs allow."""

from __future__ import annotations

import math

import pytest

from asrctl.policy.capacity import MOST_SESSIONS, Costs, final_latency_s, sustained_sessions
from asrctl.policy.pacing import PacingOptions

USUAL = Costs(fixed_s=0.25, per_audio_s=0.03, draft_factor=0.7)
"""About what tiny.en q8_0 takes on two cores."""


def test_costs_are_a_line() -> None:
    """A final has a fixed part and one by length; a partial is a share of that."""
    assert USUAL.final_s(10.0) == pytest.approx(0.55)
    assert USUAL.draft_s(10.0) == pytest.approx(0.385)


def test_an_idle_machine_shows_finals_at_the_endpoint() -> None:
    """What was decoded on suspicion is there when the silence is long enough, and was seen to be."""
    assert final_latency_s(Costs(0.01, 0.001), 1, 1) == pytest.approx(0.56)


def test_latency_grows_with_sessions_and_explodes_past_the_capacity() -> None:
    """More sessions never wait less (but for noise), and a queue that cannot keep up never ends."""
    latencies_s = [final_latency_s(USUAL, 1, sessions) for sessions in (1, 4, 8, 16, 32)]
    assert latencies_s == sorted(latencies_s)
    assert latencies_s[0] < 1.5 and latencies_s[-1] > 20.0


def test_the_count_is_the_edge() -> None:
    """At the count the target is met, at twice the count it is missed."""
    count = sustained_sessions(USUAL, 1, 2.0)
    assert 2 <= count < MOST_SESSIONS
    assert final_latency_s(USUAL, 1, count, seed=1) <= 2.0
    assert final_latency_s(USUAL, 1, 2 * count, seed=1) > 2.0


def test_more_workers_more_time_and_less_work_sustain_more() -> None:
    """Each of these helps."""
    count = sustained_sessions(USUAL, 1, 1.5)
    assert sustained_sessions(USUAL, 2, 1.5) > count
    assert sustained_sessions(USUAL, 1, 3.0) >= count
    assert sustained_sessions(Costs(0.12, 0.015, 0.7), 1, 1.5) > count


def test_too_slow_for_anyone() -> None:
    """A final that takes longer than the target serves no session."""
    assert sustained_sessions(Costs(3.0, 0.1), 4, 2.0) == 0


def test_too_fast_to_count() -> None:
    """Beyond the bound nobody looks."""
    assert sustained_sessions(Costs(0.001, 0.0001), 8, 2.0) == MOST_SESSIONS


def test_one_session_only() -> None:
    """The search begins at its least."""
    slow = Costs(1.35, 0.0, 1.0)
    assert sustained_sessions(slow, 1, 1.9) == 1


def test_listening_takes_its_share() -> None:
    """Finding speech slows the decoders down, and at last leaves them nothing."""
    busy = Costs(0.25, 0.03, 0.7, listening_share=0.04)
    assert sustained_sessions(busy, 1, 2.0) < sustained_sessions(USUAL, 1, 2.0)
    assert final_latency_s(busy, 1, 30) == math.inf


def test_the_same_seed_gives_the_same_answer() -> None:
    """A recommendation does not change by itself."""
    assert final_latency_s(USUAL, 2, 9, seed=3) == final_latency_s(USUAL, 2, 9, seed=3)


def test_rare_partials_leave_room_for_sessions() -> None:
    """Partials cost what finals need."""
    rare = PacingOptions(interval_s=8.0, first_s=8.0)
    assert sustained_sessions(USUAL, 1, 2.0, rare) >= sustained_sessions(USUAL, 1, 2.0)
    assert final_latency_s(USUAL, 1, 8, rare) <= final_latency_s(USUAL, 1, 8)


def test_finals_need_not_wait_for_partials() -> None:
    """One takes the worker of a partial that runs, however long that would still take."""
    slow_partials = Costs(fixed_s=0.2, per_audio_s=0.0, draft_factor=20.0)
    assert final_latency_s(slow_partials, 1, 2) < 1.0
