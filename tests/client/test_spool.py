"""Blocks on disk: in slots that are used again, within a bound, with nothing left behind."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import pytest

from asrctl.client.spool import Spool


def test_slots_are_used_again() -> None:
    """What is freed makes room for what comes."""
    spool = Spool(4, 8)
    first, second = spool.put(b"abcd"), spool.put(b"ef")
    assert spool.is_full
    with pytest.raises(OSError, match="full"):
        spool.put(b"gh")
    spool.free(first)
    assert spool.put(b"ij") == first
    assert (spool.get(first, 1, 1), spool.get(second, 0, 2)) == (b"j", b"ef")
    spool.close()


def test_a_block_cut_short() -> None:
    """More than was written is not made up."""
    spool = Spool(4, 8)
    slot = spool.put(b"ab")
    with pytest.raises(OSError, match="cut short"):
        spool.get(slot, 0, 3)
    spool.close()


class Disk:
    """A file on a disk with so much room."""

    def __init__(self, file: IO[bytes], room_bytes: int) -> None:
        self._file = file
        self._room_bytes = room_bytes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: bytes) -> int:
        if not self._room_bytes:
            raise OSError(28, "No space left on device")
        written = data[: self._room_bytes]
        self._room_bytes -= len(written)
        return self._file.write(written)


def test_a_full_disk(tmp_path: Path) -> None:
    """A block that does not fit is refused, and its slot is not lost."""
    spool = Spool(4, 16, tmp_path)
    kept = spool.put(b"abcd")
    assert spool._file is not None
    spool._file = Disk(spool._file, 6)  # type: ignore[assignment]
    second = spool.put(b"efgh")
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            spool.put(b"ijkl")
    assert (spool.get(kept, 0, 4), spool.get(second, 0, 4)) == (b"abcd", b"efgh")
    spool.close()
