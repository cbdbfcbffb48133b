"""Which job runs next: a bounded queue with classes, fairness between sessions and a starvation bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeVar

from asrctl.errors import QueueFull, Superseded

T = TypeVar("T")

_SESSIONS_REMEMBERED = 256
"""Sessions whose last turn is remembered; one that is forgotten is served as if it was new."""
_PUT_BACK = 0
"""Order of a job that comes back: before the first that was ever queued."""


class Kind(IntEnum):
    """What a job's result is for; the lower one goes first."""

    FINAL = 0
    AGAIN = 1
    """A second decode for a final that has a text already."""
    PARTIAL = 2


class Source(IntEnum):
    """Where the audio comes from; the lower one goes first. All but `FILE` are live."""

    MIC = 0
    SYSTEM = 1
    FILE = 2


@dataclass(frozen=True, slots=True)
class Ticket:
    """What the queue knows of a job: whose it is, what for, and of which utterance.

    A guess is a final that is decoded before its utterance has certainly ended.
    """

    session: str
    kind: Kind
    source: Source = Source.MIC
    utterance: int = 0
    is_guess: bool = False

    @property
    def is_file(self) -> bool:
        """Whether nobody speaks at this moment, so that it can wait."""
        return self.source is Source.FILE


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    ticket: Ticket
    item: T
    queued_s: float
    order: int


class JobQueue(Generic[T]):
    """Live audio before files, finals before partials, mic before system, then oldest first.

    The second job that a session has waiting counts as queued when its first one ran, so that a session with
    a long backlog takes turns with the others. To serve the session first that was served longest ago would
    be as fair, but who was served just now then waits for all others, however short the next sentence is.

    A job that has waited `starvation_s` counts as one of the highest class, so that lower classes come to
    their turn; sessions still take turns there, so that one with a long backlog does not hold up the others.
    A newer partial of an utterance replaces an older one, and its final replaces them all. A full queue gives
    up its lowest, oldest partial before it refuses a job. Second decodes wait for partials at most: a live
    final displaces them all.

    Jobs of files take no room from live ones, none of them ever displaces one, and they are not counted: each
    file submits a few. If no file had a turn for
    `file_turn_s`, the next job of a file counts as one of the highest class: one, not all that have waited.
    """

    def __init__(
        self, limit: int, starvation_s: float, clock: Callable[[], float], file_turn_s: float = 15.0
    ) -> None:
        """Make an empty queue of at most `limit` live jobs; `clock` gives monotonic seconds."""
        self._limit = limit
        self._starvation_s = starvation_s
        self._clock = clock
        self._entries: list[_Entry[T]] = []
        self._served: OrderedDict[str, int] = OrderedDict()  # by the same count as the order of entries
        self._count = 0
        self._wait_for_turn_s = file_turn_s
        self._file_turn_s = -file_turn_s

    def __len__(self) -> int:
        return len(self._entries)

    def push(self, ticket: Ticket, item: T) -> list[T]:
        """Queue a job; returns the jobs it displaced, which will never run.

        Raises:
            QueueFull: There is no room and nothing lower to give up.
            Superseded: It is a second decode, and finals wait.
        """
        if ticket.kind is Kind.AGAIN and any(_is_live_final(entry.ticket) for entry in self._entries):
            raise Superseded("finals wait")
        displaced = [entry for entry in self._entries if _replaces(ticket, entry.ticket)]
        rivals = [entry for entry in self._entries if not entry.ticket.is_file]
        if not ticket.is_file and not displaced and len(rivals) >= self._limit:
            displaced = [self._lowest(ticket)]
        for entry in displaced:
            self._entries.remove(entry)
        self._count += 1
        self._entries.append(_Entry(ticket, item, self._clock(), self._count))
        return [entry.item for entry in displaced]

    def put_back(self, ticket: Ticket, item: T) -> None:
        """Queue a job that was popped and not done: before all others, or all other files, whatever the
        limit."""
        self._entries.append(_Entry(ticket, item, self._clock(), _PUT_BACK))

    def pop(self, fits: Callable[[T], bool] = lambda _: True) -> T | None:
        """The job to run now; None if there is none, or if it does not fit."""
        if not self._entries:
            return None
        entry = min(self._entries, key=self._rank)
        if not fits(entry.item):
            return None
        self._entries.remove(entry)
        if entry.ticket.is_file:
            self._file_turn_s = self._clock()
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

    def _rank(self, entry: _Entry[T]) -> tuple[int, int, int, int, int]:
        ticket = entry.ticket
        turn = max(entry.order, self._served.get(ticket.session, 0))
        if ticket.is_file:
            if self._clock() - max(entry.queued_s, self._file_turn_s) < self._wait_for_turn_s:
                return (1, ticket.kind if entry.order else -1, ticket.source, turn, entry.order)
            return (0, Kind.FINAL, Source.MIC, turn, entry.order)
        if entry.order == _PUT_BACK:
            return (0, -1, 0, turn, entry.order)
        if self._clock() - entry.queued_s >= self._starvation_s:
            return (0, Kind.FINAL, Source.MIC, turn, entry.order)
        return (0, ticket.kind, ticket.source, turn, entry.order)

    def _lowest(self, newcomer: Ticket) -> _Entry[T]:
        """The partial to give up for `newcomer`: system before mic, then the oldest."""
        candidates = [
            entry for entry in self._entries if entry.ticket.kind is Kind.PARTIAL and not entry.ticket.is_file
        ]
        if not candidates:
            raise QueueFull("as many decodes wait as may")
        lowest = min(candidates, key=lambda entry: (-entry.ticket.source, entry.order))
        if newcomer.kind is Kind.PARTIAL and newcomer.source > lowest.ticket.source:
            raise QueueFull("as many decodes wait as may")
        return lowest


def _replaces(new: Ticket, old: Ticket) -> bool:
    if old.kind is Kind.AGAIN:
        return _is_live_final(new)
    same = (new.session, new.utterance, new.is_file) == (old.session, old.utterance, old.is_file)
    return same and old.kind is Kind.PARTIAL


def _is_live_final(ticket: Ticket) -> bool:
    return ticket.kind is Kind.FINAL and not ticket.is_file
