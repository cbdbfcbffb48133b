"""A level that follows: by how much quiet audio is to be raised before it is looked at for speech.

The detector hears quiet speech worse the quieter it is. So what is quiet throughout is raised towards the
level of ordinary speech, and what is loud stays as it is. The level rises at once with what is louder, and
falls slowly. Noise is not raised beyond `_NOISE_DB`, by the quietest of what was heard lately.
`python -m benchmarks.quiet` has what is heard, and what is mistaken for speech, with it and without.
"""

from __future__ import annotations

_ORDINARY_DB = -26.0
"""RMS of frames of ordinary speech, decibels below full scale."""
_MAX_GAIN_DB = 40.0
_FALL_DB_PER_S = 10.0
_NOISE_DB = -50.0
_NOISE_RISE_DB_PER_S = 1.0
_DIGITAL_SILENCE_DB = -95.0
"""Below it there is no noise either: a file's pauses, or a microphone that is muted."""


class LevelFollower:
    """Follows the level of one stream, a frame at a time."""

    def __init__(self) -> None:
        # As if it had been quiet for long, so that a quiet stream is heard from its beginning on.
        self._level_db = _ORDINARY_DB - _MAX_GAIN_DB
        self._noise_db: float | None = None

    def gain_db(self, frame_db: float, frame_s: float) -> float:
        """By how much to raise a frame, 0 to 40 dB.

        Args:
            frame_db: Its RMS in decibels below full scale.
            frame_s: Its length.
        """
        self._level_db = max(frame_db, self._level_db - _FALL_DB_PER_S * frame_s)
        gain_db = min(_MAX_GAIN_DB, max(0.0, _ORDINARY_DB - self._level_db))
        if frame_db > _DIGITAL_SILENCE_DB:
            before_db = frame_db if self._noise_db is None else self._noise_db
            self._noise_db = min(frame_db, before_db + _NOISE_RISE_DB_PER_S * frame_s)
        if self._noise_db is None:
            return gain_db
        return min(gain_db, max(0.0, _NOISE_DB - self._noise_db))
