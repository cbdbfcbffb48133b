"""A range of a file's bytes as a file of its own, for libraries that read through callbacks."""

from __future__ import annotations

import io
import os
from typing import Any


class FileSlice(io.RawIOBase):
    """Reads bytes `start` to `end` of a file; the position is counted from `start`.

    Attributes:
        error: What the system said when reading failed. libsndfile's callbacks cannot raise: an exception
            there would be printed. So a failure looks like the end, and is kept here.
    """

    def __init__(self, path: str, start: int = 0, end: int | None = None) -> None:
        self._file = io.FileIO(path)
        self._start = start
        self._end = os.fstat(self._file.fileno()).st_size if end is None else end
        self._at = 0
        self.error: OSError | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), max(0, self._end - self._start - self._at))
        try:
            self._file.seek(self._start + self._at)
            got = self._file.readinto(view[:wanted]) or 0
        except OSError as error:
            self.error = error
            return 0
        self._at += got
        return got

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end - self._start}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        self._file.close()
        super().close()
