"""What the server keeps of a session while sockets come and go: positions and events."""

from __future__ import annotations

import hmac
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TypeVar

from asrctl.protocol.codes import CloseCode, Violation, bad_request
from asrctl.protocol.messages import AudioAck, Done, KeptMessage, Resume, Start

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


@dataclass(slots=True)
class ServerSession:
    """State of one session that is kept across reconnects; all positions as on the wire.

    Attributes:
        session_id: Public name.
        resume_token: Secret that proves whose session it is.
        start: What the client asked for.
        window_samples: How far a client may send beyond `acknowledged`.
        received: Where the next binary message begins.
        acknowledged: `received` as the client was last told; never goes back.
        committed: `committed` as the client was last told; never goes back.
        finish_offset: Where the audio ends, once the client has said so.
        log: Events not yet acknowledged.
    """

    session_id: str
    resume_token: str
    start: Start
    window_samples: int
    log: EventLog = field(default_factory=lambda: EventLog(4096))
    received: int = 0
    acknowledged: int = 0
    committed: int = 0
    finish_offset: int | None = None
    told: bool = True
    """Whether the last positions that were told can have reached the client."""

    def __post_init__(self) -> None:
        self.received = self.acknowledged = self.committed = self.start.audio_offset

    def advance(self, committed: int, hold_samples: int) -> AudioAck | None:
        """Tell how far things are; None if that is no news to the client.

        Args:
            committed: Everything before is answered for.
            hold_samples: How much beyond that the server is willing to hold; what was received beyond is
                not acknowledged yet, so that the client holds back.
        """
        before = (self.acknowledged, self.committed)
        self.committed = max(self.committed, committed)
        held = min(self.received, self.committed + hold_samples)
        self.acknowledged = max(self.acknowledged, held)
        if self.told and before == (self.acknowledged, self.committed):
            return None
        self.told = True
        return AudioAck(self.acknowledged, self.committed)

    def resume(self, request: Resume) -> list[KeptMessage]:
        """Check that `request` may take the session over; returns the events to be sent again.

        Raises:
            Violation: 4401 for a wrong token, 4400 for an event that was never sent, 4410 if events that
                the client lacks are not kept any more.
        """
        if not hmac.compare_digest(request.resume_token.encode(), self.resume_token.encode()):
            raise Violation(CloseCode.UNAUTHORISED, "unauthorised", "the resume token is wrong")
        if request.last_event_id > self.log.last_id:
            raise bad_request("last_event_id was never sent")
        if request.last_event_id < self.log.forgotten_id:
            raise Violation(CloseCode.SESSION_GONE, "session_gone", "events since then are not kept any more")
        self.log.acknowledge(request.last_event_id)
        self.acknowledged = self.received  # what arrived is said in `ready`
        self.told = False  # the last ack may have been lost with the socket
        return self.log.after(request.last_event_id)
