"""One live stream as a state machine: samples and recognised text go in, events and requests come out.

It has no threads, no clock and no pool, so that its every order of events can be tested; `session` is the
shell that runs it. At every moment, to the sample:

    received = finalised speech + judged silence + declared dropped + pending

Who recognises the utterances is `recognition`'s.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from asrctl.engine.recognition import Recognition
from asrctl.engine.streamed import Placer
from asrctl.engine.utterance import Gap, Output, Utterance, merged
from asrctl.policy import endpointing
from asrctl.policy.endpointing import FRAME_SAMPLES, Endpointer, EndpointerOptions, Span
from asrctl.policy.pacing import Pacer, PacingOptions
from asrctl.providers.base import DecodeOptions, Spoken
from asrctl.stream.buffer import SampleBuffer
from asrctl.stream.events import (
    Dropped,
    Event,
    Final,
    Finished,
    SpeechStarted,
)
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount, Hypothesis


class SpeechDetector(Protocol):
    """Probabilities of speech, a frame at a time, such as `SileroVad`."""

    def probabilities(self, samples: NDArray[np.float32]) -> NDArray[np.float32]: ...
    def flush(self) -> NDArray[np.float32]: ...


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How a stream is cut and decoded.

    Attributes:
        decode: How finals are decoded.
        endpointing: How utterances are found; those over `overlong_s` are cut where it is quiet.
        pacing: How often partials are made; None for finals only.
        max_backlog_s: Most speech that may wait for its final; the oldest beyond is declared dropped.
    """

    decode: DecodeOptions = field(default_factory=DecodeOptions)
    endpointing: EndpointerOptions = field(default_factory=EndpointerOptions)
    pacing: PacingOptions | None = field(default_factory=PacingOptions)
    max_backlog_s: float = 120.0


class Stream:
    """One stream of audio; see the module's docstring. Not thread-safe.

    Methods return what follows, in order: events for the listener, requests to the recognisers.
    """

    def __init__(self, detector: SpeechDetector, options: StreamOptions | None = None) -> None:
        self._options = options or StreamOptions()
        self._detector = detector
        self._endpointer = Endpointer(self._options.endpointing)
        self._buffer = SampleBuffer()
        self._recognition = Recognition(
            self._options.decode,
            self._options.endpointing,
            self._options.pacing,
            self._buffer,
            self._endpointer,
            self._cut_at,
        )
        self._open: Utterance | None = None
        self._closing: deque[Utterance | Gap] = deque()
        self._next_utterance = 0
        self._speech_samples = 0
        self._dropped_samples = 0
        self._skipped_samples = 0
        self._ending = False

    @property
    def partials(self) -> bool:
        """Whether partials are shown; may be switched at any time."""
        return self._recognition.partials

    @partials.setter
    def partials(self, shown: bool) -> None:
        self._recognition.partials = shown

    @property
    def placer(self) -> Placer:
        """Who takes the utterances; to be set before the first."""
        return self._recognition.placer

    @placer.setter
    def placer(self, placer: Placer) -> None:
        self._recognition.placer = placer

    @property
    def account(self) -> AudioAccount:
        """Where every sample went so far."""
        return AudioAccount(
            received_samples=self._buffer.end_sample,
            speech_samples=self._speech_samples,
            silence_samples=self._endpointer.account.silence_samples - self._skipped_samples,
            dropped_samples=self._dropped_samples,
        )

    @property
    def committed_sample(self) -> int:
        """All samples before it are finalised, judged silence or declared dropped, and that was said."""
        if not self._closing:
            return self._endpointer.settled_sample
        head = self._closing[0]
        return head.span.start_sample if isinstance(head, Gap) else head.start_sample

    @property
    def awaits_finals(self) -> bool:
        """Whether an utterance has ended and its final has not come."""
        return bool(self._closing)

    @property
    def awaits_provider(self) -> bool:
        """Whether an utterance waits for a provider to take it: `retry` now and then, or `give_up`."""
        return bool(self._recognition.waiting)

    @property
    def awaits_recovery(self) -> bool:
        """Whether one that waits has seen a provider fail already."""
        return any(utterance.error is not None for utterance in self._recognition.waiting)

    @property
    def language(self) -> str:
        """What finals are decoded in; "auto" until the first one showed it."""
        return self._recognition.decode.language

    @property
    def provider(self) -> str:
        """Who takes the utterances now."""
        return self._recognition.provider

    @property
    def pacer(self) -> Pacer:
        """The pace of partials, to be told how long decodes take."""
        return self._recognition.pacer

    def feed(self, samples: NDArray[np.float32]) -> list[Output]:
        """Take the next samples, shape (n,), mono float32 at 16 kHz; the array must not change afterwards."""
        self._buffer.append(samples)
        outputs: list[Output] = []
        for probability in self._detector.probabilities(samples):
            outputs += self._judge(self._endpointer.push(float(probability)))
            outputs += self._recognition.consider(float(probability))
        outputs += self._recognition.pass_on()
        self._buffer.forget(self._endpointer.settled_sample)
        return outputs

    def flush(self) -> list[Output]:
        """End what is open: a final will come for everything received so far."""
        outputs: list[Output] = []
        for probability in self._detector.flush():
            rest = self._buffer.end_sample - self._endpointer.account.received_samples
            outputs += self._judge(self._endpointer.push(float(probability), rest))
        outputs += self._judge(self._endpointer.flush())
        self._buffer.forget(self._endpointer.settled_sample)
        return outputs

    def skip(self, count: int, reason: str) -> list[Output]:
        """Declare that the next `count` samples were lost before they came here; time goes on."""
        outputs = self.flush()
        if not count:
            return outputs
        start_sample = self._buffer.end_sample
        for at in range(0, count, FRAME_SAMPLES):
            lost = min(FRAME_SAMPLES, count - at)
            self._buffer.append(np.zeros(lost, np.float32))
            self._endpointer.push(0.0, lost)
            self._buffer.forget(self._endpointer.settled_sample)
        self._endpointer.flush()  # so that the next utterance's padding does not reach into the gap
        self._skipped_samples += count
        self._closing.append(Gap(Span(start_sample, start_sample + count), reason))
        return [*outputs, *self._release()]

    def finish(self) -> list[Output]:
        """No more audio: `Finished` comes after the last final."""
        self._ending = True
        return [*self.flush(), *self._release()]

    def resolve(self, job: int, outcome: Hypothesis | Exception) -> list[Output]:
        """Take the result of a `Decode`, or the error it failed with; late and unknown ones are ignored."""
        return [*self._recognition.resolve(job, outcome), *self._release()]

    def hear(self, voice: int, spoken: Spoken) -> list[Output]:
        """Take what a streaming session said; late words of one that is gone are ignored."""
        return [*self._recognition.hear(voice, spoken), *self._release()]

    def retry(self) -> list[Output]:
        """See whether there are providers now for the utterances that wait for one."""
        return [*self._recognition.retry(), *self._release()]

    def give_up(self, reason: str) -> list[Output]:
        """Declare the utterances dropped that wait for a provider."""
        self._recognition.give_up(reason)
        return self._release()

    # Speech begins and ends

    def _judge(self, events: Iterable[endpointing.Event]) -> list[Output]:
        outputs: list[Output] = []
        for event in events:
            if isinstance(event, endpointing.SpeechStarted):
                outputs += self._begin(event.start_sample)
            else:
                outputs += self._end(event.span)
        return outputs

    def _begin(self, start_sample: int) -> list[Output]:
        self._open = utterance = Utterance(self._next_utterance, start_sample, start_sample, start_sample)
        self._next_utterance += 1
        started = SpeechStarted(utterance.number, start_sample / SAMPLE_RATE_HZ)
        return [started, *self._recognition.begin(utterance)]

    def _end(self, span: Span) -> list[Output]:
        utterance, self._open = self._open, None
        assert utterance is not None
        utterance.span, utterance.samples = span, self._buffer.read(span)
        self._closing.append(utterance)
        return [*self._recognition.end(utterance, span), *self._shed(), *self._release()]

    def _cut_at(self, sample: int) -> list[Output]:
        return self._judge(self._endpointer.cut(sample))

    def _shed(self) -> list[Output]:
        """Declare the oldest utterances dropped that wait beyond the bound."""
        waiting = [item for item in self._closing if isinstance(item, Utterance) and item.outcome is None]
        excess = sum(utterance.length_samples for utterance in waiting)
        excess -= round(self._options.max_backlog_s * SAMPLE_RATE_HZ)
        outputs: list[Output] = []
        for utterance in waiting[:-1]:
            if excess <= 0:
                break
            excess -= utterance.length_samples
            late = TimeoutError(f"more than {self._options.max_backlog_s:g} s of speech were waiting")
            outputs += self._recognition.drop(utterance, late)
        return outputs

    def _release(self) -> list[Output]:
        """Finals in order, as far as they are known; at the very end, `Finished`."""
        outputs: list[Output] = []
        while self._closing:
            head = self._closing[0]
            if isinstance(head, Gap):
                outputs.append(self._drop(None, head.span, head.reason))
            elif head.outcome is not None:
                outputs.append(self._final(head))
            else:
                break
            self._closing.popleft()
        if self._ending and not self._closing:
            self._ending = False
            outputs.append(Finished(self.account))
        return outputs

    def _final(self, utterance: Utterance) -> Event:
        span, outcome = utterance.span, utterance.outcome
        assert span is not None
        utterance.samples = None
        if not isinstance(outcome, Hypothesis):
            return self._drop(utterance.number, span, str(outcome))
        self._speech_samples += span.length_samples
        decode = self._recognition.decode
        if decode.language == "auto" and outcome.segments:
            self._recognition.decode = replace(decode, language=outcome.language)
        provider = utterance.place.provider if utterance.place else ""
        return Final(utterance.number, merged(outcome, span), span.start_sample, span.end_sample, provider)

    def _drop(self, number: int | None, span: Span, reason: str) -> Dropped:
        self._dropped_samples += span.length_samples
        return Dropped(number, span.start_sample, span.end_sample, reason)
