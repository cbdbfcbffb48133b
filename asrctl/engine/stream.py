"""One live stream as a state machine: samples and decodes go in, events and requests for decodes come out.

It has no threads, no clock and no pool, so that its every order of events can be tested; `session` is the
shell that runs it. At every moment, to the sample:

    received = finalised speech + judged silence + declared dropped + pending
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from asrctl.engine.buffer import SampleBuffer
from asrctl.engine.events import Dropped, Event, Final, Finished, Partial, SpeechStarted
from asrctl.engine.utterance import Abort, Decode, Gap, Output, Utterance, merged, words_of
from asrctl.policy import endpointing
from asrctl.policy.endpointing import FRAME_SAMPLES, Endpointer, EndpointerOptions, Span
from asrctl.policy.pacing import Pacer, PacingOptions
from asrctl.policy.priority import Kind
from asrctl.policy.window import Effort
from asrctl.providers.base import DecodeOptions
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount, Hypothesis, join_text

_MIN_CUT_S = 2.0
"""An overlong utterance is not cut before this: what is left would be too short to understand."""


class SpeechDetector(Protocol):
    """Probabilities of speech, a frame at a time, such as `SileroVad`."""

    def probabilities(self, samples: NDArray[np.float32]) -> NDArray[np.float32]: ...
    def flush(self) -> NDArray[np.float32]: ...


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How a stream is cut and decoded.

    Attributes:
        decode: How finals are decoded.
        endpointing: How utterances are found; those over `overlong_s` are cut between agreed words.
        pacing: How often partials are made; None for finals only.
        max_backlog_s: Most speech that may wait for its final; the oldest beyond is declared dropped.
    """

    decode: DecodeOptions = field(default_factory=DecodeOptions)
    endpointing: EndpointerOptions = field(default_factory=EndpointerOptions)
    pacing: PacingOptions | None = field(default_factory=PacingOptions)
    max_backlog_s: float = 120.0


class Stream:
    """One stream of audio; see the module's docstring. Not thread-safe.

    Methods return what follows, in order: events for the listener, decodes and aborts for the recogniser.
    """

    def __init__(self, detector: SpeechDetector, options: StreamOptions | None = None) -> None:
        self._options = options or StreamOptions()
        self._decode = self._options.decode
        self._detector = detector
        self._endpointer = Endpointer(self._options.endpointing)
        self._pacer = Pacer(self._options.pacing)
        self._buffer = SampleBuffer()
        self._open: Utterance | None = None
        self._closing: deque[Utterance | Gap] = deque()
        self._jobs: dict[int, Utterance] = {}
        self._next_job = 0
        self._next_utterance = 0
        self._speech_samples = 0
        self._dropped_samples = 0
        self._skipped_samples = 0
        self._ending = False
        self.partials = self._options.pacing is not None
        """Whether partials are shown; may be switched at any time."""

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
    def language(self) -> str:
        """What finals are decoded in; "auto" until the first one showed it."""
        return self._decode.language

    @property
    def pacer(self) -> Pacer:
        """The pace of partials, to be told how long decodes take."""
        return self._pacer

    def feed(self, samples: NDArray[np.float32]) -> list[Output]:
        """Take the next samples, shape (n,), mono float32 at 16 kHz; the array must not change afterwards."""
        self._buffer.append(samples)
        outputs: list[Output] = []
        for probability in self._detector.probabilities(samples):
            outputs += self._judge(self._endpointer.push(float(probability)))
            outputs += self._consider()
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
        utterance = self._jobs.pop(job, None)
        if utterance is None:
            return []
        if utterance.partial and utterance.partial[0] == job:
            _, end_sample = utterance.partial
            utterance.partial = None
            return self._partial(utterance, outcome, end_sample)
        assert utterance.final
        _, span = utterance.final
        utterance.outcome = outcome
        if utterance.span is None:  # a guess that came before the endpoint is certain
            return self._partial(utterance, outcome, span.end_sample)
        return self._release()

    # Speech begins and ends

    def _judge(self, events: Iterable[endpointing.Event]) -> list[Output]:
        outputs: list[Output] = []
        for event in events:
            if isinstance(event, endpointing.SpeechStarted):
                outputs += self._begin(event.start_sample)
            elif isinstance(event, endpointing.SpeechEnded):
                outputs += self._end(event.span)
            elif self._open is not None:
                self._open.overlong = True
        return outputs

    def _begin(self, start_sample: int) -> list[Output]:
        self._open = Utterance(self._next_utterance, start_sample, start_sample, start_sample)
        self._next_utterance += 1
        return [SpeechStarted(self._open.number, start_sample / SAMPLE_RATE_HZ)]

    def _end(self, span: Span) -> list[Output]:
        """The open utterance is complete: take the guess at its final if it was right, else decode it."""
        utterance, self._open = self._open, None
        assert utterance is not None
        utterance.span = span
        self._closing.append(utterance)
        outputs = self._abort_partial(utterance)
        guessed = utterance.final is not None and utterance.final[1] == span
        if not guessed or isinstance(utterance.outcome, Exception):
            outputs += self._decode_final(utterance, span)
        return [*outputs, *self._shed(), *self._release()]

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
            outputs += self._abort_final(utterance)
            utterance.outcome = TimeoutError(
                f"more than {self._options.max_backlog_s:g} s of speech were waiting"
            )
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
        if not isinstance(outcome, Hypothesis):
            return self._drop(utterance.number, span, str(outcome))
        self._speech_samples += span.length_samples
        if self._decode.language == "auto" and outcome.segments:
            self._decode = replace(self._decode, language=outcome.language)
        return Final(utterance.number, merged(outcome, span), span.start_sample, span.end_sample)

    def _drop(self, number: int | None, span: Span, reason: str) -> Dropped:
        self._dropped_samples += span.length_samples
        return Dropped(number, span.start_sample, span.end_sample, reason)

    # Partials and guesses

    def _consider(self) -> list[Output]:
        """After each frame: cut what is overlong, guess at a final in a pause, or ask for a partial."""
        utterance = self._open
        if utterance is None:
            return []
        span = self._endpointer.open_span
        assert span is not None
        silence_s = self._endpointer.trailing_silence_samples / SAMPLE_RATE_HZ
        if self._options.pacing and self._pacer.may_speculate(silence_s):
            if utterance.final is None or utterance.final[1] != span:
                utterance.heard_sample = span.end_sample
                return [*self._abort_partial(utterance), *self._decode_final(utterance, span)]
            return []
        wanted = self.partials or utterance.overlong  # which needs runs to agree on where to cut it
        now_sample = self._endpointer.account.received_samples
        new_samples = now_sample - utterance.heard_sample
        spoken_samples = now_sample - utterance.start_sample
        due = self._pacer.is_due(spoken_samples / SAMPLE_RATE_HZ, new_samples / SAMPLE_RATE_HZ)
        if not (wanted and due) or utterance.partial or silence_s > 0 or self._is_guessing(utterance):
            return []
        return [self._request_partial(utterance, Span(utterance.start_sample, now_sample))]

    def _is_guessing(self, utterance: Utterance) -> bool:
        return utterance.final is not None and utterance.final[0] in self._jobs

    def _partial(
        self, utterance: Utterance, outcome: Hypothesis | Exception, end_sample: int
    ) -> list[Output]:
        """Show what a run over the open utterance made of it; one that failed, or made way, is made again."""
        if utterance is not self._open:
            return []
        if not isinstance(outcome, Hypothesis):
            utterance.heard_sample = utterance.shown_sample
            return []
        utterance.shown_sample = end_sample
        agreement = utterance.prefix.update(words_of(outcome))
        outputs = self._cut(utterance) if utterance.overlong else []
        if not self.partials or outputs:
            return outputs
        utterance.revision += 1
        return [
            Partial(
                utterance.number,
                utterance.revision,
                utterance.start_sample / SAMPLE_RATE_HZ,
                end_sample / SAMPLE_RATE_HZ,
                join_text(word.text for word in agreement.stable),
                join_text(word.text for word in agreement.unstable),
            )
        ]

    def _cut(self, utterance: Utterance) -> list[Output]:
        """End an overlong utterance after the last word that successive runs agreed on, if there is one."""
        boundary_s = utterance.prefix.boundary_s
        if boundary_s is None or boundary_s < _MIN_CUT_S:
            return []
        at_sample = utterance.start_sample + round(boundary_s * SAMPLE_RATE_HZ)
        return self._judge(self._endpointer.cut(min(at_sample, self._endpointer.account.received_samples)))

    # Decodes

    def _request_partial(self, utterance: Utterance, span: Span) -> Decode:
        options = replace(self._decode, word_timestamps=True, beam_size=1, effort=Effort.DRAFT)
        decode = self._request(utterance, Kind.PARTIAL, span, options)
        utterance.partial = (decode.job, span.end_sample)
        utterance.heard_sample = span.end_sample
        return decode

    def _decode_final(self, utterance: Utterance, span: Span) -> list[Output]:
        outputs = self._abort_final(utterance)
        decode = self._request(utterance, Kind.FINAL, span, replace(self._decode, word_timestamps=True))
        utterance.final, utterance.outcome = (decode.job, span), None
        return [*outputs, decode]

    def _request(self, utterance: Utterance, kind: Kind, span: Span, options: DecodeOptions) -> Decode:
        self._next_job += 1
        self._jobs[self._next_job] = utterance
        return Decode(self._next_job, kind, utterance.number, self._buffer.read(span), options)

    def _abort_partial(self, utterance: Utterance) -> list[Output]:
        if utterance.partial is None:
            return []
        job, _ = utterance.partial
        utterance.partial = None
        return [Abort(job)] if self._jobs.pop(job, None) else []

    def _abort_final(self, utterance: Utterance) -> list[Output]:
        if utterance.final is None:
            return []
        job, _ = utterance.final
        utterance.final = None
        return [Abort(job)] if self._jobs.pop(job, None) else []
