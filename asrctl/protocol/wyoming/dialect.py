"""The server's side of Wyoming: a state machine for one socket.

    transcribe?, audio-start?, audio-chunk*, audio-stop ──► transcript-start, transcript-chunk*,
                                                            transcript, transcript-stop

An utterance is the audio up to `audio-stop`, and a session of its own. Each final of it is a chunk of the
transcript; the chunks together are the text. The next utterance may come before this one is answered: it is
read when that has happened, so that answers are in order, and what waits is in the socket's buffers.

Home Assistant takes no notice of `error`: only a closed connection tells it that there will be no transcript.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from asrctl.errors import UsageError
from asrctl.events import Dropped, Event, Final, Finished
from asrctl.languages import check_language
from asrctl.policy.admission import Refusal
from asrctl.policy.vocabulary import usable_terms
from asrctl.protocol.codes import CloseCode
from asrctl.protocol.dialect import (
    CloseSocket,
    DialectOutput,
    Feed,
    Finish,
    Open,
    Reformat,
    SendBytes,
    SessionRequest,
)
from asrctl.protocol.wyoming.audio import ChunkFormat, Narrower, format_of
from asrctl.protocol.wyoming.framing import EventReader, FramingError, WyomingEvent, encode
from asrctl.protocol.wyoming.info import PROGRAM, ServedModel

_MAX_TEXT = 1_000_000
"""Most characters of one transcript: some twenty hours of speech."""
_WISH = SessionRequest(partials=False)
"""What a client gets that says nothing: partials could not be taken back, so there are none."""


@dataclass(slots=True)
class _Utterance:
    """The one that is being heard or answered.

    Attributes:
        format: Of its latest chunk.
        narrower: Of that format.
        ended: Whether that is all its audio.
        cut: Whether it was ended by us, and not by the client.
        lost: Why there will be no transcript; empty if there will.
        text: What was said of it.
        language: Of the latest final.
    """

    format: ChunkFormat
    narrower: Narrower
    ended: bool = False
    cut: bool = False
    lost: str = ""
    text: str = ""
    language: str = ""


class WyomingDialect:
    """One socket; see the module's docstring and `Dialect`. Its frames are pieces of a stream of bytes."""

    def __init__(self, model: ServedModel, idle_timeout_s: float, clock: Callable[[], float]) -> None:
        """A socket of which nothing was heard yet.

        Args:
            model: What is served.
            idle_timeout_s: Longest silence of a client in the middle of an utterance.
            clock: Monotonic seconds.
        """
        self._model = model
        self._idle_timeout_s = idle_timeout_s
        self._clock = clock
        self._reader = EventReader()
        self._wish = _WISH
        self._utterance: _Utterance | None = None
        self._held: WyomingEvent | None = None
        self._closing = False
        self._closed = False
        self._last_event_s = clock()
        self.events = 0
        """How many events were read."""

    @property
    def is_waiting(self) -> bool:
        """Whether nothing more should be read from the socket until the present utterance is answered."""
        return self._held is not None

    @property
    def is_answering(self) -> bool:
        """Whether an utterance has ended that has no transcript yet."""
        return self._utterance is not None and self._utterance.ended

    def opened(self) -> list[DialectOutput]:
        """See `Dialect.opened`; the client speaks first."""
        return []

    def receive_text(self, text: str) -> list[DialectOutput]:
        """See `Dialect.receive_text`; it is all bytes."""
        return self.receive_binary(text.encode())

    def receive_binary(self, data: bytes) -> list[DialectOutput]:
        """Take the next bytes."""
        self._reader.feed(data)
        return [] if self.is_waiting else self._read_on()

    def _read_on(self) -> list[DialectOutput]:
        outputs: list[DialectOutput] = []
        try:
            while not self._closed and (event := self._held or self._reader.next()) is not None:
                self._held, self._last_event_s = None, self._clock()
                self.events += 1
                outputs += self._take(event)
                if self.is_waiting:
                    break
        except (FramingError, UsageError) as error:
            outputs += self._give_up(CloseCode.BAD_REQUEST, "bad_request", str(error))
        return outputs

    def _take(self, event: WyomingEvent) -> list[DialectOutput]:
        """Events that mean nothing here, such as audio-start, give nothing: chunks name their format."""
        match event.type:
            case "describe":
                return [_send("info", **self._model.info())]
            case "ping":
                return [_send("pong", text=event.data.get("text"))]
            case "transcribe":
                self._wish = self._wished(event)
            case "audio-chunk" | "audio-stop" if self._utterance is not None and self._utterance.ended:
                self._held = event
            case "audio-chunk" if event.payload:
                return self._audio(event)
            case "audio-stop":
                return self._stop()
        return []

    def _wished(self, event: WyomingEvent) -> SessionRequest:
        """What the client wants for its next utterance.

        Raises:
            UsageError: It is not to be had.
        """
        name, language = _text(event, "name"), _text(event, "language") or _WISH.language
        if name not in ("", self._model.name, PROGRAM):
            raise UsageError(f"there is no model {name[:100]!r} here: it is {self._model.name}")
        model = self._model
        language = check_language(language[:50], multilingual=model.multilingual, model=model.name)
        words = [*_texts(event, "transcript_names"), *_texts(event, "transcript_terms")]
        return replace(_WISH, language=language, vocabulary=usable_terms(words))

    def _audio(self, event: WyomingEvent) -> list[DialectOutput]:
        format_, outputs = format_of(event.data), list[DialectOutput]()
        utterance = self._utterance
        if utterance is None:
            utterance = self._utterance = _Utterance(format_, Narrower(format_.width))
            wish, self._wish = self._wish, _WISH
            outputs = [Open(replace(wish, sample_rate_hz=format_.rate_hz, channels=format_.channels))]
        elif format_ != utterance.format:
            utterance.format, utterance.narrower = format_, Narrower(format_.width)
            outputs = [Reformat(format_.rate_hz, format_.channels)]
        return [*outputs, Feed(utterance.narrower.feed(event.payload))]

    def _stop(self) -> list[DialectOutput]:
        if self._utterance is None:
            self._wish = _WISH
            return _transcript("", "", begun=False)
        self._utterance.ended = True
        return [Finish()]

    def hear(self, event: Event) -> list[DialectOutput]:
        utterance = self._utterance
        if utterance is None:
            return []
        if isinstance(event, Dropped):
            utterance.lost = event.reason
        elif isinstance(event, Final):
            return self._final(utterance, event)
        elif isinstance(event, Finished):
            return self._answer(utterance)
        return []

    def _final(self, utterance: _Utterance, event: Final) -> list[DialectOutput]:
        text = event.segment.text.strip()
        if not text:
            return []
        utterance.language = event.language or utterance.language
        start = [] if utterance.text else [_send("transcript-start", **_language(utterance.language))]
        chunk = f" {text}" if utterance.text else text
        utterance.text += chunk
        if len(utterance.text) > _MAX_TEXT:
            return self._give_up(CloseCode.POLICY, "too_long", "the utterance is too long")
        return [*start, _send("transcript-chunk", text=chunk)]

    def _answer(self, utterance: _Utterance) -> list[DialectOutput]:
        """The session has ended: all is said."""
        if utterance.lost:
            return self._give_up(CloseCode.OVERLOAD, "audio_dropped", f"audio was dropped: {utterance.lost}")
        if utterance.cut:
            return self._leave()
        self._utterance = None
        outputs = _transcript(utterance.text, utterance.language, begun=bool(utterance.text))
        return outputs + (self._leave() if self._closing else self._read_on())

    def refused(self, refusal: Refusal) -> list[DialectOutput]:
        return self._give_up(CloseCode.OVERLOAD, "overloaded", refusal.reason)

    def failed(self, reason: str) -> list[DialectOutput]:
        return self._give_up(CloseCode.INTERNAL, "internal", reason)

    def going_away(self) -> list[DialectOutput]:
        """See `Dialect.going_away`: an utterance in the middle has no transcript, only chunks of one."""
        self._closing = True
        if self._utterance is None:
            return self._leave()
        if self._utterance.ended:
            return []
        self._utterance.ended = self._utterance.cut = True
        return [Finish()]

    def ended(self) -> list[DialectOutput]:
        """See `Dialect.ended`."""
        return self._leave()

    def _leave(self) -> list[DialectOutput]:
        return self._give_up(CloseCode.RESTART, "going_away", "the server is shutting down")

    def check_time(self) -> list[DialectOutput]:
        """See `Dialect.check_time`; sockets without an utterance are the server's to bound."""
        utterance = self._utterance
        silent_s = self._clock() - self._last_event_s
        if utterance is None or utterance.ended or silent_s < self._idle_timeout_s:
            return []
        return self._give_up(CloseCode.IDLE, "idle", f"no event came for {self._idle_timeout_s:g} s")

    def _give_up(self, code: CloseCode, name: str, reason: str) -> list[DialectOutput]:
        """Say what is wrong, and close."""
        if self._closed:
            return []
        self._closed, self._utterance, self._held = True, None, None
        return [_send("error", text=reason, code=name), CloseSocket(int(code), name)]


def _transcript(text: str, language: str, *, begun: bool) -> list[DialectOutput]:
    """The whole text, for those who do not listen to chunks too."""
    spoken = _language(language)
    start = [] if begun else [_send("transcript-start", **spoken)]
    return [*start, _send("transcript", text=text, **spoken), _send("transcript-stop")]


def _language(code: str) -> dict[str, str]:
    return {"language": code} if code else {}


def _send(kind: str, **data: object) -> SendBytes:
    return SendBytes(encode(kind, data))


def _text(event: WyomingEvent, name: str) -> str:
    """A field that is text; empty where there is none.

    Raises:
        UsageError: It is something else.
    """
    value = event.data.get(name)
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{name} is text")
    return (value or "").strip()


def _texts(event: WyomingEvent, name: str) -> list[str]:
    """A field that is a list of texts; empty where there is none.

    Raises:
        UsageError: It is something else.
    """
    value = event.data.get(name) or []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise UsageError(f"{name} is a list of texts")
    return value
