"""Deepgram's live `/v1/listen` as a state machine.

Spans of results tile the audio: each starts where the last final one ended. Interim results are about the
open span and replace each other. While a `Finalize` or the end is waited for, the newest final is held back,
since only the last one before the answer carries `from_finalize`. Words of finals
have the speakers that are known when they are sent: the protocol has no way to correct them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from asrctl.events import (
    Dropped,
    Event,
    Final,
    Finished,
    Flushed,
    Partial,
    SpeakerChanged,
    SpeakersLost,
    SpeechEnded,
    SpeechStarted,
)
from asrctl.policy.admission import Refusal
from asrctl.policy.vocabulary import fit, usable_terms
from asrctl.protocol.codes import CloseCode
from asrctl.protocol.deepgram.messages import error, is_configuration, message_of, send
from asrctl.protocol.deepgram.query import LiveOptions
from asrctl.protocol.deepgram.shapes import (
    CHANNEL_INDEX,
    Alternative,
    Origin,
    WordShape,
    alternative,
    final_words,
    live_results,
    spread,
    word_shapes,
)
from asrctl.protocol.dialect import CloseSocket, DialectOutput, Feed, Finish, Flush, Note, Open, SendText
from asrctl.transcript import SAMPLE_RATE_HZ, join_text

_SILENT_S = 10.0
"""A client sends audio or a `KeepAlive` at least this often."""
_ENDED = "the server shut down before all audio was transcribed"
_LATE = "audio that came while the server was shutting down is not transcribed"
_SILENT = "NET-0001: neither audio nor a KeepAlive message came in time"
_FAILED = "NET-0000: the session failed"
_MAX_SHOWN_CHARS = 200
_SAMPLES_PER_MS = SAMPLE_RATE_HZ // 1000


@dataclass(slots=True)
class _Speech:
    """An utterance whose final has not come; `paused` if the speaker ended it."""

    start_sample: int
    paused: bool = False


class DeepgramLive:
    """One socket; see `asrctl.protocol.dialect.Dialect`. The session is begun with the first audio."""

    def __init__(self, options: LiveOptions, origin: Origin, clock: Callable[[], float]) -> None:
        """`clock` gives monotonic seconds."""
        self._options = options
        self._request = options.request
        self._origin = origin
        self._clock = clock
        self._heard_s = clock()
        self._is_open = False
        self._fed_bytes = 0
        self._hash = hashlib.sha256()
        self._closing: CloseSocket | None = None
        self._is_late = False
        """Whether audio came after the server began to shut down."""
        self._finalizes = 0
        """How many are not answered."""
        self._held: Final | None = None
        self._open_ms = 0
        """Where the open span starts."""
        self._speech: dict[int, _Speech] = {}
        """By number, in order."""
        self._cut_sample = -1
        """Where the last utterance was cut; what starts there is the rest of it."""
        self._last_word_ms: int | None = None
        """Where the last word ended, until a gap after it was told."""
        self._speaker_numbers: dict[str, int] = {}
        self._seen_ms = 0
        """How much audio had come when the time was checked last: it was listened to since."""

    # What comes from the socket

    def opened(self) -> list[DialectOutput]:
        """Nothing is said until audio comes."""
        return []

    def receive_binary(self, data: bytes) -> list[DialectOutput]:
        """Audio; an empty frame is an old way to say `CloseStream`."""
        if self._closing is not None:
            self._is_late = self._is_late or self._closing.code == CloseCode.RESTART
            return []
        if not data:
            return self._end(CloseSocket())
        self._heard_s = self._clock()
        self._fed_bytes += len(data)
        self._hash.update(data)
        begin: list[DialectOutput] = [] if self._is_open else [Open(self._request)]
        self._is_open = True
        return [*begin, Feed(data)]

    def receive_text(self, text: str) -> list[DialectOutput]:
        """A message in JSON; one that is not understood is answered, and the socket stays open."""
        if self._closing is not None:
            return []
        message = message_of(text)
        match message.get("type"):
            case "KeepAlive":
                self._heard_s = self._clock()
                return []
            case "Finalize":
                return self._finalize()
            case "CloseStream":
                return self._end(CloseSocket())
            case "Configure" if is_configuration(message):
                return [self._configure(message)]
            case _:
                description = "known are KeepAlive, Finalize, CloseStream and Configure, as JSON"
                return [error("SchemaError", description, message=text[:_MAX_SHOWN_CHARS])]

    def _finalize(self) -> list[DialectOutput]:
        if not self._is_open:
            return [self._nothing(0, from_finalize=True)]
        self._finalizes += 1
        return [Flush()]

    def _configure(self, message: Mapping[str, object]) -> SendText:
        """Key terms are part of what a session is begun with, and cannot be changed later."""
        terms, answer = message.get("keyterms"), {"request_id": self._origin.request_id}
        if terms is None:
            return send({"type": "ConfigureSuccess", **answer})
        if self._is_open:
            code = "CONFIGURE_KEYTERMS_NOT_SUPPORTED"
            description = "keyterms cannot be changed once audio has been sent"
            return send({"type": "ConfigureFailure", **answer, "code": code, "description": description})
        assert isinstance(terms, list)
        self._request = replace(self._request, vocabulary=fit(usable_terms(terms)).kept)
        return send({"type": "ConfigureSuccess", **answer, "keyterms": terms})

    # What comes from the session

    def hear(self, event: Event) -> list[DialectOutput]:
        """Take an event of the session."""
        match event:
            case SpeechStarted():
                return self._started(event)
            case SpeechEnded():
                self._speech[event.utterance].paused = event.paused
                self._cut_sample = -1 if event.paused else round(event.end_s * SAMPLE_RATE_HZ)
                return []
            case Partial():
                return self._interim(event)
            case Final():
                held = self._release()
                if self._awaits_answer:
                    self._held = event
                    return held
                return [*held, *self._final(event, event.end_sample)]
            case SpeakerChanged() if (last := self._held) and last.utterance == event.utterance:
                self._held = replace(last, segment=last.segment.labelled(event.speaker, event.words))
                return []
            case SpeakersLost():
                return [error("SpeakersLost", event.reason)]
            case Dropped():
                return [*self._release(), *self._dropped(event)]
            case Flushed():
                self._finalizes -= 1
                return self._answer(event.sample, from_finalize=True)
            case Finished():
                received = event.account.received_samples
                return [*self._answer(received, from_finalize=False), *self._bye(received)]
            case _:
                return []

    @property
    def _awaits_answer(self) -> bool:
        return self._finalizes > 0 or self._closing is not None

    def _started(self, event: SpeechStarted) -> list[DialectOutput]:
        is_first = not self._speech
        start_sample = round(event.start_s * SAMPLE_RATE_HZ)
        self._speech[event.utterance] = _Speech(start_sample)
        outputs = self._gap(_ms(start_sample)) if is_first else []
        if self._options.vad_events and start_sample != self._cut_sample:
            at_s = _ms(start_sample) / 1000
            outputs.append(send({"type": "SpeechStarted", "channel": CHANNEL_INDEX, "timestamp": at_s}))
        return outputs

    def _interim(self, event: Partial) -> list[DialectOutput]:
        """Text of the open span; a later utterance's would take the place of one that is not final yet."""
        is_next = next(iter(self._speech), None) == event.utterance
        if not self._options.interim_results or not is_next:
            return []
        text = join_text((event.stable, event.unstable))
        end_ms = max(self._open_ms, round(event.end_s * 1000))
        words = spread(text, event.start_s, event.end_s)
        shown = self._alternative(text, 0.0, list(word_shapes(words, self._open_ms / 1000, end_ms / 1000)))
        return [self._results(end_ms, shown, is_final=False)]

    def _release(self) -> list[DialectOutput]:
        """A final that was held back, and is not the last one before the answer."""
        held, self._held = self._held, None
        return [] if held is None else self._final(held, held.end_sample)

    def _final(self, event: Final, end_sample: int, *, from_finalize: bool = False) -> list[DialectOutput]:
        """Results for good, up to `end_sample`."""
        speech = self._speech.pop(event.utterance)
        following = next(iter(self._speech.values()), None)
        segment, end_ms = event.segment, self._end_ms(end_sample)
        words = final_words(segment, self._speaker_numbers, self._open_ms / 1000, end_ms / 1000)
        languages = [event.language] if self._options.multi and event.language else []
        heard = self._alternative(segment.text.strip(), segment.confidence, words, languages)
        results = self._results(
            end_ms,
            heard,
            speech_final=speech.paused and self._options.speech_final,
            from_finalize=from_finalize,
        )
        if words:
            self._last_word_ms = round(words[-1]["end"] * 1000)
        return [results, *([] if following is None else self._gap(_ms(following.start_sample)))]

    def _dropped(self, event: Dropped) -> list[DialectOutput]:
        if event.utterance is not None:
            self._speech.pop(event.utterance)
        start_s, end_s = event.start_sample / SAMPLE_RATE_HZ, event.end_sample / SAMPLE_RATE_HZ
        description = f"audio from {start_s:.3f} s to {end_s:.3f} s is not transcribed: {event.reason}"
        return [error("AudioDropped", description), self._nothing(event.end_sample)]

    def _answer(self, sample: int, *, from_finalize: bool) -> list[DialectOutput]:
        """Results that answer a `Finalize` or the end: everything up to there is final."""
        held, self._held = self._held, None
        if held is None:
            outputs: list[DialectOutput] = [self._nothing(sample, from_finalize=from_finalize)]
        else:
            outputs = self._final(held, sample, from_finalize=from_finalize)
        return [*outputs, *([] if self._speech else self._gap(_ms(sample)))]

    def _gap(self, until_ms: int) -> list[DialectOutput]:
        """Tell of the gap between the last word and this, if it is long enough, and was not told of."""
        last_ms, least_ms = self._last_word_ms, self._options.utterance_end_ms
        if last_ms is None or least_ms is None or until_ms - last_ms < least_ms:
            return []
        self._last_word_ms = None
        told = {"type": "UtteranceEnd", "channel": CHANNEL_INDEX, "last_word_end": last_ms / 1000}
        return [send(told)]

    # Time-outs and ends

    def check_time(self) -> list[DialectOutput]:
        """Whether the client is silent, or the speaker."""
        if self._closing is not None:
            return []
        if self._clock() - self._heard_s >= _SILENT_S:
            return self._end(CloseSocket(CloseCode.INTERNAL, _SILENT))
        listened_ms, self._seen_ms = self._seen_ms, self._fed_ms
        return [] if self._speech else self._gap(listened_ms)

    @property
    def _fed_ms(self) -> int:
        sample_bytes = {"pcm_s16le": 2, "pcm_s32le": 4, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}
        request = self._request
        frames = self._fed_bytes // (sample_bytes[request.encoding] * request.channels)
        return frames * 1000 // request.sample_rate_hz

    def going_away(self) -> list[DialectOutput]:
        """What was sent is made final first."""
        return self._end(CloseSocket(CloseCode.RESTART, "restart"))

    def ended(self) -> list[DialectOutput]:
        """What was sent, and is not final, is lost."""
        lost = [error("AudioDropped", _ENDED)] if self._is_open else []
        return [*lost, CloseSocket(CloseCode.RESTART, "restart")]

    def _end(self, close: CloseSocket) -> list[DialectOutput]:
        if self._closing is not None:
            return []
        self._closing = close
        return [Finish()] if self._is_open else self._bye(0)

    def _bye(self, received_samples: int) -> list[DialectOutput]:
        duration_s = received_samples / SAMPLE_RATE_HZ
        metadata = self._origin.metadata(self._hash.hexdigest(), duration_s, self._request.channels)
        lost = [error("AudioDropped", _LATE)] if self._is_late else []
        return [*lost, send({"type": "Metadata", **metadata}), self._closing or CloseSocket()]

    def refused(self, refusal: Refusal) -> list[DialectOutput]:
        """No session is to be had: later, or elsewhere."""
        description = f"{refusal.reason}; try again in {refusal.retry_after_s} s"
        return [error("Overloaded", description), CloseSocket(CloseCode.OVERLOAD, "overload")]

    def failed(self, reason: str) -> list[DialectOutput]:
        """The reason is for our log: to a client it may be of no use."""
        noted = Note("session.failed", {"reason": reason})
        return [noted, error("InternalError", _FAILED), CloseSocket(CloseCode.INTERNAL, _FAILED)]

    # Shapes

    def _alternative(
        self, text: str, confidence: float, words: list[WordShape], languages: Sequence[str] = ()
    ) -> Alternative:
        return alternative(text, confidence, words, punctuate=self._options.punctuate, languages=languages)

    def _nothing(self, end_sample: int, *, from_finalize: bool = False) -> SendText:
        """A final span without words."""
        end_ms = self._end_ms(end_sample)
        return self._results(end_ms, self._alternative("", 0.0, []), from_finalize=from_finalize)

    def _end_ms(self, sample: int) -> int:
        return max(self._open_ms, _ms(sample))

    def _results(
        self,
        end_ms: int,
        heard: Alternative,
        *,
        is_final: bool = True,
        speech_final: bool = False,
        from_finalize: bool = False,
    ) -> SendText:
        """Results for the open span up to there; once they are final, the next one is open."""
        start_ms = self._open_ms
        if is_final:
            self._open_ms = end_ms
        results = live_results(
            self._origin,
            (start_ms, end_ms),
            heard,
            is_final=is_final,
            speech_final=speech_final,
            from_finalize=from_finalize,
        )
        return send(results, droppable=not is_final)


def _ms(sample: int) -> int:
    return round(sample / _SAMPLES_PER_MS)
