"""Who recognises the utterances of one stream: it asks providers, follows what they say, and hands on.

An utterance is with one provider at a time, as the `Placer` says when it begins. A windowed one decodes it
whole when it has ended, and parts of it before for partials; a streaming one is fed its samples as they come.
If that provider fails, the next takes the utterance up from its first sample, which is kept until its final.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from asrctl.engine.streamed import Alone, Placer, Voices
from asrctl.engine.utterance import Complete, Output, Place, Utterance, words_of
from asrctl.engine.windowed import Windows
from asrctl.errors import ProviderError
from asrctl.policy.cutting import Cutter
from asrctl.policy.endpointing import Endpointer, EndpointerOptions, Span
from asrctl.policy.pacing import Pacer, PacingOptions
from asrctl.policy.shown import Shown
from asrctl.providers.base import DecodeOptions, Heard, Lost, Spoken
from asrctl.stream.buffer import SampleBuffer
from asrctl.stream.events import Partial, ProviderChanged
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Recognition:
    """Belongs to a `Stream`, and looks at its buffer and endpointer; utterances get their outcome here."""

    def __init__(
        self,
        decode: DecodeOptions,
        endpointing: EndpointerOptions,
        pacing: PacingOptions | None,
        buffer: SampleBuffer,
        endpointer: Endpointer,
        cut_at: Callable[[int], list[Output]],
    ) -> None:
        """With no utterance.

        Args:
            decode: How finals are decoded.
            endpointing: How long utterances may get.
            pacing: How often partials are made by windows; None for not at all.
            buffer: Holds what the open utterance says.
            endpointer: Knows how far it goes.
            cut_at: Ends the open utterance at a sample, and says what follows.
        """
        self.decode = decode
        """How finals are decoded; may change."""
        self._endpointing = endpointing
        self._pacing = pacing
        self._buffer = buffer
        self._endpointer = endpointer
        self._cut_at = cut_at
        self.pacer = Pacer(pacing)
        self.placer: Placer = Alone()
        """Who takes the utterances; to be set before the first."""
        self.partials = pacing is not None
        """Whether partials are shown; may be switched at any time."""
        self.waiting: list[Utterance] = []
        """Utterances that nobody has taken yet."""
        self._cutter = Cutter(endpointing)
        self._windows = Windows()
        self._voices = Voices()
        self._open: Utterance | None = None
        self._provider: str | None = None

    @property
    def provider(self) -> str:
        """Who takes the utterances now."""
        return self.placer.first if self._provider is None else self._provider

    # Utterances

    def begin(self, utterance: Utterance) -> list[Output]:
        """An utterance has begun: somebody takes it."""
        self._open = utterance
        self._cutter = Cutter(self._endpointing)
        placed = [*self.retry(), *self._place(utterance)]
        return [*placed, *self._voices.rest(self.provider)]

    def end(self, utterance: Utterance, span: Span) -> list[Output]:
        """The open utterance is complete: all of it goes to its provider, if that did not guess it before."""
        self._open = None
        outputs = self._windows.stop_partial(utterance)
        if utterance.voice is not None:
            outputs += self._end_streamed(utterance, utterance.voice)
        elif utterance.place is not None:
            guessed = utterance.final is not None and utterance.final[1] == span
            if not guessed or isinstance(utterance.outcome, Exception):
                outputs += self._decode_final(utterance, span)
        return [*outputs, *self.retry()]  # a session may be free now

    def _end_streamed(self, utterance: Utterance, voice: int) -> list[Output]:
        assert utterance.span is not None
        if utterance.fed_sample > utterance.span.end_sample:
            return self._lose(voice, ProviderError("it was fed more than the utterance"))
        rest = self._buffer.read(Span(utterance.fed_sample, utterance.span.end_sample))
        return [*self._voices.feed(utterance, rest), Complete(voice)]

    def drop(self, utterance: Utterance, reason: Exception) -> list[Output]:
        """Give up an utterance that has ended."""
        utterance.outcome = reason
        if utterance in self.waiting:
            self.waiting.remove(utterance)
        return self._windows.stop_final(utterance)

    # Answers

    def resolve(self, job: int, outcome: Hypothesis | Exception) -> list[Output]:
        """Take the result of a `Decode`, or the error it failed with; late and unknown ones are ignored."""
        utterance = self._windows.take(job)
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
        if not isinstance(outcome, Exception):
            return []
        assert utterance.place is not None
        self.placer.failed(utterance.place, outcome)
        return self._hand_on(utterance, outcome)

    def hear(self, voice: int, spoken: Spoken) -> list[Output]:
        """Take what a streaming session said; late words of one that is gone are ignored."""
        if voice not in self._voices:
            return []
        if isinstance(spoken, Lost):
            return self._lose(voice, spoken.error)
        if isinstance(spoken, Heard):
            head = self._voices.head(voice)
            return self._grow(head, spoken.text) if head is not None else []
        utterance = self._voices.complete(voice)
        if utterance is None:
            return self._lose(voice, ProviderError("it completed an utterance that had not ended"))
        if utterance.outcome is None:
            utterance.outcome = spoken.hypothesis
        return []

    # Who recognises it

    def retry(self) -> list[Output]:
        """See whether there are providers now for the utterances that wait for one."""
        outputs: list[Output] = []
        for utterance in list(self.waiting):
            outputs += self._place(utterance)
        return outputs

    def give_up(self, reason: str) -> None:
        """Let the utterances go that wait for a provider."""
        for utterance in self.waiting:
            utterance.outcome = utterance.error or ProviderError(reason)
        self.waiting.clear()

    def _place(self, utterance: Utterance) -> list[Output]:
        """Give an utterance to a provider, from its first sample on; where there is none now, it waits."""
        if self.placer.is_hopeless(utterance.failures):
            utterance.outcome = utterance.error
            return []
        place = self.placer.place(utterance.failures, self.decode)
        if place is None or (place.voice is not None and self._voices.is_busy(place.voice)):
            if utterance not in self.waiting:
                self.waiting.append(utterance)
            return []
        if utterance in self.waiting:
            self.waiting.remove(utterance)
        utterance.place = place
        outputs = self._announce(utterance, place)
        if place.voice is not None:
            return [*outputs, *self._voices.take(utterance, place, self._audio_of(utterance))]
        if utterance.span is not None:
            outputs += self._decode_final(utterance, utterance.span)
        return outputs

    def _announce(self, utterance: Utterance, place: Place) -> list[Output]:
        if place.provider == self.provider:
            return []
        self._provider = place.provider
        reason = str(utterance.error or place.reason) or "it can be used again"
        return [ProviderChanged(place.provider, reason)]

    def _audio_of(self, utterance: Utterance) -> NDArray[np.float32]:
        """What there is of an utterance, the pause at its end left out."""
        if utterance.samples is not None:
            return utterance.samples
        span = self._endpointer.open_span
        if span is None or span.start_sample != utterance.start_sample:  # it ends in this very moment
            span = Span(utterance.start_sample, utterance.start_sample)
        return self._buffer.read(span)

    def _lose(self, voice: int, error: ProviderError) -> list[Output]:
        """A streaming session broke: others take up what it had not completed."""
        place, utterances = self._voices.lose(voice)
        self.placer.failed(place, error)
        outputs: list[Output] = []
        for utterance in utterances:
            if utterance.outcome is None:
                outputs += self._hand_on(utterance, error)
        return outputs

    def _hand_on(self, utterance: Utterance, error: Exception) -> list[Output]:
        utterance.leave(error)
        return self._place(utterance)

    # While it is spoken

    def consider(self, probability: float) -> list[Output]:
        """After each frame: see whether the open utterance is to be cut, or something to be decoded of it."""
        utterance = self._open
        if utterance is None:
            return []
        span = self._endpointer.open_span
        assert span is not None
        length_samples = self._endpointer.account.received_samples - utterance.start_sample
        if self._cutter.push(probability, length_samples / SAMPLE_RATE_HZ):
            return self._cut_at(span.end_sample)
        if utterance.place is None or utterance.voice is not None:
            return []
        return self._consider_windows(utterance, span)

    def pass_on(self) -> list[Output]:
        """Feed a streaming session what is new of the open utterance."""
        utterance, span = self._open, self._endpointer.open_span
        if utterance is None or utterance.voice is None or span is None:
            return []
        if span.end_sample <= utterance.fed_sample:
            return []
        return self._voices.feed(utterance, self._buffer.read(Span(utterance.fed_sample, span.end_sample)))

    def _grow(self, utterance: Utterance, piece: str) -> list[Output]:
        """Show what a streaming session has heard; a word is settled once something follows it."""
        utterance.text += piece
        if not self.partials or utterance.outcome is not None or self._open not in (None, utterance):
            return []
        spoken_samples = utterance.fed_sample - utterance.start_sample
        new_samples = utterance.fed_sample - utterance.shown_sample
        if not self.pacer.may_show(spoken_samples / SAMPLE_RATE_HZ, new_samples / SAMPLE_RATE_HZ):
            return []
        words = utterance.text.split()
        settled = len(words) - (not utterance.text[-1:].isspace())
        shown = utterance.shown.update(words[: max(0, settled)], words[max(0, settled) :])
        if not any(shown):
            return []
        utterance.shown_sample = utterance.fed_sample
        return self._show(utterance, utterance.fed_sample, shown)

    def _show(self, utterance: Utterance, end_sample: int, shown: Shown) -> list[Output]:
        utterance.revision += 1
        return [
            Partial(
                utterance.number,
                utterance.revision,
                utterance.start_sample / SAMPLE_RATE_HZ,
                end_sample / SAMPLE_RATE_HZ,
                shown.stable,
                shown.unstable,
            )
        ]

    # By windows: partials and guesses

    def _consider_windows(self, utterance: Utterance, span: Span) -> list[Output]:
        """Guess at a final in a pause, or ask for a partial."""
        silence_s = self._endpointer.trailing_silence_samples / SAMPLE_RATE_HZ
        if self._pacing and self.pacer.may_speculate(silence_s):
            if utterance.final is None or utterance.final[1] != span:
                utterance.heard_sample = span.end_sample
                return [*self._windows.stop_partial(utterance), *self._decode_final(utterance, span)]
            return []
        now_sample = self._endpointer.account.received_samples
        new_samples = now_sample - utterance.heard_sample
        spoken_samples = now_sample - utterance.start_sample
        due = self.pacer.is_due(spoken_samples / SAMPLE_RATE_HZ, new_samples / SAMPLE_RATE_HZ)
        busy = utterance.partial or self._windows.is_guessing(utterance)
        if not (self.partials and due) or busy or silence_s > 0:
            return []
        samples = self._buffer.read(Span(utterance.start_sample, now_sample))
        return self._windows.ask_partial(utterance, samples, now_sample, self.decode)

    def _decode_final(self, utterance: Utterance, span: Span) -> list[Output]:
        samples = utterance.samples if utterance.samples is not None else self._buffer.read(span)
        return self._windows.ask_final(utterance, samples, span, self.decode)

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
        if not self.partials:
            return []
        shown = utterance.shown.update(
            [word.text for word in agreement.stable], [word.text for word in agreement.unstable]
        )
        return self._show(utterance, end_sample, shown)
