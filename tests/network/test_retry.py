"""The loop that tries again: when it waits, for how long, and when it stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.network.failures import LinkFailure
from asrctl.network.retry import Attempts, GaveUp
from asrctl.policy.backoff import BackoffOptions
from asrctl.policy.breaker import BreakerOptions, BreakerState, CircuitBreaker
from tests.client.clients import Time

NEVER = BreakerOptions(failures=1000)


class Run:
    """Attempts whose outcomes are given, in time that passes only where it is waited for."""

    def __init__(
        self,
        outcome: Callable[[int, Attempts, Time], None],
        *,
        options: BackoffOptions | None = None,
        breaker: BreakerOptions = NEVER,
        random: Callable[[], float] = lambda: 0.5,
        **more: float,
    ) -> None:
        self.time = Time()
        self.made = 0
        self.changes: list[tuple[int, float]] = []
        self.breaker = CircuitBreaker(breaker, self.time)
        self.attempts = Attempts(
            options or BackoffOptions(),
            self.breaker,
            changed=lambda: self.changes.append((self.attempts.number, self.attempts.wait_s)),
            clock=self.time,
            sleep=self.time.sleep,
            random=random,
            **more,
        )
        self._outcome = outcome

    def go(self) -> list[float]:
        """Try until it is over; the waits."""

        async def main() -> None:
            async for attempt in self.attempts:
                with attempt:
                    self.made += 1
                    self._outcome(self.made, self.attempts, self.time)

        asyncio.run(main())
        return self.time.slept_s

    def fails(self) -> str:
        """Try until it is given up; why."""
        with pytest.raises(GaveUp) as caught:
            self.go()
        return str(caught.value)


def refused(*_: object) -> None:
    raise LinkFailure("connection refused")


def test_one_that_works() -> None:
    """The iteration ends after an attempt that did not fail."""
    run = Run(lambda *_: None)
    assert (run.go(), run.made) == ([], 1)


def test_doubles_and_gives_up() -> None:
    """Fifteen attempts with doubling waits between them, then an error with the last reason."""
    run = Run(refused)
    assert run.fails() == "connection refused; gave up after 15 attempts"
    assert run.time.slept_s == [1, 2, 4, 8, 16, 32, *[60] * 8]
    assert (run.made, run.attempts.number, run.attempts.reason) == (15, 15, "connection refused")


def test_what_is_told() -> None:
    """Whoever shows it learns of each wait and of each attempt."""
    run = Run(lambda made, *_: refused() if made < 3 else None)
    run.go()
    assert run.changes == [(1, 0.0), (1, 1.0), (2, 0.0), (2, 2.0), (3, 0.0)]


def test_other_exceptions_are_not_kept() -> None:
    """A bug, or being cancelled, is nothing to try again for."""

    def outcome(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Run(outcome).go()


def test_what_will_not_change() -> None:
    """A failure that would come again ends it at once, with its reason alone."""

    def outcome(*_: object) -> None:
        raise LinkFailure("invalid API key", fatal=True)

    assert Run(outcome).fails() == "invalid API key"


def test_what_the_server_asks_for() -> None:
    """Retry-After wins over the doubling."""

    def outcome(made: int, *_: object) -> None:
        if made == 1:
            raise LinkFailure("full", 7.0, answered=True)

    assert Run(outcome, random=lambda: 0.0).go() == [7.0]


def test_a_full_server_is_well() -> None:
    """Who is told when to come again comes then, however often: the breaker keeps nobody from it."""

    def outcome(*_: object) -> None:
        raise LinkFailure("the server is full", 5.0, answered=True)

    run = Run(outcome, random=lambda: 0.0, breaker=BreakerOptions())
    assert run.fails() == "the server is full; gave up after 15 attempts"
    assert run.time.slept_s == [5.0] * 14


def test_without_a_wait() -> None:
    """Where a new session is all that is missing, it is asked for at once, and the server is well."""

    def outcome(made: int, *_: object) -> None:
        if made < 10:
            failure = LinkFailure("session gone", close_code=4410)
            failure.at_once = True
            raise failure

    run = Run(outcome, breaker=BreakerOptions())
    assert run.go() == []
    assert run.breaker.state is BreakerState.CLOSED


def test_without_a_wait_but_not_for_ever() -> None:
    """Attempts without a wait count too."""

    def outcome(*_: object) -> None:
        failure = LinkFailure("session gone", close_code=4410)
        failure.at_once = True
        raise failure

    run = Run(outcome)
    assert run.fails() == "session gone; gave up after 15 attempts"


@pytest.mark.parametrize(("ready_s", "made"), [(29.0, 15), (30.0, 40)])
def test_forgiven_after_half_a_minute(ready_s: float, made: int) -> None:
    """A link that was ready for 30 s makes what was before count no more; a shorter one does not."""

    def outcome(made: int, attempts: Attempts, time: Time) -> None:
        if made == 40:
            return
        attempts.ready()
        time.now_s += ready_s
        raise LinkFailure("lost")

    run = Run(outcome)
    if ready_s < 30:
        run.fails()
    else:
        run.go()
    assert run.made == made


@pytest.mark.parametrize("good", [Attempts.ready, Attempts.proved])
def test_forgiven_once(good: Callable[[Attempts], None]) -> None:
    """A good link forgives what was before it, and nothing of what comes after it."""

    def outcome(made: int, attempts: Attempts, time: Time) -> None:
        assert made < 100
        if made == 1:
            good(attempts)
            time.now_s += 31.0
        raise LinkFailure("lost")

    run = Run(outcome)
    assert run.fails() == "lost; gave up after 15 attempts"
    assert run.made == 16


def test_a_reason_is_that_of_the_last_failure() -> None:
    """While a link is ready there is none."""

    def outcome(made: int, attempts: Attempts, _: Time) -> None:
        if made == 1:
            raise LinkFailure("refused")
        assert attempts.reason == "refused"
        attempts.ready()
        assert attempts.reason == ""

    Run(outcome).go()


def test_an_attempt_that_ends_well_closes_the_breaker() -> None:
    """However short it was: all was said."""
    run = Run(lambda made, *_: refused() if made < 6 else None, breaker=BreakerOptions())
    run.go()
    assert run.breaker.state is BreakerState.CLOSED


def test_proof_forgives_too() -> None:
    """A link that gave what was asked for was a good one, however short."""

    def outcome(made: int, attempts: Attempts, time: Time) -> None:
        if made < 40:
            attempts.ready()
            attempts.proved()
            raise LinkFailure("lost")

    assert len(Run(outcome, breaker=BreakerOptions()).go()) == 39


def test_the_breaker_opens() -> None:
    """After five failures the server is left alone for a minute each time."""
    run = Run(refused, breaker=BreakerOptions())
    run.fails()
    assert run.time.slept_s == [1, 2, 4, 8, *[60] * 10]


def test_a_link_that_works_closes_the_breaker() -> None:
    """Half a minute of work is success before the link ends."""

    def outcome(made: int, attempts: Attempts, time: Time) -> None:
        if made < 6:
            raise LinkFailure("refused")
        attempts.ready()
        attempts.alive()
        assert run.breaker.state is BreakerState.HALF_OPEN
        time.now_s += 30
        attempts.alive()
        assert run.breaker.state is BreakerState.CLOSED

    run = Run(outcome, breaker=BreakerOptions())
    run.go()


def test_somebody_elses_trial() -> None:
    """While another has the one trial, this one waits its turn."""
    run = Run(lambda *_: None, breaker=BreakerOptions())
    for _ in range(5):
        run.breaker.failed()
    run.time.now_s = 60.0
    assert run.breaker.allow()
    assert run.go() == [60.0]


@pytest.mark.parametrize("patience_s", [0.5, 5.0, 200.0])
def test_never_answered(patience_s: float) -> None:
    """It is time that counts then, to the second; the last attempt is made when it is over."""
    run = Run(refused, wait_for_answer_s=patience_s)
    assert (
        run.fails() == f"connection refused; gave up after {patience_s:g} s (--wait-for-server waits longer)"
    )
    assert run.time.now_s == patience_s
    assert run.changes[-1][1] == 0.0, "an attempt was the last thing"


def test_never_answered_for_long() -> None:
    """However many attempts that takes."""
    run = Run(refused, options=BackoffOptions(max_s=1.0), wait_for_answer_s=100.0)
    run.fails()
    assert run.made == 101


def test_an_attempt_has_no_longer_than_there_is() -> None:
    """What is left bounds the attempt too, until somebody answers."""
    left: list[float | None] = []

    def outcome(made: int, attempts: Attempts, time: Time) -> None:
        left.append(attempts.left_s)
        if made == 1:
            time.now_s += 3.0
            raise LinkFailure("no answer in time")
        attempts.heard()
        left.append(attempts.left_s)

    Run(outcome, wait_for_answer_s=5.0).go()
    assert left == [5.0, 1.0, None]


@pytest.mark.parametrize("answer", ["refusal", "link"])
def test_answered_once(answer: str) -> None:
    """After any answer attempts count, afresh; a refusal with a status is one."""

    def outcome(made: int, attempts: Attempts, time: Time) -> None:
        if made == 20 and answer == "refusal":
            raise LinkFailure("full", answered=True)
        if made == 20:
            attempts.ready()
        raise LinkFailure("refused")

    run = Run(outcome, options=BackoffOptions(max_s=1.0), wait_for_answer_s=100.0)
    assert run.fails() == "refused; gave up after 15 attempts"
    assert run.made == 34


def test_an_outage_has_a_bound() -> None:
    """It is counted from the loss of a link that worked."""

    def outcome(made: int, attempts: Attempts, time: Time) -> None:
        if made == 1:
            assert attempts.left_s == 10.0
            attempts.ready()
            assert attempts.left_s == 10.0, "ready is not work"
            attempts.alive()
            assert attempts.left_s is None
            time.now_s += 1000
        raise LinkFailure("lost")

    run = Run(outcome, outage_s=10.0)
    assert run.fails() == "lost; gave up after 10 s"
    assert run.time.now_s == 1010.0


def test_an_outage_that_the_server_asks_for() -> None:
    """A time beyond the bound is not waited for in vain, nor undercut."""

    def outcome(*_: object) -> None:
        raise LinkFailure("full", 60.0)

    run = Run(outcome, outage_s=10.0)
    assert run.fails() == "full; gave up after 10 s"
    assert run.time.slept_s == []


def test_a_breaker_that_is_open_longer_than_patience_lasts() -> None:
    """Nothing is tried then, and that is said."""
    run = Run(refused, breaker=BreakerOptions(), outage_s=10.0)
    for _ in range(5):
        run.breaker.failed()
    assert run.fails() == "it failed too often to be tried; gave up after 10 s"
    assert run.made == 0


FAILURES = st.builds(
    LinkFailure,
    st.just("x"),
    st.none() | st.floats(0, 1000),
    soon=st.booleans(),
    answered=st.booleans(),
)


@given(st.lists(FAILURES | st.none(), max_size=60), st.sampled_from([0.0, 5.0]), st.integers(1, 20))
def test_any_outcomes(outcomes: list[LinkFailure | None], wait_s: float, most: int) -> None:
    """Whatever happens, no more attempts follow each other than may, and no wait is negative."""

    def outcome(made: int, attempts: Attempts, _: Time) -> None:
        if made > len(outcomes):
            raise LinkFailure("x", answered=True)
        if (failure := outcomes[made - 1]) is not None:
            raise failure

    run = Run(outcome, options=BackoffOptions(max_attempts=most), wait_for_answer_s=wait_s)
    try:
        run.go()
    except GaveUp:
        assert run.attempts.number >= most or not run.attempts.answered
    assert all(wait_s > 0 for wait_s in run.time.slept_s)
    assert run.attempts.number <= most or not run.attempts.answered


def full(retry_after_s: float | None) -> Callable[..., None]:
    """A server that is there, and has no place."""

    def outcome(*_: object) -> None:
        raise LinkFailure("the server is full", retry_after_s, answered=True)

    return outcome


@pytest.mark.parametrize("retry_after_s", [None, 5.0, 600.0])
def test_full_for_longer_than_it_is_waited_for(retry_after_s: float | None) -> None:
    """Until it is ready for the first time it is time that counts, to the second, whatever it asks for."""
    run = Run(full(retry_after_s), breaker=BreakerOptions(), wait_for_answer_s=40.0, wait_for_ready_s=40.0)
    assert run.fails() == "the server is full; gave up after 40 s (--wait-for-server waits longer)"
    assert run.time.now_s == 40.0 and run.made > 1
    assert run.changes[-1][1] == 0.0, "an attempt was the last thing"


@pytest.mark.parametrize("retry_after_s, most", [(5.0, 201), (0.0, 1015)])
def test_full_for_a_long_time(retry_after_s: float, most: int) -> None:
    """However many attempts that takes; one that asks for no wait at all is not asked without end."""
    run = Run(full(retry_after_s), wait_for_answer_s=1000.0, wait_for_ready_s=1000.0)
    run.fails()
    assert most // 2 < run.made <= most


def test_the_breaker_keeps_nobody_from_a_server_that_comes() -> None:
    """One that is waited for is asked again within the doubled wait, not after the breaker's minute."""

    def outcome(made: int, attempts: Attempts, time: Time) -> None:
        if time.now_s < 20.0:
            raise LinkFailure("connection refused")

    run = Run(outcome, breaker=BreakerOptions(), wait_for_answer_s=40.0)
    run.go()
    assert 20.0 <= run.time.now_s <= 40.0


def test_an_outage_is_not_bounded_by_the_first_wait() -> None:
    """A server that was ready once is tried as often as any."""

    def outcome(made: int, attempts: Attempts, time: Time) -> None:
        if made == 1:
            attempts.ready()
        raise LinkFailure("lost", answered=True)

    run = Run(outcome, wait_for_answer_s=2.0, wait_for_ready_s=2.0)
    assert run.fails() == "lost; gave up after 15 attempts"
    assert run.time.now_s > 2.0
