"""The chain of providers: who is asked, who rests for how long, and who comes back."""

from __future__ import annotations

import pytest

from asrctl.errors import UsageError
from asrctl.policy.chain import Chain, ChainOptions
from tests.policy.clock import Clock

OPTIONS = ChainOptions(retry_s=30.0, growth=2.0, max_retry_s=100.0)


@pytest.fixture
def clock() -> Clock:
    """Time that the test moves."""
    return Clock()


def chain_of(clock: Clock, **attempts: int) -> Chain:
    return Chain(attempts or {"best": 3, "second": 1}, OPTIONS, clock)


@pytest.mark.parametrize(
    "values", [{"retry_s": 0}, {"retry_s": 700.0}, {"growth": 0.5}, {"retry_s": float("nan")}]
)
def test_options_that_make_no_sense(values: dict[str, float]) -> None:
    """They are refused at once."""
    with pytest.raises(UsageError, match="chain: "):
        ChainOptions(**values)


def test_the_best_is_asked_first(clock: Clock) -> None:
    """In the order that was given."""
    chain = chain_of(clock)
    assert chain.candidates({}) == ["best", "second"]
    assert chain.reason("best") == ""


def test_who_was_lost_is_asked_last(clock: Clock) -> None:
    """Not never: where nobody else can, that beats losing the utterance."""
    chain = chain_of(clock)
    chain.lost("best", "it died")
    assert chain.candidates({}) == ["second", "best"]
    assert chain.is_resting("best") and chain.reason("best") == "it died"


def test_who_was_lost_comes_back_after_its_rest(clock: Clock) -> None:
    """And is the best again."""
    chain = chain_of(clock)
    chain.lost("best", "it died")
    clock.advance(29.9)
    assert chain.is_resting("best")
    clock.advance(0.2)
    assert chain.candidates({}) == ["best", "second"] and chain.reason("best") == ""


def test_the_rest_grows_when_it_is_lost_again_soon(clock: Clock) -> None:
    """Up to a bound."""
    chain, rests_s = chain_of(clock), []
    for _ in range(4):
        chain.lost("best", "again")
        began_s = clock()
        while chain.is_resting("best"):
            clock.advance(1.0)
        rests_s.append(clock() - began_s)
    assert rests_s == [30.0, 60.0, 100.0, 100.0]


def test_losses_are_forgiven(clock: Clock) -> None:
    """Who did well for as long as the first rest begins afresh."""
    chain = chain_of(clock)
    for _ in range(2):
        chain.lost("best", "it died")
        clock.advance(30.0 + 30.0)
        assert not chain.is_resting("best")


def test_a_loss_that_many_streams_see_is_one(clock: Clock) -> None:
    """The rest is no longer for it, and the first reason is the one that is told."""
    chain = chain_of(clock)
    for number in range(10):
        chain.lost("best", f"loss {number}")
        clock.advance(1.0)
    assert chain.reason("best") == "loss 0"
    clock.advance(21.0)
    assert not chain.is_resting("best")


def test_attempts_are_bounded(clock: Clock) -> None:
    """Per provider and utterance; when nobody is left, that is said by an empty list."""
    chain = chain_of(clock)
    assert chain.candidates({"second": 1}) == ["best"]
    assert chain.candidates({"best": 2, "second": 1}) == ["best"]
    assert chain.candidates({"best": 3, "second": 1}) == []


def test_who_has_not_failed_yet_goes_before_who_has(clock: Clock) -> None:
    """For this utterance, among those that are well."""
    chain = chain_of(clock)
    assert chain.candidates({"best": 1}) == ["second", "best"]
    assert chain.candidates({}) == ["best", "second"]
