"""Statistics of repeated measurements: noise, and whether two of them differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from asrctl.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_ROUNDS = 7
"""With fewer rounds on each side nothing is called a difference: five that agree may do so by chance."""
CONFIDENCE = 0.99
"""That nothing among all that is compared at once is called a difference by chance alone."""
MIN_CHANGE = 0.03
"""Two days differ by this much on one machine, however well the rounds of each agree."""

_RESAMPLES = 6000
_BATCH = 500
"""Resamples in memory at once: tens of megabytes."""
_MAX_PAIRS = 2000
_MAD_TO_SIGMA = 1.4826
"""Of a normal distribution."""


def noise(values: Sequence[float]) -> float:
    """The robust relative standard deviation: the scaled median absolute deviation over the median."""
    middle = median(values)
    if middle == 0:
        return 0.0
    return _MAD_TO_SIGMA * median(abs(value - middle) for value in values) / abs(middle)


@dataclass(frozen=True, slots=True)
class Ratio:
    """B over A with its confidence interval.

    Attributes:
        value: The Hodges-Lehmann estimate; see `ratio`.
        low: Lower end of the interval.
        high: Upper end.
        noise: The larger noise of the two sides; of pairs, that of their ratios.
        rounds: Of the side that has fewer.
        paired: Each round of B was measured next to one of A.
    """

    value: float
    low: float
    high: float
    noise: float
    rounds: int
    paired: bool = False

    @property
    def differs(self) -> bool:
        """Whether B differs from A by more than chance explains.

        Unpaired sides must differ by more than their noise as well: what changed on the machine between
        them is in every round of one side.
        """
        outside = not self.low <= 1.0 <= self.high
        bound = MIN_CHANGE if self.paired else max(self.noise, MIN_CHANGE)
        return self.rounds >= MIN_ROUNDS and outside and abs(math.log(self.value)) > bound


def ratio(
    before: Sequence[float],
    after: Sequence[float],
    seed: int = 0,
    *,
    paired: bool = False,
    confidence: float = CONFIDENCE,
) -> Ratio:
    """Compare two sides by a bootstrap of the Hodges-Lehmann estimate on logarithms.

    The estimate is the median of all differences, or for pairs of all Walsh averages (Hodges and Lehmann,
    1963): as robust as a median, and nearly as efficient as a mean.

    Args:
        before: What was measured in each round of A; all positive.
        after: The same of B.
        seed: Of the resampling.
        paired: Round n of B was measured next to round n of A.
        confidence: Of the interval.

    Raises:
        UsageError: scipy is not installed.
    """
    try:
        from scipy.stats import bootstrap
    except ImportError as error:
        raise UsageError("bench compare needs scipy: pip install 'asrctl[compare]'") from error
    import numpy as np

    first, second = np.log(before), np.log(after)
    rounds = min(len(first), len(second))
    data, estimate = ((second - first,), _centre) if paired else ((first, second), _shift)
    value = float(estimate(*data))
    resampled = (
        bootstrap(
            data,
            estimate,
            n_resamples=_RESAMPLES,
            batch=_BATCH,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).bootstrap_distribution
        if rounds > 1
        else np.array([value])
    )
    # A percentile bootstrap of few rounds is too narrow by this factor, as a variance over n is.
    widened = value + (resampled - value) * math.sqrt(rounds / max(1, rounds - 1))
    low, high = np.quantile(widened, [(1 - confidence) / 2, (1 + confidence) / 2])
    spread = _spread(second - first) if paired else max(noise(before), noise(after))
    return Ratio(math.exp(value), math.exp(low), math.exp(high), spread, rounds, paired)


def _spread(changes: NDArray[np.float64]) -> float:
    """The robust standard deviation of logarithms of ratios, which is a relative one."""
    middle = median(changes)
    return float(_MAD_TO_SIGMA * median(abs(changes - middle)))


def _centre(changes: NDArray[np.float64], axis: int = -1) -> Any:
    """The median of all Walsh averages along the last axis; of very many values simply their median."""
    import numpy as np

    rounds = changes.shape[-1]
    if rounds * (rounds + 1) // 2 <= _MAX_PAIRS:
        one, other = np.triu_indices(rounds)
        changes = (changes[..., one] + changes[..., other]) / 2
    return np.median(changes, axis=-1)


def _shift(before: NDArray[np.float64], after: NDArray[np.float64], axis: int = -1) -> Any:
    """The median of all differences along the last axis; of very many values that of the medians."""
    import numpy as np

    if before.shape[-1] * after.shape[-1] > _MAX_PAIRS:
        return np.median(after, axis=-1) - np.median(before, axis=-1)
    return np.median(after[..., :, None] - before[..., None, :], axis=(-2, -1))
