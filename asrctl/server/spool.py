"""Audio that is held back on disk, with what was asked for in between, to be gone on with in order.

Where the disk is full it stays in memory: whoever fills a spool looks at `is_full`, and lets little more in.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_SAMPLE_BYTES = 4


@dataclass(frozen=True, slots=True)
class Lost:
    """So many samples never came."""

    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A request that holds from here on: "flush" or "finish"."""

    name: str


@dataclass(frozen=True, slots=True)
class Cleared:
    """What came since the last flush is to be dropped, or only the utterance that is open."""

    reason: str
    open_only: bool


Step = NDArray[np.float32] | Lost | Mark | Cleared


class Spool:
    """A queue of steps; samples lie in a file without a name, which goes when it is closed."""

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self._steps: deque[int | Step] = deque()
        self._read_at = 0
        self._write_at = 0
        self._in_memory_bytes = 0
        self.is_full = False
        """Whether the disk took no more when it was last written to."""

    def __len__(self) -> int:
        return len(self._steps)

    @property
    def samples(self) -> int:
        """How much audio is held."""
        return (self._write_at - self._read_at + self._in_memory_bytes) // _SAMPLE_BYTES

    def put(self, step: Step) -> None:
        """Add a step at the end."""
        if not isinstance(step, np.ndarray):
            self._steps.append(step)
        elif not self._write(step.tobytes()):
            self._steps.append(step)
            self._in_memory_bytes += step.nbytes
        elif self._steps and isinstance(self._steps[-1], int):
            self._steps[-1] += len(step)
        else:
            self._steps.append(len(step))

    def _write(self, data: bytes) -> bool:
        """Write at the end; what was written of a part is written over. Whether all of it was written."""
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="asrctl-spool-", buffering=0)  # noqa: SIM115 `close`
            self._file.seek(self._write_at)
            self.is_full = self._file.write(data) < len(data)
        except OSError:
            self.is_full = True
        if not self.is_full:
            self._write_at += len(data)
        return not self.is_full

    def take(self, samples: int) -> Iterator[Step]:
        """Remove steps from the front, up to so much audio.

        Raises:
            OSError: The disk does not give back what it took.
        """
        while self._steps and samples > 0:
            head = self._steps.popleft()
            if isinstance(head, np.ndarray):
                samples -= len(head)
                self._in_memory_bytes -= head.nbytes
                yield head
            elif isinstance(head, int):
                count = min(head, samples)
                samples -= count
                if head > count:
                    self._steps.appendleft(head - count)
                yield self._read(count)
            else:
                yield head
        if not self._steps and self._file is not None and self._write_at:
            self._read_at = self._write_at = 0
            self._file.truncate(0)

    def _read(self, count: int) -> NDArray[np.float32]:
        assert self._file is not None
        self._file.seek(self._read_at)
        data = self._file.read(count * _SAMPLE_BYTES)
        if len(data) < count * _SAMPLE_BYTES:
            raise OSError("the spool is shorter than what was written")
        self._read_at += len(data)
        return np.frombuffer(data, np.float32)

    def close(self) -> None:
        """Forget everything."""
        self._steps.clear()
        if self._file is not None:
            self._file.close()
