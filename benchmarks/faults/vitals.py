"""What a server's parent holds: memory, descriptors, connections."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psutil

_MB = 1e6
_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Vitals:
    """Of the parent at one time.

    Attributes:
        memory_mb: Its resident set, in MB of 1,000,000 bytes.
        descriptors: Open ones.
    """

    memory_mb: float
    descriptors: int


NOTHING = Vitals(0.0, 0)


def vitals(pid: int) -> Vitals:
    """Of a process now."""
    process = psutil.Process(pid)
    return Vitals(process.memory_info().rss / _MB, process.num_fds())


def peers(pid: int) -> set[int]:
    """The ports at the other ends of the connections that a process holds, in whatever state they are."""
    return {link.raddr.port for link in psutil.Process(pid).net_connections("tcp") if link.raddr}


class Peak:
    """The most that a process holds in a `with` block."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._seen: list[Vitals] = []

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_EVERY_S):
            try:
                self._seen.append(vitals(self._pid))
            except psutil.NoSuchProcess:
                return

    @property
    def most(self) -> Vitals:
        """Each of its figures at its highest."""
        seen = self._seen or [vitals(self._pid)]
        return Vitals(max(each.memory_mb for each in seen), max(each.descriptors for each in seen))


def settle(pid: int, wanted: Vitals, within_s: float) -> Vitals:
    """Wait until a process holds no more than that; what it holds then, or at the end of the time."""
    deadline_s = time.monotonic() + within_s
    while True:
        now = vitals(pid)
        good = now.memory_mb <= wanted.memory_mb and now.descriptors <= wanted.descriptors
        if good or time.monotonic() > deadline_s:
            return now
        time.sleep(_EVERY_S)
