"""One live stream as a state machine: samples and recognised text go in, events and commands come out.

It has no tasks, no clock and no recogniser, so that its every order of events can be tested; `session` is the
shell that runs it. At every moment, to the sample:

    received = finalised speech + judged silence + declared dropped + pending
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from asrctl.errors import ProviderError
from asrctl.events import (
    Dropped,
    Event,
    Final,
    Finished,
    Flushed,
    ProviderChanged,
    SpeechEnded,
    SpeechStarted,
)
from asrctl.languages import is_open
from asrctl.policy import endpointing
from asrctl.policy.cutting import Cutter
from asrctl.policy.end_of_turn import TurnOptions
from asrctl.policy.endpointing import FRAME_SAMPLES, Endpointer, EndpointerOptions, Span
from asrctl.policy.pacing import Pacer, PacingOptions
from asrctl.providers.base import DecodeOptions
from asrctl.providers.recognizer import Completed, Heard, Lost, Spoken, Switched
from asrctl.streaming.buffer import SampleBuffer
from asrctl.streaming.commands import Command, Drop, End, Feed, Pause
from asrctl.streaming.pauses import Pauses
from asrctl.streaming.utterance import FlushMark, Gap, Utterance, merged
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount, Hypothesis, Samples


class SpeechDetector(Protocol):
    """Probabilities of speech, a frame at a time, such as `SileroVad`."""

    def probabilities(self, samples: Samples) -> NDArray[np.float32]: ...
    def flush(self) -> NDArray[np.float32]: ...


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How a stream is cut and decoded.

    Attributes:
        decode: How finals are decoded.
        endpointing: How utterances are found; those over `overlong_s` are cut where it is quiet.
        pacing: How often partials are made; None for finals only.
        max_backlog_s: Most speech that may wait for its final; the oldest beyond is declared dropped.
        turn: How pauses are heard; None where all are alike.
    """

    decode: DecodeOptions = field(default_factory=DecodeOptions)
    endpointing: EndpointerOptions = field(default_factory=EndpointerOptions)
    pacing: PacingOptions | None = field(default_factory=PacingOptions)
    max_backlog_s: float = 120.0
    turn: TurnOptions | None = None


Output = Event | Command


class Stream:
    """One stream of audio; see the module's docstring.

    Methods return what follows, in order: events for the listener, commands for the recogniser. Utterances
    are numbered from 0, as the recogniser numbers them.
    """

    def __init__(self, detector: SpeechDetector, options: StreamOptions | None = None) -> None:
        self._options = options or StreamOptions()
        self._detector = detector
        self._endpointer = Endpointer(self._options.endpointing)
        self._cutter = Cutter(self._options.endpointing)
        self._pacer = Pacer(self._options.pacing)
        self._buffer = SampleBuffer()
        self.pauses = Pauses(self._options.turn, self._endpointer, self._buffer)
        self._open: Utterance | None = None
        self._closing: deque[Utterance | Gap | FlushMark] = deque()
        self._next_utterance = 0
        self._speech_samples = self._dropped_samples = self._skipped_samples = 0
        self._ending = False
        self._lost: ProviderError | None = None
        self._shows_partials = self._options.pacing is not None
        self.language = self._options.decode.language
        """What the last final was in; what was asked for until there is one."""
        self.overlong_s = math.inf
        """Utterances to come are cut from this length on where it is quiet; the options' own may be less."""
        self.provider = ""
        """Who recognised the last final."""

    def show_partials(self, interval_factor: float | None) -> None:
        """Show partials so many times rarer than the options say; None or infinity for not at all."""
        wanted = interval_factor not in (None, math.inf)
        self._shows_partials = wanted and self._options.pacing is not None
        if interval_factor is not None:
            self._pacer.factor = interval_factor

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
        return self._closing[0].start_sample if self._closing else self._endpointer.settled_sample

    @property
    def awaits_finals(self) -> bool:
        """Whether an utterance has ended and its final has not come."""
        return bool(self._closing)

    def feed(self, samples: Samples) -> list[Output]:
        """Take the next samples, shape (n,), mono float32 at 16 kHz; the array must not change afterwards."""
        self._buffer.append(samples)
        outputs: list[Output] = []
        for probability in self._detector.probabilities(samples):
            outputs += self._judge(self._endpointer.push(float(probability)))
            outputs += self._cut_if_overlong(float(probability))
        outputs += self._pass_on()
        self._buffer.forget(self._keep_from_sample())
        return outputs

    def flush(self) -> list[Output]:
        """End what is open; `Flushed` follows the last final of everything received so far."""
        outputs = self._end_speech()
        self._closing.append(FlushMark(self._buffer.end_sample))
        return [*outputs, *self._release()]

    def _end_speech(self) -> list[Output]:
        """End what is open: a final will come for everything received so far."""
        outputs: list[Output] = []
        for probability in self._detector.flush():
            rest = self._buffer.end_sample - self._endpointer.account.received_samples
            outputs += self._judge(self._endpointer.push(float(probability), rest))
        outputs += self._judge(self._endpointer.flush(), paused=False)
        self._buffer.forget(self._endpointer.settled_sample)
        return outputs

    def skip(self, count: int, reason: str) -> list[Output]:
        """Declare that the next `count` samples were lost before they came here; time goes on."""
        outputs = self._end_speech()
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
        return [*self._end_speech(), *self._release()]

    def hear(self, spoken: Spoken) -> list[Output]:
        """Take what the recogniser said; what it says of an utterance that is over is ignored."""
        if isinstance(spoken, Switched):
            return [ProviderChanged(spoken.provider, spoken.reason)]
        if isinstance(spoken, Heard):
            return self._show(spoken)
        outcome = spoken.hypothesis if isinstance(spoken, Completed) else spoken.error
        if isinstance(spoken, Lost):  # nothing will come of what has ended, nor of what is still to end
            self._lost = spoken.error
        for item in self._waiting:
            if self._lost or spoken.utterance == item.number:
                item.outcome = outcome
        return self._release()

    # Speech begins and ends

    def _judge(self, events: Sequence[endpointing.Event], *, paused: bool = True) -> list[Output]:
        outputs: list[Output] = []
        for event in events:
            if isinstance(event, endpointing.SpeechStarted):
                outputs += self._begin(event.start_sample)
            else:
                outputs += self._end(event.span, paused and event is events[-1])  # else it was cut
        return outputs

    def _begin(self, start_sample: int) -> list[Output]:
        self._open = utterance = Utterance(self._next_utterance, start_sample)
        self._next_utterance += 1
        self._cutter = Cutter(self._options.endpointing, self.overlong_s)
        return [SpeechStarted(utterance.number, start_sample / SAMPLE_RATE_HZ)]

    def _cut_if_overlong(self, probability: float) -> list[Output]:
        """End an utterance that has become too long at a frame where it is quiet."""
        utterance, span = self._open, self._endpointer.open_span
        if utterance is None or span is None:
            return []
        length_samples = self._endpointer.account.received_samples - utterance.start_sample
        if not self._cutter.push(probability, length_samples / SAMPLE_RATE_HZ):
            return []
        return self._judge(self._endpointer.cut(span.end_sample), paused=False)

    def _pass_on(self) -> list[Output]:
        """Feed the recogniser what is new of the open utterance, up to the pause it may be in."""
        utterance, span = self._open, self._endpointer.open_span
        if utterance is None or span is None:
            return []
        outputs = self._feed_up_to(utterance, span.end_sample)
        if silence_samples := self._endpointer.trailing_silence_samples:
            outputs += [Pause(silence_samples / SAMPLE_RATE_HZ), *self.pauses.ask(utterance.start_sample)]
        return outputs

    def hear_turn(self, pause_sample: int, probability: float) -> list[Output]:
        """Take the answer to an `AskTurn`: with this probability, what was said before is finished."""
        return self._judge(self.pauses.hear(pause_sample, probability))

    def _feed_up_to(self, utterance: Utterance, end_sample: int) -> list[Output]:
        if end_sample <= utterance.fed_sample:
            return []
        samples = self._buffer.read(Span(utterance.fed_sample, end_sample))
        utterance.fed_sample = end_sample
        return [] if self._lost else [Feed(samples)]

    def _keep_from_sample(self) -> int:
        """Audio before it is with the recogniser, or is needed by nobody."""
        settled_sample = self._endpointer.settled_sample
        if self._open is None or self._endpointer.open_span is None:
            return settled_sample
        return max(settled_sample, min(self._open.fed_sample, self.pauses.needed_sample))

    def _end(self, span: Span, paused: bool) -> list[Output]:
        utterance, self._open = self._open, None
        assert utterance is not None and utterance.fed_sample <= span.end_sample
        outputs = [*self._feed_up_to(utterance, span.end_sample), End()]
        utterance.span, utterance.outcome = span, self._lost
        self._closing.append(utterance)
        ended = SpeechEnded(utterance.number, span.end_sample / SAMPLE_RATE_HZ, paused)
        return [*outputs, ended, *self._shed(), *self._release()]

    @property
    def _waiting(self) -> list[Utterance]:
        """Utterances that have ended and whose finals have not come, the oldest first."""
        return [item for item in self._closing if isinstance(item, Utterance) and item.outcome is None]

    @property
    def waiting_sample(self) -> int | None:
        """The end of the utterance that has waited longest for its final; None if none waits."""
        return next((item.span.end_sample for item in self._waiting if item.span), None)

    def shed(self, before_sample: int, reason: str) -> list[Output]:
        """Give up the utterances that ended by then and still wait; they are declared dropped."""
        late = [each for each in self._waiting if each.span and each.span.end_sample <= before_sample]
        return [*self._give_up(late, reason), *self._release()]

    def discard(self, reason: str, *, open_only: bool) -> list[Output]:
        """Drop what came since the last flush and is not final, or only the utterance that is open.

        `Flushed` follows once all of it is answered for.
        """
        ended = list(self._closing)
        marks = [at for at, item in enumerate(ended) if isinstance(item, FlushMark)]
        kept = ended if open_only else ended[: marks[-1] + 1] if marks else []
        outputs = [each for each in self._end_speech() if not isinstance(each, SpeechEnded)]
        unwanted = [each for each in self._waiting if each not in kept]
        self._closing.append(FlushMark(self._buffer.end_sample))
        return [*outputs, *self._give_up(unwanted, reason), *self._release()]

    def _give_up(self, utterances: list[Utterance], reason: str) -> list[Output]:
        for utterance in utterances:
            utterance.outcome = TimeoutError(reason)
        return [Drop(utterance.number) for utterance in utterances]

    def _shed(self) -> list[Output]:
        """Give up the oldest utterances that wait beyond the bound."""
        excess = sum(each.length_samples for each in self._waiting)
        excess -= round(self._options.max_backlog_s * SAMPLE_RATE_HZ)
        oldest: list[Utterance] = []
        for utterance in self._waiting[:-1]:
            if excess <= 0:
                break
            excess -= utterance.length_samples
            oldest.append(utterance)
        return self._give_up(oldest, f"more than {self._options.max_backlog_s:g} s of speech were waiting")

    # What was heard

    def _show(self, heard: Heard) -> list[Output]:
        """Show what an utterance seems to say, unless a later one has begun or it was shown just now."""
        utterance = self._open or (self._closing[-1] if self._closing else None)
        if not isinstance(utterance, Utterance) or utterance.number != heard.utterance:
            return []
        if not self._shows_partials or utterance.outcome is not None:
            return []
        new_samples = heard.samples - utterance.shown_samples
        if not self._pacer.may_show(heard.samples / SAMPLE_RATE_HZ, new_samples / SAMPLE_RATE_HZ):
            return []
        partial = utterance.show(heard)
        return [partial] if partial else []

    def _release(self) -> list[Output]:
        """Finals in order, as far as they are known; at the very end, `Finished`."""
        outputs: list[Output] = []
        while self._closing:
            head = self._closing[0]
            if isinstance(head, FlushMark):
                outputs.append(Flushed(head.start_sample))
            elif isinstance(head, Gap):
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
        self.provider = outcome.provider
        if outcome.segments and is_open(self._options.decode.language):
            self.language = outcome.language
        return Final(utterance.number, merged(outcome, span), *span, outcome.provider, outcome.language)

    def _drop(self, number: int | None, span: Span, reason: str) -> Dropped:
        self._dropped_samples += span.length_samples
        return Dropped(number, span.start_sample, span.end_sample, reason)
