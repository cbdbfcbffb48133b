"""One session of the server: audio from whatever socket goes to the engine, its events come back as messages.

All methods belong to the event loop's thread; the engine's session has its own, and is listened to through a
queue that wakes the loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from asrctl.audio.convert import StreamConverter, StreamEncoding
from asrctl.engine.lineup import Lineup, Recognizer
from asrctl.engine.session import Session
from asrctl.engine.stream import Stream
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
from asrctl.server.spool import Lost, Mark, Spool, Step
from asrctl.server.translate import Positions, message_of, status_of
from asrctl.stream.events import Event, Finished, ProviderChanged, SpeechEnded
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ENCODINGS: dict[str, StreamEncoding] = {"pcm_s16le": "s16le", "pcm_f32le": "f32le"}

_CATCH_UP_S = 10.0
"""Spooled audio goes to the engine in pieces of this length, each when little of the last is pending."""
_LITTLE_S = 40.0
"""More than the longest utterance, which is pending until it ends, and cannot end unless more audio comes."""


class Listener(Protocol):
    """A socket that is attached."""

    def deliver(self, message: ServerMessage) -> None: ...
    def refuse(self, violation: Violation) -> None: ...
    def close(self, code: CloseCode, reason: str) -> None: ...


class LiveSession:
    """A session with or without a socket."""

    def __init__(
        self,
        books: ServerSession,
        stream: Stream,
        recognizer: Recognizer | Lineup,
        *,
        hold_s: float,
        spool_s: float,
        said: Callable[[ServerMessage], None] = lambda _: None,
        models: Mapping[str, str] | None = None,
    ) -> None:
        """Begin; needs a running event loop.

        Args:
            books: What is kept of the session, positions and events.
            stream: Fresh, for this session alone.
            recognizer: Shared by all; or several providers that are.
            hold_s: How much audio may be held in memory before acks fall behind.
            spool_s: The same on disk, while spooling.
            said: Told of each message, whether a socket is attached or not.
            models: The names of the models by their providers.
        """
        start, format_ = books.start, books.start.format
        self.books = books
        self.source = Source[start.source.upper()]
        self.listener: Listener | None = None
        self.detached_s: float | None = None
        """Since when no socket is attached, by the owner's clock; None while one is."""
        self.gather_s = 0.0
        """Audio is handed on in pieces of at least so much: fewer and larger ones cost less."""
        self._gathered = b""
        self._bytes_per_s = format_.sample_rate * format_.frame_bytes
        self.done = False
        self.failed = False
        self._positions = Positions(start.audio_offset, format_.sample_rate)
        self._hold_s, self._spool_s = hold_s, spool_s
        self._said = said
        self._models = models or {}
        self._level = 0
        self._converter = self._new_converter()
        self._fed_samples = 0
        self._spool: Spool | None = None
        self._spooling = False
        self._measures: Measures | None = None
        self._loop = asyncio.get_running_loop()
        self._events: deque[Event] = deque()
        stream.partials = start.partials
        self._session = Session(stream, recognizer, self._emit, name=books.session_id, source=self.source)

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
        format_ = self.books.start.format
        return StreamConverter(format_.sample_rate, format_.channels, _ENCODINGS[format_.encoding])

    def _feed(self, samples: NDArray[np.float32]) -> None:
        self._fed_samples += len(samples)
        if len(samples):
            self._do(samples)

    def _skip(self, request: Skip) -> None:
        """The books have moved on already; the engine has to come to the same position."""
        self._feed(self._converter.flush())
        self._converter = self._new_converter()
        count = max(0, self._positions.samples(self.books.received) - self._fed_samples)
        self._fed_samples += count
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
        self._session.show_partials(self.books.start.partials and self.source in measures.partials)
        self._session.slow_down(measures.interval_factor)
        self._spooling = measures.spool_system and self.source is Source.SYSTEM

    def catch_up(self, *, idle: bool = False) -> None:
        """Go on with what is spooled, if that is not what is to be saved now, or if nobody else works.

        A session whose disk does not give back what it took ends; its client has the audio.
        """
        little = self._session.pending_samples < _LITTLE_S * SAMPLE_RATE_HZ
        if not self._spool or not little or (self._spooling and not idle):
            return
        try:
            for step in self._spool.take(round(_CATCH_UP_S * SAMPLE_RATE_HZ)):
                self._pass_on(step)
        except OSError:
            self.fail()

    @property
    def is_spool_full(self) -> bool:
        """Whether the disk takes no more: acks fall behind as if there was none."""
        return self._spool is not None and self._spool.is_full

    @property
    def spooled_samples(self) -> int:
        """Samples that are held back on disk."""
        return self._spool.samples if self._spool is not None else 0

    # What the engine says

    def _emit(self, event: Event) -> None:
        """From the engine's thread: note an event and wake the loop, which may be gone."""
        self._events.append(event)
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        while self._events:
            event = self._events.popleft()
            if isinstance(event, Finished):
                self._finish(event.account)
            elif isinstance(event, SpeechEnded):
                continue
            elif isinstance(event, ProviderChanged):
                self.say(status_of(event, self._level, self._models))
            else:
                self.say(message_of(event, self._positions, self.books))

    def say(self, message: ServerMessage) -> None:
        """Keep a message if it matters, and send it if somebody listens."""
        if isinstance(message, KeptMessage):
            message = self.books.log.add(message)
        self._said(message)
        if self.listener is not None:
            self.listener.deliver(message)

    def _finish(self, account: AudioAccount) -> None:
        self.done = True
        self.books.committed = self.books.received
        rate = SAMPLE_RATE_HZ
        self.say(
            Done(
                audio_offset=self.books.received,
                received_s=account.received_samples / rate,
                speech_s=account.speech_samples / rate,
                silence_s=account.silence_samples / rate,
                dropped_s=account.dropped_samples / rate,
                last_event_id=0,
            )
        )

    def report(self) -> None:
        """Tell the client how far things are, if that is news; to be called a few times a second."""
        ended = self._session.wait_finished(0)
        committed = self._positions.frames(self._session.committed_sample)
        self._drain()  # the events that say so go first
        if self.done:
            return
        if ended:
            self.fail()
            return
        has_disk = (self._spooling or self._spool) and not self.is_spool_full
        hold_s = self._hold_s + (self._spool_s if has_disk else 0.0)
        rate = self.books.start.format.sample_rate
        ack = self.books.advance(min(committed, self.books.received), round(hold_s * rate))
        if ack is not None:
            self.say(ack)

    def fail(self) -> None:
        """The session cannot go on; its client begins anew where the finals ended."""
        self.done = self.failed = True
        if self.listener is not None:
            self.listener.refuse(Violation(CloseCode.INTERNAL, "internal", "the session failed"))

    @property
    def account(self) -> AudioAccount:
        """Where the samples went that reached the engine."""
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
        self._session.close()
        if self._spool is not None:
            self._spool.close()
