"""Steady tones: dial tones, ringing, beeps, hum. The detector of speech takes their beginnings for voices.

A steady tone, or a few at once, can be foretold from what was heard a moment ago, and a voice cannot: it
moves and rasps. So each frame that the detector is not sure of is fitted with a linear combination of what
was heard 16 ms before; where next to nothing is left over, nobody speaks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asrctl.policy.endpointing import FRAME_SAMPLES

_GAP_SAMPLES = 256
_ORDER = 16
"""Two for each tone: eight at once."""
_APART = 8
"""Samples between those that are combined: tones of low pitch hardly change in one."""
_LEFT_OVER = 0.01
_UNSURE = (0.3, 0.95)
"""Probabilities between which a frame is looked at: tones reach 0.89, and most speech is surer."""
_SPREAD = _APART * (_ORDER - 1) + 1
_BEFORE_SAMPLES = _GAP_SAMPLES + _SPREAD
_RIDGE = 1e-9


class Tones:
    """Finds the steady tones of one stream."""

    def __init__(self) -> None:
        self._before = np.zeros(_BEFORE_SAMPLES, np.float32)

    def silenced(
        self, frames: NDArray[np.float32], probabilities: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Probabilities of speech, 0 where a frame is nothing but tones.

        Args:
            frames: The next ones of the stream, shape (n, 512).
            probabilities: What the detector says of them, shape (n,).
        """
        heard = np.concatenate((self._before, frames.reshape(-1)))
        self._before = heard[-_BEFORE_SAMPLES:]
        lowest, highest = _UNSURE
        silenced = probabilities.copy()
        for at in np.flatnonzero((probabilities >= lowest) & (probabilities < highest)):
            end = _BEFORE_SAMPLES + (int(at) + 1) * FRAME_SAMPLES
            if _is_foretold(heard[end - FRAME_SAMPLES - _BEFORE_SAMPLES : end]):
                silenced[at] = 0.0
        return silenced


def _is_foretold(heard: NDArray[np.float32]) -> bool:
    """Whether the last frame follows from what was before; by differences, so that hum counts less."""
    steps = np.diff(heard.astype(np.float64))
    frame = steps[-FRAME_SAMPLES:]
    windows = np.lib.stride_tricks.sliding_window_view(steps[:-_GAP_SAMPLES], _SPREAD)
    earlier = windows[-FRAME_SAMPLES:, ::_APART]
    power = frame @ frame
    products, seen = earlier.T @ earlier, earlier.T @ frame
    spread = _RIDGE * np.trace(products)
    if not power or not spread:
        return False
    told = np.linalg.solve(products + spread * np.eye(_ORDER), seen) @ seen
    return bool(power - told < _LEFT_OVER * power)
