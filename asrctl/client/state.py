"""What a client is doing, for people and programs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from asrctl.policy.breaker import BreakerState


class Phase(Enum):
    """Where the link to the server stands."""

    CONNECTING = "connecting"
    LIVE = "live"
    BUFFERING = "buffering"
    RECONNECTING = "reconnecting"
    DONE = "done"
    GAVE_UP = "gave up"


@dataclass(frozen=True, slots=True)
class State:
    """A client's state; `str()` of it is what a person should see.

    Attributes:
        phase: What is going on.
        attempt: Which connection is tried, or will be tried next, from 1; 0 where none is.
        max_attempts: How many may be tried in a row; 0 while it is time that counts, and not attempts.
        wait_s: How long until the attempt begins; 0 if it has begun.
        unsent_s: Audio that was fed and not sent yet, in seconds.
        reason: Why the last attempt or link failed; empty if none did.
        breaker: The circuit breaker's state.
    """

    phase: Phase
    attempt: int = 0
    max_attempts: int = 0
    wait_s: float = 0.0
    unsent_s: float = 0.0
    reason: str = ""
    breaker: BreakerState = BreakerState.CLOSED

    def __str__(self) -> str:
        """Such as "live", "buffering 12 s", "reconnecting 3/15 in 4 s, 12 s buffered"."""
        if self.phase is Phase.BUFFERING:
            return f"buffering {self.unsent_s:.0f} s"
        wait = f" in {self.wait_s:.0f} s" if self.wait_s else ""
        if self.phase is Phase.CONNECTING and self.reason:
            return f"connecting, attempt {self.attempt}{wait}"
        if self.phase is not Phase.RECONNECTING:
            return str(self.phase.value)
        buffered = f", {self.unsent_s:.0f} s buffered" if self.unsent_s >= 0.5 else ""
        return f"reconnecting {self.attempt}/{self.max_attempts}{wait}{buffered}"
