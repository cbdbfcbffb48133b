"""The circuit breaker: when it opens, what it lets through, and that it never lets through more."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from asrctl.errors import UsageError
from asrctl.policy.breaker import BreakerOptions, BreakerState, CircuitBreaker
from tests.policy.clock import Clock


def opened(clock: Clock) -> CircuitBreaker:
    breaker = CircuitBreaker(BreakerOptions(), clock)
    for _ in range(5):
        assert breaker.allow()
        breaker.failed()
    return breaker


def test_opens_after_five_failures_in_a_row() -> None:
    """Four failures change nothing, the fifth closes the way for a minute."""
    breaker = CircuitBreaker(BreakerOptions(), Clock())
    for _ in range(4):
        breaker.failed()
    assert (breaker.state, breaker.wait_s(), breaker.allow()) == (BreakerState.CLOSED, 0.0, True)
    breaker.failed()
    assert (breaker.state, breaker.wait_s(), breaker.allow()) == (BreakerState.OPEN, 60.0, False)


def test_a_success_counts_afresh() -> None:
    """Failures that are not in a row never open it."""
    breaker = CircuitBreaker(BreakerOptions(), Clock())
    for _ in range(10):
        for _ in range(4):
            breaker.failed()
        breaker.succeeded()
    assert breaker.state is BreakerState.CLOSED


def test_one_trial_after_a_minute() -> None:
    """Half-open lets exactly one through, however often it is asked."""
    clock = Clock()
    breaker = opened(clock)
    clock.advance(59.9)
    assert not breaker.allow()
    clock.advance(0.1)
    assert breaker.state is BreakerState.HALF_OPEN
    assert [breaker.allow() for _ in range(5)] == [True, False, False, False, False]
    assert breaker.state is BreakerState.HALF_OPEN


def test_a_trial_that_succeeds_closes_it() -> None:
    """After it, everything is as at the beginning."""
    clock = Clock()
    breaker = opened(clock)
    clock.advance(60.0)
    breaker.allow()
    breaker.succeeded()
    assert (breaker.state, breaker.allow(), breaker.allow()) == (BreakerState.CLOSED, True, True)
    for _ in range(4):
        breaker.failed()
    assert breaker.state is BreakerState.CLOSED


def test_a_trial_that_fails_opens_it_again() -> None:
    """One failure is enough now, and the minute begins again."""
    clock = Clock()
    breaker = opened(clock)
    clock.advance(60.0)
    breaker.allow()
    clock.advance(5.0)
    breaker.failed()
    assert (breaker.state, breaker.wait_s()) == (BreakerState.OPEN, 60.0)


def test_a_trial_that_is_never_heard_of_again() -> None:
    """Whoever had it may be gone: after a minute somebody else gets one."""
    clock = Clock()
    breaker = opened(clock)
    clock.advance(60.0)
    assert breaker.allow()
    clock.advance(60.0)
    assert [breaker.allow(), breaker.allow()] == [True, False]


@pytest.mark.parametrize("wrong", [{"failures": 0}, {"open_s": 0.0}])
def test_options_that_make_no_sense(wrong: dict[str, float]) -> None:
    """They are refused where they are made."""
    with pytest.raises(UsageError, match="breaker"):
        BreakerOptions(**wrong)  # type: ignore[arg-type]


class Traffic(RuleBasedStateMachine):
    """Clients that ask, succeed, fail and wait in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = CircuitBreaker(BreakerOptions(failures=3, open_s=10.0), self.clock)
        self.out = 0
        self.failures = 0
        self.opened_s = -100.0

    @rule()
    def ask(self) -> None:
        shut = self.failures >= 3
        if self.breaker.allow():
            assert not shut or self.clock.now_s - self.opened_s >= 10.0
            if shut:
                self.opened_s = self.clock.now_s  # the trial's minute
            self.out += 1

    @precondition(lambda self: self.out)
    @rule()
    def fail(self) -> None:
        self.out -= 1
        self.failures += 1
        self.breaker.failed()
        if self.failures >= 3:
            self.opened_s = self.clock.now_s

    @precondition(lambda self: self.out)
    @rule()
    def succeed(self) -> None:
        self.out -= 1
        self.failures = 0
        self.breaker.succeeded()

    @rule(duration_s=st.floats(0.0, 12.0))
    def wait(self, duration_s: float) -> None:
        self.clock.advance(duration_s)

    @invariant()
    def closed_unless_failures_in_a_row(self) -> None:
        assert (self.breaker.state is BreakerState.CLOSED) == (self.failures < 3)


TestTraffic = Traffic.TestCase
"""In any order: at most one try in ten seconds once it has opened, and no limit before."""
