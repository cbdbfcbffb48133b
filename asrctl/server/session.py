"""A session of `asrctl.v1`: what it says is numbered and kept, so that another socket can take it up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from asrctl.events import Event, Finished, Flushed, ProviderChanged, SpeechEnded, SpeechStarted
from asrctl.protocol.codes import CloseCode, Violation
from asrctl.protocol.messages import Done, Finish, Flush, GoAway, KeptMessage, ServerMessage, Skip, Status
from asrctl.protocol.server import Audio
from asrctl.protocol.session import ServerSession
from asrctl.providers.recognizer import Recognizer
from asrctl.server.served import Bounds, ServedSession
from asrctl.server.session_options import request_of
from asrctl.server.spool import Lost
from asrctl.server.translate import Positions, message_of, status_of
from asrctl.streaming.session import TurnListener
from asrctl.streaming.stream import SpeechDetector, StreamOptions
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount

if TYPE_CHECKING:
    from asrctl.speakers.live_process import StreamSpeakers

__all__ = ["Bounds", "Listener", "LiveSession", "Surroundings"]


class Listener(Protocol):
    """A socket that is attached."""

    def deliver(self, message: ServerMessage) -> None: ...
    def refuse(self, violation: Violation) -> None: ...
    def close(self, code: CloseCode, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a session has of its server.

    Attributes:
        clock: Monotonic seconds.
        said: Told of each message, whether a socket is attached or not.
        models: The names of the models by their providers.
    """

    clock: Callable[[], float]
    said: Callable[[ServerMessage], None] = lambda _: None
    models: Mapping[str, str] = field(default_factory=dict)


class LiveSession(ServedSession):
    """A session with or without a socket."""

    def __init__(
        self,
        state: ServerSession,
        detector: SpeechDetector,
        options: StreamOptions,
        recognizer: Recognizer,
        bounds: Bounds,
        surroundings: Surroundings,
        turns: TurnListener | None = None,
        speakers: StreamSpeakers | None = None,
    ) -> None:
        """Begin, in a running event loop.

        `state` is what is kept across sockets: positions and events. All else is as for `ServedSession`.
        """
        start = state.start
        self.state = state
        self.listener: Listener | None = None
        self._is_spoken_in = False
        self._surroundings = surroundings
        self._positions = Positions(start.audio_offset, start.format.sample_rate)
        request = request_of(start)
        clock = surroundings.clock
        super().__init__(
            state.session_id, request, detector, options, recognizer, bounds, clock, turns, speakers
        )

    # What the client wants

    def take(self, request: Audio | Skip | Flush | Finish) -> None:
        """Do what the client asked."""
        if isinstance(request, Audio):
            self.add(request.data)
        elif isinstance(request, Skip):
            self._skip(request)
        elif isinstance(request, Flush):
            self.flush()
        else:
            self.finish()

    def _skip(self, request: Skip) -> None:
        """The client's positions have moved on already; the stream has to come to the same."""
        self._feed_held()
        self._converter = self._new_converter()
        count = max(0, self._positions.samples(self.state.received) - self._fed_samples)
        self._fed_samples += count
        self._arrivals.add(count, spoken=False)
        self._do(Lost(count, f"client: {request.reason}"[:200]))

    # What the client is told

    def _tell(self, event: Event) -> None:
        """In the client's terms; a flush is answered by `ack` already."""
        if isinstance(event, SpeechStarted | SpeechEnded):
            self._is_spoken_in = isinstance(event, SpeechStarted)
        if isinstance(event, Finished):
            self._finish(event.account)
        elif isinstance(event, ProviderChanged):
            self.say(status_of(event, self._level, self._surroundings.models))
        elif not isinstance(event, Flushed):
            self.say(message_of(event, self._positions, self.state))

    def announce(self, news: Status | GoAway) -> None:
        """Tell how the server does."""
        self.say(news)

    def say(self, message: ServerMessage) -> None:
        """Keep a message if it matters, and send it if somebody listens."""
        if isinstance(message, KeptMessage):
            message = self.state.log.add(message)
        self._surroundings.said(message)
        if self.listener is not None:
            self.listener.deliver(message)

    def _finish(self, account: AudioAccount) -> None:
        self.state.committed = self.state.received
        rate = SAMPLE_RATE_HZ
        self.say(
            Done(
                audio_offset=self.state.received,
                received_s=account.received_samples / rate,
                speech_s=account.speech_samples / rate,
                silence_s=account.silence_samples / rate,
                dropped_s=account.dropped_samples / rate,
                last_event_id=0,
            )
        )

    @property
    def committed_s(self) -> float:
        """The same since the client's audio began, the beginning of which another session may have heard."""
        return self._positions.time_s(super().committed_s)

    def report(self) -> None:
        """Tell the client how far things are, if that is news; to be called a few times a second."""
        super().report()
        if self.done:
            return
        committed = self._positions.frames(self._session.committed_sample)
        has_disk = (self._spooling or self._spool) and not self.is_spool_full
        hold_s = self._bounds.hold_s + (self._bounds.spool_s if has_disk else 0.0)
        rate = self.state.start.format.sample_rate
        ack = self.state.advance(min(committed, self.state.received), round(hold_s * rate))
        if ack is not None:
            self.say(ack)

    def fail(self, reason: str) -> None:
        """The session cannot go on; its client starts again where the finals ended."""
        super().fail(reason)
        if self.listener is not None:
            self.listener.refuse(Violation(CloseCode.INTERNAL, "internal", "the session failed"))

    @property
    def is_attached(self) -> bool:
        """Whether a socket is there."""
        return self.listener is not None

    @property
    def may_move(self) -> bool:
        """Whether its client would take it up at another server now, and repeat next to nothing."""
        return self.is_attached and not (self._is_spoken_in or self.spooled_samples) and self.settled

    def end_socket(self) -> None:
        """Close the socket with 1012; the client resumes, or starts anew where the finals ended."""
        if self.listener is not None:
            self.listener.close(CloseCode.RESTART, "restart")
