"""A stand-in for voice activity where everything is to be decoded: it only knows where it is quiet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asrctl.policy.endpointing import FRAME_SAMPLES
from asrctl.transcript import Samples

_FLOOR_DB = -80.0


class Loudness:
    """Calls everything speech, and the louder the surer, so that cuts fall where it is quietest."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.float32)

    def probabilities(self, samples: Samples) -> NDArray[np.float32]:
        """From 0.5 (silence) to 1 (full scale) for each frame completed; see `SileroVad.probabilities`."""
        joined = np.concatenate((self._rest, samples))
        whole = len(joined) - len(joined) % FRAME_SAMPLES
        self._rest = joined[whole:].copy()
        power = np.mean(joined[:whole].reshape(-1, FRAME_SAMPLES) ** 2, axis=1)
        level_db = 10 * np.log10(power + 10 ** (_FLOOR_DB / 10))
        probabilities: NDArray[np.float32] = np.clip(1 - 0.5 * level_db / _FLOOR_DB, 0.5, 1.0)
        return probabilities.astype(np.float32)

    def flush(self) -> NDArray[np.float32]:
        """Judge the unfilled frame, if there is one, as if silence followed; shape [0] or [1]."""
        return self.probabilities(np.zeros(-len(self._rest) % FRAME_SAMPLES, np.float32))
