"""A token bucket."""

from __future__ import annotations

from asrctl.policy.token_bucket import TokenBucket


def test_what_may_be_taken() -> None:
    """As much as of the burst at once, then what comes back; what is too much takes nothing."""
    now_s = 0.0
    allowance = TokenBucket(10.0, 2.0, lambda: now_s)
    assert all(allowance.take() for _ in range(20))
    assert not allowance.take()
    now_s = 0.5
    assert not allowance.take(6.0)
    assert allowance.take(5.0)
    assert not allowance.take()
    allowance.refill()
    assert allowance.take(20.0)
    now_s = 100.0
    assert not allowance.take(21.0)
    assert allowance.take(20.0)
