"""Backoff: doubling waits, bounded attempts, what servers ask for, and when all is forgiven."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.errors import UsageError
from asrctl.policy.backoff import Backoff, BackoffOptions

MIDDLE: Callable[[], float] = lambda: 0.5  # noqa: E731
"""Randomness that gives no jitter."""


def waits(backoff: Backoff, **failure: float | None) -> list[float]:
    """All waits of a connection that never comes about."""
    found: list[float] = []
    while True:
        backoff.began()
        wait_s = backoff.failed(**failure)  # type: ignore[arg-type]
        if wait_s is None:
            return found
        found.append(wait_s)


def test_doubles_up_to_a_minute() -> None:
    """1, 2, 4 … 60 s, and fifteen attempts have fourteen waits between them."""
    backoff = Backoff(BackoffOptions(), MIDDLE)
    assert waits(backoff) == [1, 2, 4, 8, 16, 32, *[60] * 8]
    assert backoff.attempts == BackoffOptions().max_attempts == 15


@given(st.integers(0, 2**32))
def test_jitter_is_a_fifth_at_most_and_can_be_repeated(seed: int) -> None:
    """Waits differ from the doubling by 20 % at most, also at the cap; the same seed gives the same waits."""
    found = waits(Backoff(BackoffOptions(), random.Random(seed).random))
    for wait_s, plain_s in zip(found, [1, 2, 4, 8, 16, 32, *[60] * 8], strict=True):
        assert 0.8 * plain_s <= wait_s <= 1.2 * plain_s
    assert found == waits(Backoff(BackoffOptions(), random.Random(seed).random))


def test_clients_spread() -> None:
    """Clients that lose a server together do not come back together."""
    first = {waits(Backoff(BackoffOptions(), random.Random(seed).random))[0] for seed in range(50)}
    assert len(first) == 50


def test_what_needs_no_wait_makes_no_later_one_longer() -> None:
    """A session that is gone costs an attempt, and no wait: later ones are no longer for it."""
    backoff, found = Backoff(BackoffOptions(), MIDDLE), list[float | None]()
    for at_once in (False, True, False, True, False):
        backoff.began()
        found.append(backoff.failed(at_once=at_once))
    assert found == [1, 0, 2, 0, 4]
    assert backoff.attempts == 5
    assert waits(Backoff(BackoffOptions(), MIDDLE), at_once=True) == [0] * 14


def test_what_the_server_asks_for_wins() -> None:
    """Retry-After replaces the doubling; it is never undercut, and overstepped by a fifth at most."""
    assert waits(Backoff(BackoffOptions(), lambda: 0.0), retry_after_s=7.0) == [7.0] * 14
    assert waits(Backoff(BackoffOptions(), MIDDLE), retry_after_s=10.0)[0] == pytest.approx(11.0)


def test_what_the_server_asks_for_is_bounded() -> None:
    """A server cannot send a client to sleep for a year."""
    assert waits(Backoff(BackoffOptions(), lambda: 0.0), retry_after_s=3e7)[0] == 300.0


def test_a_negative_request_counts_as_none() -> None:
    """Nonsense from a server does not make the client hurry."""
    assert waits(Backoff(BackoffOptions(), MIDDLE), retry_after_s=-5.0)[:2] == [1, 2]


def test_asked_waits_count_as_attempts() -> None:
    """A server that always refuses politely is given up too, and doubling goes on where it would be."""
    backoff = Backoff(BackoffOptions(), MIDDLE)
    backoff.began()
    backoff.failed(retry_after_s=5.0)
    backoff.began()
    assert backoff.failed() == 2.0


@pytest.mark.parametrize(("ready_s", "attempts"), [(0.0, 3), (29.9, 3), (30.0, 0)])
def test_forgiven_after_half_a_minute(ready_s: float, attempts: int) -> None:
    """Only a link that was ready for 30 s wipes out what was before; accepting and closing does not."""
    backoff = Backoff(BackoffOptions(), MIDDLE)
    for _ in range(2):
        backoff.began()
        backoff.failed()
    backoff.began()
    wait_s = backoff.failed(ready_s=ready_s)
    assert (backoff.attempts, wait_s) == (attempts, 1.0 if attempts == 0 else 4.0)


def test_a_link_that_was_good_leaves_all_attempts() -> None:
    """Fifteen reconnects follow the loss of a link that had lasted, however many it took to make it."""
    backoff = Backoff(BackoffOptions(), MIDDLE)
    for _ in range(14):
        backoff.began()
        backoff.failed()
    backoff.began()
    assert backoff.failed(ready_s=3600.0) == 1.0
    assert len(waits(backoff)) == 14
    assert backoff.attempts == 15


def test_a_restart_is_followed_soon_but_once() -> None:
    """A server that restarts gets its clients back within a second; if it goes on, it is backed off from."""
    backoff = Backoff(BackoffOptions(), lambda: 0.25)
    backoff.began()
    assert backoff.failed(soon=True) == 0.25
    backoff.began()
    assert backoff.failed(soon=True) == pytest.approx(2.0 * 0.9)


@pytest.mark.parametrize(
    "wrong", [{"first_s": 0.0}, {"max_s": 0.5}, {"jitter": 1.0}, {"jitter": -0.1}, {"max_attempts": 0}]
)
def test_options_that_make_no_sense(wrong: dict[str, float]) -> None:
    """They are refused where they are made."""
    with pytest.raises(UsageError, match="backoff"):
        BackoffOptions(**wrong)  # type: ignore[arg-type]
