"""Noise, and what is called a difference."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrctl.bench.stats import MIN_ROUNDS, noise, ratio
from asrctl.errors import UsageError

TIMES = st.floats(0.001, 1000.0)


def rounds_of(dice: np.random.Generator, median: float, count: int = 10, spread: float = 0.03) -> list[float]:
    """Rounds that lie apart as those of a quiet machine do."""
    return [float(median * (1 + spread * value)) for value in dice.standard_normal(count)]


def test_noise_is_a_share_of_the_median_and_forgives_an_outlier() -> None:
    """One round that something else disturbed does not make the others noisy."""
    assert noise([1.0, 1.0, 1.0]) == 0
    assert noise([10.0, 10.1, 9.9, 10.0, 40.0]) == pytest.approx(0.0148, abs=0.001)
    assert noise([0.0, 0.0, 1.0]) == 0


@pytest.mark.parametrize("seed", range(20))
def test_ten_percent_slower_is_seen(seed: int) -> None:
    """With 3 % of noise and 10 rounds, a slowdown of 10 % is a difference, in 20 of 20 tries."""
    dice = np.random.default_rng(seed)
    found = ratio(rounds_of(dice, 1.0), rounds_of(dice, 1.1), seed)
    assert found.differs
    assert found.low < found.value < found.high


@pytest.mark.parametrize("seed", range(20))
def test_the_same_is_not_called_different(seed: int) -> None:
    """Two runs of the same thing do not differ, in 20 of 20 tries."""
    dice = np.random.default_rng(seed)
    assert not ratio(rounds_of(dice, 1.0), rounds_of(dice, 1.0), seed).differs


def test_little_is_no_difference() -> None:
    """However well the rounds agree: another day would give another percent."""
    assert not ratio([1.0] * 10, [1.025] * 10).differs
    assert not ratio([1.0] * 10, [1.025] * 10, paired=True).differs
    assert ratio([1.0] * 10, [1.04] * 10).differs


def drifting(dice: np.random.Generator, slowdown: float) -> tuple[list[float], list[float]]:
    """15 rounds of two sides that took turns on a machine whose pace changes by half, with 3 % of noise."""
    pace = np.exp(0.15 * dice.standard_normal(15).cumsum())
    before, after = pace * rounds_of(dice, 1.0, 15), pace * slowdown * rounds_of(dice, 1.0, 15)
    return before.tolist(), after.tolist()


@pytest.mark.parametrize("seed", range(20))
def test_pairs_see_through_a_drift(seed: int) -> None:
    """Ten percent is seen in 20 of 20 tries, and no change never, at the confidence of a whole comparison."""
    dice = np.random.default_rng(seed)
    found = ratio(*drifting(dice, 1.1), seed, paired=True, confidence=0.998)
    assert found.differs and found.low > 1.0
    assert not ratio(*drifting(dice, 1.0), seed, paired=True, confidence=0.998).differs


def test_without_pairs_a_drift_hides_the_change() -> None:
    """Since it is as likely to have made the difference."""
    assert not ratio(*drifting(np.random.default_rng(1), 1.1)).differs


@settings(max_examples=30)
@given(st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=25))
def test_the_order_of_pairs_does_not_matter(pairs: list[tuple[float, float]]) -> None:
    """What is compared is within them."""
    there, back = (list(zip(*each, strict=True)) for each in (pairs, pairs[::-1]))
    found, other = ratio(there[0], there[1], paired=True), ratio(back[0], back[1], paired=True)
    assert found.value == pytest.approx(other.value)


@pytest.mark.parametrize("pairs", [2, 15, 62])
def test_pairs_are_weighed_by_the_means_of_all_two(pairs: int) -> None:
    """Hodges and Lehmann's estimate, which the plain median is not, for up to 62 rounds."""
    changes = np.random.default_rng(pairs).standard_normal(pairs) ** 3
    found = ratio([1.0] * pairs, np.exp(changes).tolist(), paired=True)
    means = [(one + other) / 2 for at, one in enumerate(changes) for other in changes[at:]]
    assert found.value == pytest.approx(float(np.exp(np.median(means))))
    assert found.low <= found.value <= found.high


def test_a_change_below_the_noise_is_no_difference() -> None:
    """Unless they took turns: even where so many rounds put the interval beside 1."""
    dice = np.random.default_rng(1)
    found = ratio(rounds_of(dice, 1.0, 2000, 0.1), rounds_of(dice, 1.04, 2000, 0.1))
    assert found.low > 1
    assert not found.differs


def test_few_rounds_tell_nothing() -> None:
    """With fewer rounds than it takes on either side, nothing is a difference."""
    assert not ratio([1.0] * (MIN_ROUNDS - 1), [2.0] * 20).differs
    assert not ratio([1.0], [2.0]).differs
    assert ratio([1.0] * MIN_ROUNDS, [2.0] * MIN_ROUNDS).differs


@settings(max_examples=30)
@given(st.lists(TIMES, min_size=1, max_size=8), st.lists(TIMES, min_size=1, max_size=8))
def test_swapping_the_sides_turns_the_ratio_over(before: list[float], after: list[float]) -> None:
    """And the same seed gives the same interval."""
    there, back = ratio(before, after), ratio(after, before)
    assert there.value == pytest.approx(1 / back.value)
    assert there == ratio(before, after)
    assert there.low <= there.high


def test_without_scipy_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is installed by those who compare only."""
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(UsageError, match=r"pip install 'asrctl\[compare\]'"):
        ratio([1.0] * 7, [1.0] * 7)
