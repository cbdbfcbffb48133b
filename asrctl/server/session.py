"""One session of the server: audio from whatever socket goes to the recogniser, its events come back as
messages. Everything belongs to one event loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from asrctl.audio.convert import StreamConverter, StreamEncoding
from asrctl.events import Event, Finished, Flushed, ProviderChanged, SpeechStarted
from asrctl.policy.arrivals import Arrivals
from asrctl.policy.ladder import Measures
from asrctl.policy.priority import Source
from asrctl.protocol import (
    Audio,
    CloseCode,
    Done,
    Finish,
    Flush,
    KeptMessage,
    ServerMessage,
    ServerSession,
    Skip,
    Violation,
)
from asrctl.providers.recognizer import Recognizer
from asrctl.server.spool import Lost, Mark, Spool, Step
from asrctl.server.translate import Positions, message_of, status_of
from asrctl.streaming.session import Session
from asrctl.streaming.stream import SpeechDetector, StreamOptions
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ENCODINGS: dict[str, StreamEncoding] = {"pcm_s16le": "s16le", "pcm_f32le": "f32le"}

_SHED_TO = 0.5
"""Beyond the bound on lag speech is given up down to this share of it, so that what is left can be decoded
before it is too late as well: one by one, each utterance would be at its worker just when its time ends."""
_CALM = 2.0
"""A session is late until nothing was given up for so many times the bound."""
_CATCH_UP_S = 10.0
"""Spooled audio goes to the recogniser in pieces of this length, each when little of the last is pending."""
_LITTLE_S = 40.0
"""More than the longest utterance, which is pending until it ends, and cannot end unless more audio comes."""


class Listener(Protocol):
    """A socket that is attached."""

    def deliver(self, message: ServerMessage) -> None: ...
    def refuse(self, violation: Violation) -> None: ...
    def close(self, code: CloseCode, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a session may hold, in seconds of audio.

    Attributes:
        hold_s: In memory, before acks fall behind.
        spool_s: On disk, while spooling.
        max_lag_s: How far its finals may be behind if it is live, before the oldest speech is given up.
    """

    hold_s: float = 60.0
    spool_s: float = 600.0
    max_lag_s: float = math.inf


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


class LiveSession:
    """A session with or without a socket."""

    def __init__(
        self,
        state: ServerSession,
        detector: SpeechDetector,
        options: StreamOptions,
        recognizer: Recognizer,
        bounds: Bounds,
        surroundings: Surroundings,
    ) -> None:
        """Begin, in a running event loop.

        Args:
            state: What is kept across sockets: positions and events.
            detector: Finds speech; fresh, for this session alone.
            options: How the audio is cut and decoded.
            recognizer: Shared by all.
            bounds: How much may be held.
            surroundings: Of the server.
        """
        start, format_ = state.start, state.start.format
        self.state = state
        self.source = Source[start.source.upper()]
        self.listener: Listener | None = None
        self.detached_s: float | None = None
        """Since when no socket is attached, by the owner's clock; None while one is."""
        self.gather_s = 0.0
        """Audio is handed on in pieces of at least so much: fewer and larger ones cost less."""
        self.done = False
        self.failure = ""
        """Why it cannot go on; empty while it can."""
        self.has_spoken = False
        """Whether speech was heard in it."""
        self._shed_s: float | None = None
        """When speech was given up last; None where the client was told that this is over."""
        self._bounds, self._surroundings = bounds, surroundings
        self._gathered = b""
        self._bytes_per_s = format_.sample_rate * format_.frame_bytes
        self._positions = Positions(start.audio_offset, format_.sample_rate)
        self._level = 0
        self._converter = self._new_converter()
        self._fed_samples = 0
        self._arrivals = Arrivals(surroundings.clock)
        self._spool: Spool | None = None
        self._spooling = False
        self._measures: Measures | None = None
        self._session = Session(
            detector, options, recognizer, self._hear, name=state.session_id, source=self.source
        )

    # What the client wants

    def take(self, request: Audio | Skip | Flush | Finish) -> None:
        """Do what the client asked; in order, whatever is spooled before it."""
        if isinstance(request, Audio):
            self._gathered += request.data
            if len(self._gathered) >= self.gather_s * self._bytes_per_s:
                self.feed_gathered()
            return
        self.feed_gathered()
        if isinstance(request, Skip):
            self._skip(request)
        elif isinstance(request, Flush):
            self._do(Mark("flush"))
        else:
            self._feed(self._converter.flush())
            self._do(Mark("finish"))

    def feed_gathered(self) -> None:
        """Hand on what was gathered; to be called now and then, since a client may stop in the middle."""
        if self._gathered:
            data, self._gathered = self._gathered, b""
            self._feed(self._converter.feed(data))

    def _new_converter(self) -> StreamConverter:
        format_ = self.state.start.format
        return StreamConverter(format_.sample_rate, format_.channels, _ENCODINGS[format_.encoding])

    def _feed(self, samples: NDArray[np.float32]) -> None:
        self._fed_samples += len(samples)
        self._arrivals.add(len(samples))
        if len(samples):
            self._do(samples)

    def _skip(self, request: Skip) -> None:
        """The client's positions have moved on already; the stream has to come to the same."""
        self._feed(self._converter.flush())
        self._converter = self._new_converter()
        count = max(0, self._positions.samples(self.state.received) - self._fed_samples)
        self._fed_samples += count
        self._arrivals.add(count, spoken=False)
        self._do(Lost(count, f"client: {request.reason}"[:200]))

    def _do(self, step: Step) -> None:
        if self._spooling or self._spool:
            self._spool = self._spool if self._spool is not None else Spool()
            self._spool.put(step)
        else:
            self._pass_on(step)

    def _pass_on(self, step: Step) -> None:
        if isinstance(step, Lost):
            self._session.skip(step.count, step.reason)
        elif isinstance(step, Mark):
            (self._session.finish if step.name == "finish" else self._session.flush)()
        else:
            self._session.feed(step)

    # What the ladder wants

    def obey(self, measures: Measures, level: int = 0) -> None:
        """Do less work, or more again; `level` is the rung that asks for it."""
        self._level = level
        if measures == self._measures:
            return
        self._measures = measures
        factor: float | None = measures.interval_factor
        if not (self.state.start.partials and self.source in measures.partials):
            factor = None if measures.interval_factor <= 1 else math.inf
        self._session.show_partials(factor)
        self._spooling = measures.spool_system and self.source is Source.SYSTEM

    def catch_up(self, *, idle: bool = False) -> None:
        """Go on with what is spooled, if that is not what is to be saved now, or if nobody else works.

        Raises:
            OSError: The disk does not give back what it took.
        """
        little = self._session.pending_samples < _LITTLE_S * SAMPLE_RATE_HZ
        if not self._spool or not little or (self._spooling and not idle):
            return
        for step in self._spool.take(round(_CATCH_UP_S * SAMPLE_RATE_HZ)):
            self._pass_on(step)

    @property
    def is_spool_full(self) -> bool:
        """Whether the disk takes no more: acks fall behind as if there was none."""
        return self._spool is not None and self._spool.is_full

    @property
    def spooled_samples(self) -> int:
        """Samples that are held back on disk."""
        return self._spool.samples if self._spool is not None else 0

    @property
    def lag_s(self) -> float:
        """How long the oldest final that is missing is overdue; 0 for audio that may wait on disk."""
        waiting = self._session.waiting_sample
        return 0.0 if waiting is None or self.source is Source.SYSTEM else self._arrivals.lag_s(waiting)

    def bound_lag(self) -> str | None:
        """Give up the oldest speech that is too late; to be called a few times a second.

        Returns:
            What the client is to be told, if that is news.
        """
        now_s, lag_s, most_s = self._surroundings.clock(), self.lag_s, self._bounds.max_lag_s
        self._arrivals.forget(self._session.committed_sample)
        if lag_s <= most_s:
            if self._shed_s is None or now_s - self._shed_s < _CALM * most_s or lag_s > _SHED_TO * most_s:
                return None
            self._shed_s = None
            return "not late any more"
        reason = f"finals were more than {most_s:g} s late"
        self._session.shed(self._arrivals.due_before(_SHED_TO * most_s), reason)
        is_news, self._shed_s = self._shed_s is None, now_s
        return f"late: finals are {lag_s:.0f} s behind; the oldest speech is dropped" if is_news else None

    # What the recogniser says

    def _hear(self, event: Event) -> None:
        if isinstance(event, Finished):
            self._finish(event.account)
        elif isinstance(event, ProviderChanged):
            self.say(status_of(event, self._level, self._surroundings.models))
        elif not isinstance(event, Flushed):  # what `ack` says already
            self.has_spoken = self.has_spoken or isinstance(event, SpeechStarted)
            self.say(message_of(event, self._positions, self.state))

    def say(self, message: ServerMessage) -> None:
        """Keep a message if it matters, and send it if somebody listens."""
        if isinstance(message, KeptMessage):
            message = self.state.log.add(message)
        self._surroundings.said(message)
        if self.listener is not None:
            self.listener.deliver(message)

    def _finish(self, account: AudioAccount) -> None:
        self.done = True
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

    def report(self) -> None:
        """Tell the client how far things are, if that is news; to be called a few times a second."""
        if self.done:
            return
        if self._session.ended:
            error = self._session.failure
            self.fail(f"{type(error).__name__}: {error}" if error else "its task ended")
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
        self.done, self.failure = True, self.failure or reason
        if self.listener is not None:
            self.listener.refuse(Violation(CloseCode.INTERNAL, "internal", "the session failed"))

    @property
    def account(self) -> AudioAccount:
        """Where the samples went that reached the recogniser."""
        return self._session.account

    @property
    def pending_s(self) -> float:
        """Audio that was received and is not answered for."""
        held_s = (self._session.pending_samples + self.spooled_samples) / SAMPLE_RATE_HZ
        return held_s + len(self._gathered) / self._bytes_per_s

    @property
    def settled(self) -> bool:
        """Whether no final is on its way; what is still being spoken stays uncommitted, with the client."""
        return not self._session.awaits_finals

    def close(self) -> None:
        """End at once; what is pending is neither transcribed nor declared."""
        self._session.stop()
        if self._spool is not None:
            self._spool.close()
