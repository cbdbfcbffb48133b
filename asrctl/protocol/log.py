"""Events that matter, kept until the other side has them."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TypeVar

from asrctl.protocol.messages import Done, KeptMessage

_Kept = TypeVar("_Kept", bound=KeptMessage)


class EventLog:
    """Numbers events from 1 and keeps them until acknowledged, or until `limit` newer ones are kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: deque[KeptMessage] = deque()
        self.last_id = 0
        """Id of the newest event; 0 before the first."""

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def forgotten_id(self) -> int:
        """All events up to this one are gone: acknowledged, or too many."""
        return self._kept[0].id - 1 if self._kept else self.last_id

    def add(self, event: _Kept) -> _Kept:
        """Number an event and keep it; returns it with its id."""
        self.last_id += 1
        event = replace(event, id=self.last_id)
        if isinstance(event, Done):
            event = replace(event, last_event_id=self.last_id)
        self._kept.append(event)
        if len(self._kept) > self._limit:
            self._kept.popleft()
        return event

    def acknowledge(self, event_id: int) -> None:
        """Forget all events up to `event_id`."""
        while self._kept and self._kept[0].id <= event_id:
            self._kept.popleft()

    def after(self, event_id: int) -> list[KeptMessage]:
        """The kept events after `event_id`, oldest first."""
        return [event for event in self._kept if event.id > event_id]
