"""Which job runs next: a bounded queue with classes, fairness between sessions and a starvation bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeVar

from asrctl.errors import QueueFull

T = TypeVar("T")

_SESSIONS_REMEMBERED = 256
"""Sessions whose last turn is remembered; one that is forgotten is served as if it was new."""
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


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    ticket: Ticket
    item: T
    queued_s: float
    order: int


class JobQueue(Generic[T]):
    """Finals before partials, mic before system, then the session served longest ago, then oldest first.

    A job that has waited `starvation_s` counts as one of the highest class, so that lower classes come to
    their turn; sessions still take turns there, so that one with a long backlog does not hold up the others.
    A newer partial of an utterance replaces an older one, and its final replaces them all. A full queue gives
    up its lowest, oldest partial before it refuses a job.
    """

    def __init__(self, limit: int, starvation_s: float, clock: Callable[[], float]) -> None:
        """Make an empty queue of at most `limit` jobs; `clock` gives monotonic seconds."""
        self._limit = limit
        self._starvation_s = starvation_s
        self._clock = clock
        self._entries: list[_Entry[T]] = []
        self._served: OrderedDict[str, int] = OrderedDict()
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
        self._served.move_to_end(entry.ticket.session)
        if len(self._served) > _SESSIONS_REMEMBERED:
            self._served.popitem(last=False)
        return entry.item

    def remove(self, item: T) -> bool:
        """Take a job out that nobody waits for any more; False if it is not in the queue."""
        for entry in self._entries:
            if entry.item is item:
                self._entries.remove(entry)
                return True
        return False

    def clear(self) -> list[T]:
        """Take all jobs out."""
        entries, self._entries = self._entries, []
        return [entry.item for entry in entries]

    def _rank(self, entry: _Entry[T]) -> tuple[int, int, int, int]:
        served = self._served.get(entry.ticket.session, 0)
        if entry.order == _PUT_BACK:
            return (-1, 0, served, entry.order)
        if self._clock() - entry.queued_s >= self._starvation_s:
            return (Kind.FINAL, Source.MIC, served, entry.order)
        return (entry.ticket.kind, entry.ticket.source, served, entry.order)

    def _lowest(self, newcomer: Ticket) -> _Entry[T]:
        """The partial to give up for `newcomer`: system before mic, then the oldest."""
        candidates = [entry for entry in self._entries if entry.ticket.kind is Kind.PARTIAL]
        if not candidates:
            raise QueueFull("as many decodes wait as may")
        lowest = min(candidates, key=lambda entry: (-entry.ticket.source, entry.order))
        if newcomer.kind is Kind.PARTIAL and newcomer.source > lowest.ticket.source:
            raise QueueFull("as many decodes wait as may")
        return lowest


def _replaces(new: Ticket, old: Ticket) -> bool:
    same = (new.session, new.utterance) == (old.session, old.utterance)
    return same and old.kind is Kind.PARTIAL
