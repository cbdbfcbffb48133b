"""Which job runs next: a bounded queue with classes, fairness between sessions and a starvation bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeVar

T = TypeVar("T")

_PUT_BACK = 0
"""Order of a job that comes back: before the first that was ever queued."""


class Kind(IntEnum):
    """What a job's result is for; the lower one goes first."""

    FINAL = 0
    PARTIAL = 1


class Source(IntEnum):
    """Where the audio comes from; the lower one goes first."""

    MIC = 0
    SYSTEM = 1


@dataclass(frozen=True, slots=True)
class Ticket:
    """What the queue knows of a job: whose it is, what for, and of which utterance."""

    session: str
    kind: Kind
    source: Source = Source.MIC
    utterance: int = 0


class QueueFull(Exception):
    """The queue holds as many finals as it may; the caller must wait or declare a drop."""


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    ticket: Ticket
    item: T
    queued_s: float
    order: int


class JobQueue(Generic[T]):
    """Finals before partials, mic before system, then the session served longest ago, then oldest first.

    A job that has waited `starvation_s` goes before all that have not, oldest first. A newer partial of
    an utterance replaces an older one, and its final replaces them all. A full queue gives up its lowest,
    oldest partial before it refuses a job.
    """

    def __init__(self, limit: int, starvation_s: float, clock: Callable[[], float]) -> None:
        """Make an empty queue of at most `limit` jobs; `clock` gives monotonic seconds."""
        self._limit = limit
        self._starvation_s = starvation_s
        self._clock = clock
        self._entries: list[_Entry[T]] = []
        self._served: dict[str, int] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._entries)

    def push(self, ticket: Ticket, item: T) -> list[T]:
        """Queue a job; returns the jobs it displaced, which will never run.

        Raises:
            QueueFull: There is no room and nothing lower to give up.
        """
        displaced = [entry for entry in self._entries if _replaces(ticket, entry.ticket)]
        if not displaced and len(self._entries) >= self._limit:
            displaced = [self._lowest(ticket)]
        for entry in displaced:
            self._entries.remove(entry)
        self._count += 1
        self._entries.append(_Entry(ticket, item, self._clock(), self._count))
        return [entry.item for entry in displaced]

    def put_back(self, ticket: Ticket, item: T) -> None:
        """Queue a job that was popped and not done: before all others, whatever the limit."""
        self._entries.append(_Entry(ticket, item, self._clock(), _PUT_BACK))

    def pop(self) -> T | None:
        """The job to run now, or None if there is none."""
        if not self._entries:
            return None
        entry = min(self._entries, key=self._rank)
        self._entries.remove(entry)
        self._count += 1
        self._served[entry.ticket.session] = self._count
        return entry.item

    def remove_session(self, session: str) -> list[T]:
        """Forget a session; returns its queued jobs."""
        gone = [entry for entry in self._entries if entry.ticket.session == session]
        self._entries = [entry for entry in self._entries if entry.ticket.session != session]
        self._served.pop(session, None)
        return [entry.item for entry in gone]

    def tickets(self) -> Iterator[Ticket]:
        """The tickets of all queued jobs, in no order."""
        return (entry.ticket for entry in self._entries)

    def oldest_wait_s(self) -> float:
        """How long the oldest job has waited; 0 if there is none."""
        return max((self._clock() - entry.queued_s for entry in self._entries), default=0.0)

    def _rank(self, entry: _Entry[T]) -> tuple[int, int, int, int, int]:
        if entry.order == _PUT_BACK or self._clock() - entry.queued_s >= self._starvation_s:
            return (0, 0, 0, 0, entry.order)
        served = self._served.get(entry.ticket.session, 0)
        return (1, entry.ticket.kind, entry.ticket.source, served, entry.order)

    def _lowest(self, newcomer: Ticket) -> _Entry[T]:
        """The partial to give up for `newcomer`: system before mic, then the oldest."""
        candidates = [entry for entry in self._entries if entry.ticket.kind is Kind.PARTIAL]
        if not candidates:
            raise QueueFull
        lowest = min(candidates, key=lambda entry: (-entry.ticket.source, entry.order))
        if newcomer.kind is Kind.PARTIAL and newcomer.source > lowest.ticket.source:
            raise QueueFull
        return lowest


def _replaces(new: Ticket, old: Ticket) -> bool:
    same = (new.session, new.utterance) == (old.session, old.utterance)
    return same and old.kind is Kind.PARTIAL
