"""What measurements that were repeated say: percentiles, noise, and whether two of them differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

LEAST_ROUNDS = 5
"""With fewer rounds on each side nothing is called a difference."""
CONFIDENCE = 0.99
"""Of the interval. Simulated with 5 to 20 rounds, 1 to 5 % of noise, and with outliers: at most 1 % of
comparisons of a thing with itself were called a difference, with 95 % up to 4 %. A slowdown of 10 % was seen
in 95 % of tries with 7 rounds and 3 % of noise, and always with 10 rounds."""
LEAST_NOISE = 0.01
"""A change of less than this is not told from the next day's, however well the rounds agree."""

_RESAMPLES = 4000
_MAD_TO_SIGMA = 1.4826


def percentile(values: Sequence[float], percent: float) -> float:
    """A percentile, linear between the nearest two values; NaN of nothing.

    Args:
        values: In any order.
        percent: 0 to 100.
    """
    ordered = sorted(values)
    if not ordered:
        return math.nan
    at = (len(ordered) - 1) * percent / 100
    below, share = ordered[math.floor(at)], at - math.floor(at)
    above = ordered[math.ceil(at)]
    return min(max(below + (above - below) * share, below), above)


def noise(values: Sequence[float]) -> float:
    """How far rounds of the same thing lie apart: a robust standard deviation, as a share of the median."""
    middle = median(values)
    if middle == 0:
        return 0.0
    return _MAD_TO_SIGMA * median(abs(value - middle) for value in values) / abs(middle)


@dataclass(frozen=True, slots=True)
class Ratio:
    """What B is of A: the ratio of medians, with its interval.

    Attributes:
        value: Median of B over median of A.
        low: Lower end of the interval, by bootstrap over the rounds.
        high: Upper end.
        noise: The larger of the two sides' noises.
        rounds: Of the side that has fewer.
    """

    value: float
    low: float
    high: float
    noise: float
    rounds: int

    @property
    def differs(self) -> bool:
        """Whether B differs from A by more than chance and noise explain."""
        outside = not self.low <= 1.0 <= self.high
        beyond = abs(math.log(self.value)) > max(self.noise, LEAST_NOISE)
        return self.rounds >= LEAST_ROUNDS and outside and beyond


def ratio(before: Sequence[float], after: Sequence[float], seed: int = 0) -> Ratio:
    """Compare two sides by their rounds.

    Args:
        before: What was measured in each round of A; all positive.
        after: The same of B.
        seed: Makes the interval the same every time.
    """
    dice = np.random.default_rng(seed)
    resampled = _medians(after, dice) - _medians(before, dice)
    value = math.log(median(after)) - math.log(median(before))
    rounds = min(len(before), len(after))
    # The bootstrap of few rounds is too narrow by this factor, as a variance over n instead of n - 1 is.
    widened = value + (resampled - value) * math.sqrt(rounds / max(1, rounds - 1))
    low, high = np.quantile(widened, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Ratio(
        value=math.exp(value),
        low=math.exp(low),
        high=math.exp(high),
        noise=max(noise(before), noise(after)),
        rounds=rounds,
    )


def _medians(values: Sequence[float], dice: np.random.Generator) -> NDArray[np.float64]:
    """Logarithms of the medians of resamples, shape (resamples,)."""
    drawn = dice.integers(0, len(values), (_RESAMPLES, len(values)))
    medians: NDArray[np.float64] = np.log(np.median(np.asarray(values, np.float64)[drawn], axis=1))
    return medians
