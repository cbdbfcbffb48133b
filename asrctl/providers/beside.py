"""Quiet speech beside loud speech in one window, raised to its level. Imports numpy."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from asrctl.transcript import SAMPLE_RATE_HZ, Samples

_FRAME_SAMPLES = SAMPLE_RATE_HZ // 50
_LOUD_PERCENTILE = 95
_FAR_BELOW_DB = 10.0
"""What is less below the loud frames stays as it is. Of 225 words that followed a louder sentence in
their window, tiny.en of faster_whisper left out 0 when they were 10 dB below it, 118 at 20 and 197 at 30 dB;
of whisper_cpp, q8_0, 30, 158 and 225 (the choosing half, `--no-vad`, by hand)."""
_MAX_GAIN_DB = 40.0
_CONTRAST_DB = 6.0
"""Speech stands out so far from what is quietest before it, and behind it; steady noise does not. At 10 dB
speech 5 dB above the noise of its room was not raised (by hand, the choosing half)."""
_CONTRAST_FRAMES = 75
_LEAST_FRAMES = 25
"""In less, at an end of the window, speech need not have a pause."""
_WORD_FRAMES = 12
"""To either side: the loudest of so many frames is the level of a frame, also between syllables."""
_SHORTEST_FRAMES = 15
_RAMP_FRAMES = 5

Levels = NDArray[np.float64]


def raised_beside(samples: Samples) -> Samples:
    """The samples, those over 10 dB below the loud ones raised to their level, by 40 dB at most.

    Only what stands out is raised, as words do: neither pauses nor steady noise. An evenly loud window is
    given back as it is.

    Args:
        samples: Shape (n,), clean; see `samples.clean`.
    """
    gains_db = _gains_db(_levels_db(samples))
    if not gains_db.any():
        return samples
    middles = (np.arange(len(gains_db)) + 0.5) * _FRAME_SAMPLES
    following_db = np.interp(np.arange(len(samples)), middles, gains_db)
    return np.asarray((samples - samples.mean()) * 10 ** (following_db / 20), np.float32)


def _levels_db(samples: Samples) -> Levels:
    whole = len(samples) - len(samples) % _FRAME_SAMPLES
    powers = samples[:whole].reshape(-1, _FRAME_SAMPLES).var(axis=1).astype(np.float64)
    return np.asarray(10 * np.log10(powers + 1e-12))


def _gains_db(levels_db: Levels) -> Levels:
    """For each frame, with ramps."""
    none = np.zeros(len(levels_db))
    if len(levels_db) < 2 * _LEAST_FRAMES:
        return none
    even_db = 10 * np.log10(_around(10 ** (levels_db / 10), 1).mean(axis=1))
    near_db = _around(even_db, _WORD_FRAMES).max(axis=1)
    below_db = np.percentile(levels_db, _LOUD_PERCENTILE) - near_db
    is_raised = (below_db > _FAR_BELOW_DB) & (near_db - _background_db(even_db) >= _CONTRAST_DB)
    changes = np.flatnonzero(np.diff(is_raised, prepend=False, append=False))
    for start, end in changes.reshape(-1, 2):
        is_raised[start:end] = end - start >= _SHORTEST_FRAMES + 2 * _WORD_FRAMES
    gains_db = np.where(is_raised, np.minimum(below_db, _MAX_GAIN_DB), none)
    return np.asarray(_around(gains_db, _RAMP_FRAMES).mean(axis=1))


def _background_db(levels_db: Levels) -> Levels:
    """The quietest of 1.5 s before a frame or of 1.5 s behind it, whichever is louder: behind loud speech
    steady noise is louder than the pauses there were in it, and is background all the same."""
    outside = np.full(_CONTRAST_FRAMES, np.inf)
    before = sliding_window_view(np.concatenate([outside, levels_db]), _CONTRAST_FRAMES + 1).min(axis=1)
    behind = sliding_window_view(np.concatenate([levels_db, outside]), _CONTRAST_FRAMES + 1).min(axis=1)
    before[:_LEAST_FRAMES] = behind[-_LEAST_FRAMES:] = -np.inf
    return np.asarray(np.maximum(before, behind))


def _around(values: Levels, frames: int) -> Levels:
    """Of each, so many to either side; shape (n, 2 frames + 1)."""
    return sliding_window_view(np.pad(values, frames, mode="edge"), 2 * frames + 1)
