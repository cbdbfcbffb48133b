"""Events on their way to whoever iterates over a client: bounded, and what is superseded is dropped."""

from __future__ import annotations

import asyncio
from collections import deque

from asrctl.client.state import Phase, State
from asrctl.protocol.messages import GoAway, KeptMessage, Metrics, Partial, SpeechEnded, SpeechStarted

Told = KeptMessage | SpeechStarted | SpeechEnded | Partial | Metrics | GoAway
"""What the server says that is passed on as it is."""
Event = State | Told

_LIMIT = 10_000
_PASSING = (Phase.LIVE, Phase.BUFFERING)


class Inbox:
    """One writer, one reader, one event loop."""

    def __init__(self, limit: int = _LIMIT) -> None:
        """Begin empty and open; `room` waits while `limit` events or more are queued."""
        self._limit = limit
        self._events: deque[Event] = deque()
        self._changed = asyncio.Event()
        self._taken = asyncio.Event()
        self._closed = False

    def put(self, event: Event) -> None:
        """Queue an event; it replaces those that say less than it does, if nobody has seen them."""
        for old in [old for old in self._events if _supersedes(event, old)]:
            self._events.remove(old)
        self._events.append(event)
        self._changed.set()

    def close(self) -> None:
        """No more events come."""
        self._closed = True
        self._changed.set()

    async def get(self) -> Event | None:
        """The oldest event; None at the end."""
        while not self._events:
            if self._closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        self._taken.set()
        return self._events.popleft()

    async def wait_taken(self) -> None:
        """Wait until the reader has nothing before it."""
        while self._events:
            self._taken.clear()
            await self._taken.wait()

    async def room(self) -> None:
        """Wait until the reader has not too much before it."""
        while len(self._events) >= self._limit:
            self._taken.clear()
            await self._taken.wait()


def _supersedes(new: Event, old: Event) -> bool:
    if isinstance(new, Partial):
        return isinstance(old, Partial) and old.utterance == new.utterance
    if isinstance(new, State):
        return isinstance(old, State) and old.phase in _PASSING and new.phase in _PASSING
    return isinstance(new, Metrics) and isinstance(old, Metrics)
