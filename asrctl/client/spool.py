"""A temporary file in slots of one size: what does not fit into memory, bounded, gone with the process."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import IO


class Spool:
    """Blocks of bytes on disk. The file is made with the first block, and has no name where that can be."""

    def __init__(self, slot_bytes: int, max_bytes: int, directory: Path | None = None) -> None:
        """Prepare; nothing is written yet.

        Args:
            slot_bytes: No block is longer.
            max_bytes: The file never is.
            directory: Where it is; None for the system's temporary directory.
        """
        self._slot_bytes = slot_bytes
        self._slots = max_bytes // slot_bytes
        self._directory = directory
        self._file: IO[bytes] | None = None
        self._free: list[int] = []
        self._used = 0

    @property
    def is_full(self) -> bool:
        """Whether another block has no place."""
        return not self._free and self._used >= self._slots

    def put(self, data: bytes | bytearray) -> int:
        """Write a block; returns its slot.

        Raises:
            OSError: There is no place for it, here or on the disk.
        """
        if self.is_full:
            raise OSError("the spool is full")
        if self._file is None:
            self._file = tempfile.TemporaryFile(  # noqa: SIM115 (open as long as this is)
                prefix="asrctl-", dir=self._directory, buffering=0
            )
        slot = self._free.pop() if self._free else self._used
        self._used = max(self._used, slot + 1)
        try:
            self._file.seek(slot * self._slot_bytes)
            written = self._file.write(data)
        except OSError:
            self.free(slot)
            raise
        if written != len(data):
            self.free(slot)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return slot

    def get(self, slot: int, offset: int, count: int) -> bytes:
        """`count` bytes of a block from `offset` on.

        Raises:
            OSError: The disk does not give them back.
        """
        if self._file is None:
            raise OSError("the spool is closed")
        self._file.seek(slot * self._slot_bytes + offset)
        data = self._file.read(count)
        if len(data) != count:
            raise OSError("the spool was cut short")
        return data

    def free(self, slot: int) -> None:
        """The block is not needed any more."""
        self._free.append(slot)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
