"""References of diarization are read from RTTM."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrctl.bench.rttm import read_rttm
from asrctl.errors import UsageError
from asrctl.policy.turns import Turn


def test_speaker_lines_become_turns(tmp_path: Path) -> None:
    """Other lines say other things."""
    path = tmp_path / "a.rttm"
    path.write_text("SPKR-INFO x\nSPEAKER call 1 1.5 2.0 <NA> <NA> Anna <NA> <NA>\n\n")
    assert read_rttm(path) == [Turn(1.5, 3.5, "Anna")]


@pytest.mark.parametrize(
    "line", ["SPEAKER call 1 x 2.0 <NA> <NA> A", "SPEAKER call 1", "SPEAKER c 1 nan 1 a b A"]
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    """The error says which line."""
    path = tmp_path / "a.rttm"
    path.write_text(f"{line}\n")
    with pytest.raises(UsageError, match=":1: not"):
        read_rttm(path)


def test_a_byte_order_mark_hides_no_turn(tmp_path: Path) -> None:
    """Editors put one before the first line."""
    path = tmp_path / "a.rttm"
    path.write_text("SPEAKER call 1 1.5 2.0 <NA> <NA> Anna <NA> <NA>\n", encoding="utf-8-sig")
    assert read_rttm(path) == [Turn(1.5, 3.5, "Anna")]


def test_turns_of_several_recordings_are_not_those_of_one(tmp_path: Path) -> None:
    """They would be scored as if all were said in one."""
    path = tmp_path / "a.rttm"
    path.write_text("".join(f"SPEAKER {each} 1 1.5 2.0 <NA> <NA> A <NA> <NA>\n" for each in ("one", "two")))
    with pytest.raises(UsageError, match="several recordings: one, two"):
        read_rttm(path)


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    """It is named."""
    with pytest.raises(UsageError, match="none"):
        read_rttm(tmp_path / "none.rttm")
