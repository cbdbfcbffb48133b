"""References of diarization: who spoke when, as Rich Transcription Time Marked (RTTM)."""

from __future__ import annotations

import math
from pathlib import Path

from asrctl.errors import UsageError
from asrctl.policy.turns import Turn


def read_rttm(path: Path) -> list[Turn]:
    """The turns of a file that is about one recording.

    Raises:
        UsageError: It cannot be read, is not RTTM, or is about several recordings.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    said = [(number, line.split()) for number, line in enumerate(lines, 1) if line.split()[:1] == ["SPEAKER"]]
    turns = [_turn(path, number, fields) for number, fields in said]
    if len(recordings := {fields[1] for _, fields in said}) > 1:
        raise UsageError(f"{path} is about several recordings: {', '.join(sorted(recordings))[:100]}")
    return turns


def _turn(path: Path, number: int, fields: list[str]) -> Turn:
    """SPEAKER recording channel start length <NA> <NA> name ..."""
    try:
        start_s, length_s, name = float(fields[3]), float(fields[4]), fields[7]
    except (IndexError, ValueError) as error:
        raise UsageError(f"{path}:{number}: not a line of RTTM") from error
    if not (math.isfinite(start_s) and math.isfinite(length_s) and length_s >= 0):
        raise UsageError(f"{path}:{number}: not times of a turn")
    return Turn(start_s, start_s + length_s, name)
