"""Audio that is held back on disk, with what was asked for in between, to be gone on with in order."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

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


Step = NDArray[np.float32] | Lost | Mark


class Spool:
    """A queue of steps; samples lie in a file without a name, which goes when it is closed."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="asrctl-spool-")  # noqa: SIM115 closed by `close`
        self._steps: deque[int | Lost | Mark] = deque()
        self._read_at = 0
        self._write_at = 0

    def __len__(self) -> int:
        return len(self._steps)

    @property
    def samples(self) -> int:
        """How much audio is held."""
        return (self._write_at - self._read_at) // _SAMPLE_BYTES

    def put(self, step: Step) -> None:
        """Add a step at the end.

        Raises:
            OSError: The disk is full.
        """
        if not isinstance(step, np.ndarray):
            self._steps.append(step)
            return
        self._file.seek(self._write_at)
        self._file.write(step.tobytes())
        self._write_at += step.nbytes
        if self._steps and isinstance(self._steps[-1], int):
            self._steps[-1] += len(step)
        else:
            self._steps.append(len(step))

    def take(self, samples: int) -> Iterator[Step]:
        """Remove steps from the front, up to so much audio."""
        while self._steps and samples > 0:
            head = self._steps.popleft()
            if not isinstance(head, int):
                yield head
                continue
            count = min(head, samples)
            samples -= count
            if head > count:
                self._steps.appendleft(head - count)
            yield self._read(count)
        if not self._steps:
            self._read_at = self._write_at = 0
            self._file.truncate(0)

    def _read(self, count: int) -> NDArray[np.float32]:
        self._file.seek(self._read_at)
        data = self._file.read(count * _SAMPLE_BYTES)
        self._read_at += len(data)
        return np.frombuffer(data, np.float32)

    def close(self) -> None:
        """Forget everything."""
        self._steps.clear()
        self._file.close()
