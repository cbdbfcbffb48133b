"""A detector of speech that hears quiet streams as it hears loud ones, and no tones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asrctl.audio.tones import Tones
from asrctl.audio.vad import SileroVad
from asrctl.policy.endpointing import FRAME_SAMPLES
from asrctl.policy.level import LevelFollower
from asrctl.transcript import SAMPLE_RATE_HZ, Samples

_FLOOR_POWER = 1e-12
_FRAME_S = FRAME_SAMPLES / SAMPLE_RATE_HZ


class GainControlled:
    """A detector behind automatic gain control: it alone hears quiet frames raised."""

    def __init__(self, detector: SileroVad) -> None:
        """Begin; the detector must be fresh."""
        self._detector = detector
        self._level = LevelFollower()
        self._tones = Tones()
        self._rest = np.zeros(0, np.float32)

    def probabilities(self, samples: Samples) -> NDArray[np.float32]:
        """A probability for each frame completed; see `SileroVad.probabilities`."""
        joined = np.concatenate((self._rest, samples))
        whole = len(joined) - len(joined) % FRAME_SAMPLES
        self._rest = joined[whole:].copy()
        frames = np.nan_to_num(joined[:whole].reshape(-1, FRAME_SAMPLES), posinf=1.0, neginf=-1.0)
        frames = np.clip(frames, -1.0, 1.0)
        offsets = frames.mean(axis=1, keepdims=True)  # a constant is no sound, and would be raised with it
        powers = frames.var(axis=1)
        levels_db = 10 * np.log10(powers + _FLOOR_POWER)
        gains = [10 ** (self._level.gain_db(float(level), _FRAME_S) / 20) for level in levels_db]
        raised = offsets + (frames - offsets) * np.array(gains, np.float32).reshape(-1, 1)
        return self._tones.silenced(frames, self._detector.probabilities(raised.reshape(-1)))

    def flush(self) -> NDArray[np.float32]:
        """Judge the unfilled frame, if there is one, as if silence followed; shape [0] or [1]."""
        return self.probabilities(np.zeros(-len(self._rest) % FRAME_SAMPLES, np.float32))
