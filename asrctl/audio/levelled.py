"""Utterances of a window at levels that a recogniser hears beside each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from asrctl.transcript import Samples

_QUIETER_DB = 20.0
"""Whisper hears a sentence that is so far below the next one in its window, and none that is twice as far."""
_MAX_GAIN_DB = 40.0


def levelled(utterances: Sequence[Samples]) -> list[Samples]:
    """The same utterances, those raised that are over 20 dB below the loudest, by 40 dB at most.

    Args:
        utterances: Each of shape (n,), mono float32.
    """
    levels_db = [
        10 * np.log10(max(1e-12, float(np.var(each)))) if len(each) else -120.0 for each in utterances
    ]
    least_db = max(levels_db) - _QUIETER_DB
    gains_db = [min(_MAX_GAIN_DB, max(0.0, least_db - level_db)) for level_db in levels_db]
    return [
        (each - each.mean()) * np.float32(10 ** (gain_db / 20)) if gain_db and len(each) else each
        for each, gain_db in zip(utterances, gains_db, strict=True)
    ]
