"""What the server keeps of a session while sockets come and go: positions and events."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import TypeVar

from asrctl.protocol.codes import CloseCode, Violation
from asrctl.protocol.log import EventLog
from asrctl.protocol.messages import AudioAck, KeptMessage, Resume, Start

_Kept = TypeVar("_Kept", bound=KeptMessage)


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
            raise Violation(CloseCode.BAD_REQUEST, "bad_request", "last_event_id was never sent")
        if request.last_event_id < self.log.forgotten_id:
            raise Violation(CloseCode.SESSION_GONE, "session_gone", "events since then are not kept any more")
        self.log.acknowledge(request.last_event_id)
        self.acknowledged = self.received  # what arrived is said in `ready`
        self.told = False  # the last ack may have been lost with the socket
        return self.log.after(request.last_event_id)
