"""A session of a client that speaks another protocol than ours: it ends with its socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from asrctl.errors import QueueFull
from asrctl.events import Event
from asrctl.policy.admission import Refusal
from asrctl.protocol.dialect import SessionRequest
from asrctl.server.hub import Hub
from asrctl.server.served import ServedSession
from asrctl.server.session_options import fitted
from asrctl.server.spool import Cleared
from asrctl.speakers.options import SpeakerOptions
from asrctl.transcript import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_IN_MEMORY_S = 30.0
"""Audio that comes faster than it is recognised waits on disk beyond so much."""
_PIECES_AT_ONCE = 4
"""Each has 10 s, and is taken only if little is pending."""
_PIECE_SAMPLES = 5 * SAMPLE_RATE_HZ
"""Audio is handed on in pieces of at most this length, each to where there is room for it then."""


class SessionListener(Protocol):
    """Who has begun a session."""

    def hear(self, event: Event) -> None:
        """Take an event of it; `Finished` is the last."""

    def failed(self, reason: str) -> None:
        """It has ended through a fault; nothing more is heard of it."""

    def end(self) -> None:
        """The server ends: close the socket now."""


class DialectSession(ServedSession):
    """`add`, `flush`, `discard`, `finish` in order; events go to the listener as they come."""

    listener: SessionListener
    said: Callable[[Event], None]
    is_attached = True

    def discard(self, reason: str, *, open_only: bool) -> None:
        """Drop what came since the last flush and is not final, or only the utterance that is open."""
        self._feed_held()
        self._do(Cleared(reason, open_only))

    def check_room(self) -> None:
        """See that no more waits than may.

        Raises:
            QueueFull: It does; this session is to be ended.
        """
        if self.is_spool_full or self.spooled_samples > self._bounds.spool_s * SAMPLE_RATE_HZ:
            raise QueueFull(f"more than {self._bounds.spool_s:g} s of audio were waiting")

    @property
    def _holds_back(self) -> bool:
        return self._spooling or self._session.pending_samples >= _IN_MEMORY_S * SAMPLE_RATE_HZ

    def _feed(self, samples: NDArray[np.float32]) -> None:
        for at in range(0, len(samples), _PIECE_SAMPLES):
            super()._feed(samples[at : at + _PIECE_SAMPLES])

    def catch_up(self, *, idle: bool = False) -> None:
        """Go on with what is spooled, as far as there is room: nothing else keeps it back.

        Raises:
            OSError: The disk does not give back what it took.
        """
        for _ in range(_PIECES_AT_ONCE):
            super().catch_up(idle=idle)

    def _tell(self, event: Event) -> None:
        self.said(event)
        self.listener.hear(event)

    def fail(self, reason: str) -> None:
        """The session cannot go on."""
        super().fail(reason)
        self.listener.failed(reason)

    @property
    def is_over(self) -> bool:
        """Whether nobody can ask for it any more."""
        return self.done

    def end_socket(self) -> None:
        """The server ends."""
        self.listener.end()


def begin(
    hub: Hub, request: SessionRequest, listener: SessionListener, dialect: str
) -> DialectSession | Refusal:
    """Begin a session.

    Args:
        hub: The server's sessions.
        request: What is asked for.
        listener: Told of what is heard.
        dialect: Its name, for the log.

    Raises:
        UsageError: It asks for what this server does not have.
    """
    admitted = hub.admit()
    if isinstance(admitted, Refusal):
        hub.metrics.rejected.labels("capacity").inc()
        return admitted
    try:
        if (refusal := hub.assign(admitted, request.source)) is not None:
            return refusal
        options = fitted(hub.options.roomy_stream, request, hub.options.shown)
        session = DialectSession(
            admitted,
            request,
            hub.detector(),
            options,
            hub.engine.recognizer,
            hub.bounds,
            hub.clock,
            hub.turns,
            hub.speakers.open(SpeakerOptions(at_once=True)) if hub.speakers and request.speakers else None,
        )
        session.listener = listener
        session.said = lambda event: hub.said(session, event)
        hub.enter(session, dialect)
        return session
    finally:
        hub.release(admitted)  # if no session has it
