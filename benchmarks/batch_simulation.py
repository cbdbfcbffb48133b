"""Efficiency of a batch on many nodes, played with measured costs: no cluster is needed.

What is played is how `asrctl.cluster` gives out work: the largest recordings first, a task for each; long
ones are read by tasks that take no slot, and decoded in pieces, of which so many are under way.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from asrctl.cluster.batch import pieces_ahead
from asrctl.cluster.pieces import PIECE_S
from asrctl.cluster.worker import LONG_S

FILES = 10_000
HOURS = 1374.0
_SPREAD = 1.0
"""Of the logarithm of lengths: the median is 5 minutes, one in a hundred is longer than 50."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds that were measured.

    Attributes:
        decode: For each second of audio, in one slot.
        read: The same for reading and finding speech.
        task: Of each task, from its submission to its answer, besides its work.
        piece: The same of a task with ten minutes of samples.
        submit: The submitting process's own, for each task; it submits one after the other.
        write: Of each result, there too.
        load: Of the model, once for each slot.
    """

    decode: float
    read: float
    task: float
    piece: float
    submit: float
    write: float
    load: float


def lengths(files: int = FILES, hours: float = HOURS, seed: int = 1) -> list[float]:
    """Lengths of recordings in seconds, log-normal, in all so many hours."""
    found = np.random.default_rng(seed).lognormal(0.0, _SPREAD, files)
    return [float(each) for each in found * (hours * 3600 / found.sum())]


def efficiency(recordings: Sequence[float], slots: int, costs: Costs, *, cut: bool = True) -> float:
    """The share of the slots' time that is decoding and reading; `cut` is whether long ones are cut."""
    work_s = sum(recordings) * (costs.decode + costs.read)
    return work_s / (slots * _Run(recordings, slots, costs, cut).makespan_s())


@dataclass(slots=True)
class _Long:
    """A long recording: how much is left to be read, and how many of its pieces are out."""

    left_s: float
    ahead: int = 0
    out: int = 0
    reading: bool = False


@dataclass(slots=True)
class _Run:
    recordings: Sequence[float]
    slots: int
    costs: Costs
    cut: bool
    now_s: float = 0.0
    free: int = 0
    driver_s: float = 0.0
    done_s: float = 0.0
    cold: int = 0
    readers: int = 0
    events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    todo: deque[float] = field(default_factory=deque)
    queue: deque[tuple[float, _Long | None]] = field(default_factory=deque)
    waiting: deque[_Long] = field(default_factory=deque)
    count: int = 0

    def makespan_s(self) -> float:
        """When the last result is written."""
        self.free = self.cold = self.slots
        self.todo = deque(sorted(self.recordings, reverse=True))
        for _ in range(min(2 * self.slots, len(self.todo))):
            self._submit()
        while self.events:
            self.now_s, _, happen = heapq.heappop(self.events)
            happen()
            self._start()
        return self.done_s

    def _at(self, when_s: float, happen: Callable[[], None]) -> None:
        self.count += 1
        heapq.heappush(self.events, (when_s, self.count, happen))

    def _drive(self, cost_s: float) -> float:
        """When the submitting process has done that, which does one thing after the other."""
        self.driver_s = max(self.driver_s, self.now_s) + cost_s
        return self.driver_s

    def _submit(self) -> None:
        length_s, ready_s = self.todo.popleft(), self._drive(self.costs.submit)
        if self.cut and length_s > LONG_S:
            # It is opened by a task of its own, which says that it is long.
            self._at(ready_s + self.costs.task, lambda: self._admit(_Long(length_s)))
        else:
            self._at(ready_s, lambda: self.queue.append((length_s, None)))

    def _admit(self, long: _Long) -> None:
        if self.readers < self.slots:
            self.readers += 1
            long.ahead = pieces_ahead(self.slots, self.readers)
            self._read(long)
        else:
            self.waiting.append(long)

    def _read(self, long: _Long) -> None:
        """Read the next piece, if one is left and there is room for it."""
        if long.reading or long.left_s <= 0 or long.out >= long.ahead:
            return
        piece_s = min(PIECE_S, long.left_s)
        long.reading = True

        def submit() -> None:
            long.reading = False
            long.left_s -= piece_s
            long.out += 1
            self.queue.append((piece_s, long))
            self._read(long)

        self._at(self.now_s + piece_s * self.costs.read, submit)

    def _start(self) -> None:
        """Start what waits, as far as there are slots; a slot's first task loads the model."""
        while self.free and self.queue:
            length_s, long = self.queue.popleft()
            self.free -= 1
            load_s = self.costs.load if self.cold else 0.0
            self.cold = max(0, self.cold - 1)
            overhead_s = self.costs.task if long is None else self.costs.piece
            # Readers take no slot, but time of the same processors.
            busy_s = load_s + overhead_s + length_s * (self.costs.decode + self.costs.read)
            self._at(self.now_s + busy_s, partial(self._ended, long))

    def _ended(self, long: _Long | None) -> None:
        self.free += 1
        if long is not None:
            long.out -= 1
            self._read(long)
            if long.out or long.left_s > 0:
                return
            self.readers -= 1
            if self.waiting:
                self._admit(self.waiting.popleft())
        self._at(self._drive(self.costs.write), self._written)

    def _written(self) -> None:
        self.done_s = self.now_s
        if self.todo:
            self._submit()
