"""What every session of the server is, whatever protocol its client speaks: audio goes to the recogniser
within bounds, through the disk if need be, its events come back. Everything belongs to one event loop."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from asrctl.audio.convert import StreamConverter, StreamEncoding
from asrctl.audio.pcm import SAMPLE_BYTES
from asrctl.events import Event, Finished, SpeechStarted
from asrctl.policy.arrivals import Arrivals
from asrctl.policy.ladder import Measures
from asrctl.policy.priority import Source
from asrctl.protocol.dialect import Encoding, SessionRequest
from asrctl.protocol.messages import GoAway, Status
from asrctl.providers.recognizer import Recognizer
from asrctl.server.spool import Cleared, Lost, Mark, Spool, Step
from asrctl.streaming.session import Session, TurnListener
from asrctl.streaming.stream import SpeechDetector, StreamOptions
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from asrctl.speakers.live_process import StreamSpeakers

_ENCODINGS: dict[Encoding, StreamEncoding] = {
    "pcm_s16le": "s16le",
    "pcm_s32le": "s32le",
    "pcm_f32le": "f32le",
    "mulaw": "mulaw",
    "alaw": "alaw",
}

_SHED_TO = 0.5
"""Beyond the bound on lag speech is given up down to this share of it, so that what is left can be decoded
before it is too late as well: one by one, each utterance would be at its worker just when its time ends."""
_CALM = 2.0
"""A session is late until nothing was given up for so many times the bound."""
_CATCH_UP_S = 10.0
"""Spooled audio goes to the recogniser in pieces of this length, each when little of the last is pending."""
_LITTLE_S = 40.0
"""More than the longest utterance, which is pending until it ends, and cannot end unless more audio comes."""


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


class ServedSession(ABC):
    """A session; what its client is told, and what follows from losing it, is for the classes below."""

    def __init__(
        self,
        session_id: str,
        request: SessionRequest,
        detector: SpeechDetector,
        options: StreamOptions,
        recognizer: Recognizer,
        bounds: Bounds,
        clock: Callable[[], float],
        turns: TurnListener | None = None,
        speakers: StreamSpeakers | None = None,
    ) -> None:
        """Begin, in a running event loop.

        Args:
            session_id: Its public name.
            request: What the client asked for.
            detector: Finds speech; fresh, for this session alone.
            options: How the audio is cut and decoded.
            recognizer: Shared by all.
            bounds: How much may be held.
            clock: Monotonic seconds.
            turns: Hears the ends of turns; shared by all.
            speakers: Tells the speakers of this session apart.
        """
        self.session_id = session_id
        self.request = request
        self.source = Source[request.source.upper()]
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
        self._bounds, self._clock = bounds, clock
        self._gathered = b""
        self._bytes_per_s = _bytes_per_s(request)
        self._converter = self._new_converter()
        self._fed_samples = 0
        self._arrivals = Arrivals(clock)
        self._spool: Spool | None = None
        self._spooling = False
        self._measures: Measures | None = None
        self._level = 0
        self._given_up_samples = 0
        self._session = Session(
            detector,
            options,
            recognizer,
            self._hear,
            name=session_id,
            source=self.source,
            turns=turns,
            speakers=speakers,
        )

    # What the client wants, in order, whatever is spooled before it

    def add(self, data: bytes) -> None:
        """Take the next audio."""
        self._gathered += data
        if len(self._gathered) >= self.gather_s * self._bytes_per_s:
            self.feed_gathered()

    def feed_gathered(self) -> None:
        """Hand on what was gathered; to be called now and then, since a client may stop in the middle."""
        if self._gathered:
            data, self._gathered = self._gathered, b""
            self._feed(self._converter.feed(data))

    def reformat(self, sample_rate_hz: int, channels: int) -> None:
        """What comes from here on has another rate, or other channels."""
        self._feed_held()
        self.request = replace(self.request, sample_rate_hz=sample_rate_hz, channels=channels)
        self._bytes_per_s = _bytes_per_s(self.request)
        self._converter = self._new_converter()

    def flush(self) -> None:
        """Finalise what came so far."""
        self._feed_held()
        self._do(Mark("flush"))

    def finish(self) -> None:
        """No more audio will come."""
        self._feed_held()
        self._do(Mark("finish"))

    def _feed_held(self) -> None:
        """Hand on all that came, also what the converter holds."""
        self.feed_gathered()
        self._feed(self._converter.flush())

    def _new_converter(self) -> StreamConverter:
        request = self.request
        return StreamConverter(request.sample_rate_hz, request.channels, _ENCODINGS[request.encoding])

    def _feed(self, samples: NDArray[np.float32]) -> None:
        self._fed_samples += len(samples)
        self._arrivals.add(len(samples))
        if len(samples):
            self._do(samples)

    def _do(self, step: Step) -> None:
        if self._holds_back or self._spool:
            self._spool = self._spool if self._spool is not None else Spool()
            self._spool.put(step)
        else:
            self._pass_on(step)

    @property
    def _holds_back(self) -> bool:
        """Whether what comes now is to wait on disk."""
        return self._spooling

    def _pass_on(self, step: Step) -> None:
        session = self._session
        if isinstance(step, Lost):
            session.skip(step.count, step.reason)
        elif isinstance(step, Cleared):
            session.discard(step.reason, open_only=step.open_only)
        elif isinstance(step, Mark):
            (session.finish if step.name == "finish" else session.flush)()
        else:
            session.feed(step)

    # What the ladder wants

    def obey(self, measures: Measures, level: int = 0) -> None:
        """Do less work, or more again; `level` is the rung that asks for it."""
        self._level = level
        if measures == self._measures:
            return
        self._measures = measures
        factor: float | None = measures.interval_factor
        if not (self.request.partials and self.source in measures.partials):
            factor = None if measures.interval_factor <= 1 else math.inf
        self._session.show_partials(factor)
        self._session.hear_turns(measures.hear_turns)
        self._session.cut_from(measures.overlong_s)
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
        now_s, lag_s, most_s = self._clock(), self.lag_s, self._bounds.max_lag_s
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

    # What the client is told

    def _hear(self, event: Event) -> None:
        """Take an event of the recogniser's side."""
        self.has_spoken = self.has_spoken or isinstance(event, SpeechStarted)
        self.done = self.done or isinstance(event, Finished)
        self._tell(event)

    @abstractmethod
    def _tell(self, event: Event) -> None: ...

    def announce(self, news: Status | GoAway) -> None:  # noqa: B027 most protocols have no such words
        """Tell the client how the server does, where its protocol has words for that."""

    @abstractmethod
    def end_socket(self) -> None:
        """Close the socket with 1012, if there is one."""

    @property
    @abstractmethod
    def is_attached(self) -> bool:
        """Whether a socket is there."""

    def report(self) -> None:
        """See whether it goes on; to be called a few times a second."""
        if not self.done and self._session.ended:
            error = self._session.failure
            self.fail(f"{type(error).__name__}: {error}" if error else "its task ended")

    def fail(self, reason: str) -> None:
        """The session cannot go on."""
        self.done, self.failure = True, self.failure or reason

    # How it stands

    @property
    def account(self) -> AudioAccount:
        """Where the samples went that reached the recogniser; all of them, once it is abandoned."""
        account, given_up = self._session.account, self._given_up_samples
        if not given_up:
            return account
        dropped = account.dropped_samples + given_up
        received = account.received_samples - account.pending_samples + given_up
        return replace(account, received_samples=received, dropped_samples=dropped)

    def abandon(self) -> None:
        """Drop what is pending, since nobody waits for it."""
        self._given_up_samples = round(self.pending_s * SAMPLE_RATE_HZ)
        self.done = True

    @property
    def pending_s(self) -> float:
        """Audio that was received and is not answered for."""
        held = self._session.pending_samples + self.spooled_samples + self._converter.held_samples
        return held / SAMPLE_RATE_HZ + len(self._gathered) / self._bytes_per_s

    @property
    def committed_s(self) -> float:
        """Everything before was answered for, in the time of this session's audio."""
        return self._session.committed_sample / SAMPLE_RATE_HZ

    @property
    def is_over(self) -> bool:
        """Whether nobody can ask for it any more."""
        return bool(self.failure)

    @property
    def settled(self) -> bool:
        """Whether no final is on its way."""
        return not self._session.awaits_finals

    @property
    def may_move(self) -> bool:
        """Whether its client would take it up at another server now, and repeat next to nothing."""
        return False

    def close(self) -> None:
        """End at once; what is pending is neither transcribed nor declared."""
        self._session.stop()
        if self._spool is not None:
            self._spool.close()


def _bytes_per_s(request: SessionRequest) -> int:
    return request.sample_rate_hz * request.channels * SAMPLE_BYTES[_ENCODINGS[request.encoding]]
