"""How many live sessions measured costs allow."""

from __future__ import annotations

import heapq
from random import Random

import pytest

from asrctl.policy.capacity import (
    MAX_SESSIONS,
    PAUSE_S,
    UTTERANCE_S,
    Costs,
    late_share,
    sustained_sessions,
)

USUAL = Costs(fixed_s=0.25, per_audio_s=0.03, draft_factor=0.7)
"""About what tiny.en q8_0 takes on two cores."""
ENDPOINT_S = 0.56
PADDING_S, OVERHEAD_S = 0.4, 0.02


def played_p95_s(costs: Costs, workers: int, sessions: int, seconds: float = 3000.0) -> float:
    """The 95th percentile from the end of speech to the final, of talkers simulated in order of time."""
    dice, free = Random(7), [0.0] * workers
    takes_s = {length_s: OVERHEAD_S + costs.final_s(length_s + PADDING_S) for length_s in UTTERANCE_S}
    talkers = [(dice.uniform(0.0, 6.0), number) for number in range(sessions)]
    heapq.heapify(talkers)
    late: list[float] = []
    while talkers[0][0] < seconds:
        ended_s, number = heapq.heappop(talkers)
        begins_s = max(ended_s + ENDPOINT_S, heapq.heappop(free))
        done_s = begins_s + takes_s[dice.choice(UTTERANCE_S)]
        heapq.heappush(free, done_s)
        late.append(done_s - ended_s)
        heapq.heappush(talkers, (ended_s + dice.uniform(*PAUSE_S) + dice.choice(UTTERANCE_S), number))
    return sorted(late)[round(0.95 * len(late))]


def test_costs_are_a_line() -> None:
    """A final has a fixed part and one by length; a partial is a share of that."""
    assert USUAL.final_s(10.0) == pytest.approx(0.55)
    assert USUAL.draft_s(10.0) == pytest.approx(0.385)


@pytest.mark.parametrize("costs", [USUAL, Costs(0.1, 0.01), Costs(0.25, 0.08), Costs(0.5, 0.03)])
@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("target_s", [2.0, 3.0])
def test_at_the_count_the_target_is_met(costs: Costs, workers: int, target_s: float) -> None:
    """Played by talkers one by one; and at twice the count it is missed."""
    count = sustained_sessions(costs, workers, target_s)
    assert count >= 1
    assert played_p95_s(costs, workers, count) <= target_s
    if 4 <= count < MAX_SESSIONS:
        assert played_p95_s(costs, workers, 2 * count) > target_s


def test_more_sessions_are_never_served_sooner() -> None:
    """Up to where the queue cannot keep up, and nothing comes in time."""
    shares = [late_share(USUAL, 2, sessions, 1.0) for sessions in range(1, 60)]
    assert shares == sorted(shares)
    assert shares[0] < 0.05 and shares[-1] == 1.0


def test_more_workers_more_time_and_less_work_sustain_more() -> None:
    """Each of these helps."""
    count = sustained_sessions(USUAL, 1, 1.5)
    assert sustained_sessions(USUAL, 2, 1.5) > count
    assert sustained_sessions(USUAL, 1, 3.0) > count
    assert sustained_sessions(Costs(0.12, 0.015), 1, 1.5) > count


def test_too_slow_for_anyone() -> None:
    """A final that takes longer than the target serves no session."""
    assert sustained_sessions(Costs(3.0, 0.1), 4, 2.0) == 0
    assert sustained_sessions(USUAL, 1, 0.6) == 0


def test_too_fast_to_count() -> None:
    """Beyond the bound nobody looks."""
    assert sustained_sessions(Costs(0.001, 0.0001), 8, 2.0) == MAX_SESSIONS


def test_a_single_session_waits_for_nobody() -> None:
    """Its final is decoded before the endpoint is certain, which is enough where a second one is too many."""
    assert sustained_sessions(Costs(1.45, 0.0), 1, 2.0) == 1
    assert sustained_sessions(Costs(1.65, 0.0), 1, 2.0) == 0


def test_detection_takes_its_share() -> None:
    """Finding speech slows the decoders down, and at last leaves them nothing."""
    busy = Costs(0.25, 0.03, 0.7, detection_share=0.04)
    assert sustained_sessions(busy, 1, 2.0) < sustained_sessions(USUAL, 1, 2.0)
    assert late_share(busy, 1, 30, 60.0) == 1.0
