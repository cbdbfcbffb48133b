"""A window through Whisper, with as much of the encoder as it needs; what looks wrong is decoded again.

The ways out that the libraries have of what looks wrong, sampling at rising temperatures, are not used: the
same audio had eleven texts in twenty decodes of whisper.cpp, the same file three in three of faster-whisper,
which took up to 4 s for a window of 9 s (tiny.en, by hand).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from asrctl.policy.language import LanguageBelief, pieces
from asrctl.policy.window import (
    Effort,
    audio_context,
    has_loop,
    is_sayable,
    second_token_budget,
    token_budget,
)
from asrctl.providers.base import DecodeOptions
from asrctl.providers.halves import LEAST_CUT_SAMPLES, decode_in_halves
from asrctl.providers.parts import PartTimer
from asrctl.providers.remainder import decode_whole
from asrctl.providers.repeated import as_spoken
from asrctl.providers.samples import audible, is_wordless
from asrctl.providers.tokens import confidence, is_unsure, tidy
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, LanguageEvidence, Part, Samples

_SHORTEST_S = 1.05
"""whisper.cpp pads shorter windows to this: no budget of tokens is for less."""


class Whisper(Protocol):
    """A library that runs Whisper's weights.

    Attributes:
        is_multilingual: Whether the weights know more than English.
        least_effort: With less than this it makes repetition loops.
    """

    is_multilingual: bool
    least_effort: Effort

    def languages_of(self, samples: Samples) -> tuple[tuple[str, float], ...]:
        """The likeliest languages with their probabilities, the first the likeliest."""
        ...

    def clock_s(self) -> float:
        """A clock that stands still while this thread's work waits for others'."""
        ...

    def decode(
        self, samples: Samples, options: DecodeOptions, positions: int, most_tokens: int
    ) -> tuple[Hypothesis, int]:
        """What some samples say, and in how many tokens.

        Args:
            samples: Shape (n,), mono float32 at 16 kHz.
            options: How to decode.
            positions: Of the encoder; it may take a few more.
            most_tokens: What it may take.
        """
        ...


def transcribe(whisper: Whisper, samples: Samples, options: DecodeOptions) -> Hypothesis:
    """Decode one window, shape (n,), mono float32 at 16 kHz.

    Unless it is a draft, a decode that fills its token budget, repeats itself or is unsure throughout is done
    again with more of the encoder and, should it end in a repetition loop there too, in ever smaller parts.
    With LIGHT effort only the first is, and a loop is told of. What a decode leaves over at the end is
    decoded too.

    Raises:
        Aborted: The library was told to stop.
        DecodeError: The library reported a failure.
    """
    started_s = whisper.clock_s()
    timer = PartTimer(whisper.clock_s)
    samples = audible(samples)
    evidence = _evidence(whisper, samples, options, timer)
    if whisper.is_multilingual:
        options = replace(options, language=LanguageBelief(options.language).after(evidence).language)
    else:
        options = replace(options, language="en", translate=False)
    window = _Window(whisper, options, timer)
    decode = partial(window.decode, effort=Effort(options.effort))
    hypothesis = decode_whole(decode, samples) if Effort(options.effort).is_checked else decode(samples)
    return Hypothesis(
        segments=tidy(hypothesis.segments, len(samples) / SAMPLE_RATE_HZ),
        language=hypothesis.language,
        inference_s=whisper.clock_s() - started_s,
        evidence=evidence,
        parts_s=timer.parts_s,
        is_loop=hypothesis.is_loop,
    )


def _evidence(
    whisper: Whisper, samples: Samples, options: DecodeOptions, timer: PartTimer
) -> tuple[LanguageEvidence, ...]:
    """Which language each utterance is in, if that is asked, unless it is too short or quiet to tell."""
    if not (whisper.is_multilingual and options.wants_evidence):
        return ()
    found = []
    for start, end in pieces(len(samples), options.utterances):
        piece = samples[start:end]
        if is_wordless(piece):
            continue
        with timer.timed(Part.LANGUAGE):
            probabilities = whisper.languages_of(piece)
        found.append(LanguageEvidence(len(piece) / SAMPLE_RATE_HZ, probabilities, start))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Window:
    """How the parts of one window are decoded."""

    whisper: Whisper
    options: DecodeOptions
    timer: PartTimer

    def decode(self, samples: Samples, effort: Effort) -> Hypothesis:
        if is_wordless(samples):
            return Hypothesis((), self.options.language, 0.0)
        if effort is Effort.AGAIN:
            return self._loop_free(samples)
        duration_s = len(samples) / SAMPLE_RATE_HZ
        budget = token_budget(max(duration_s, _SHORTEST_S))
        fitted = max(effort, self.whisper.least_effort, key=list(Effort).index)
        positions, more = audio_context(duration_s, fitted), audio_context(duration_s, Effort.AGAIN)
        with self.timer.timed(self.timer.first_or_rest):
            hypothesis, tokens = self._once(samples, positions, budget)
        if effort is Effort.DRAFT:
            return hypothesis
        if tokens >= budget or has_loop(hypothesis.text):
            if spoken := as_spoken(hypothesis, samples, partial(self.decode, effort=effort)):
                return spoken
            if effort is Effort.LIGHT and has_loop(hypothesis.text):  # else words are missing
                return replace(hypothesis, is_loop=True)
            return self._loop_free(samples)
        if effort is Effort.NORMAL and positions < more and is_unsure(hypothesis, duration_s):
            with self.timer.timed(Part.AGAIN):
                again, tokens = self._once(samples, more, budget)
            if tokens < budget and not has_loop(again.text):  # of a loop Whisper is sure
                return max(hypothesis, again, key=confidence)
        return hypothesis

    def _loop_free(self, samples: Samples) -> Hypothesis:
        """With more of the encoder; where that ends in a repetition loop too, in ever smaller parts."""
        if is_wordless(samples):
            return Hypothesis((), self.options.language, 0.0)
        duration_s = len(samples) / SAMPLE_RATE_HZ
        positions, budget = audio_context(duration_s, Effort.AGAIN), second_token_budget(duration_s)
        part = Part.FALLBACK if Part.AGAIN in self.timer.parts_s else Part.AGAIN
        with self.timer.timed(part):
            heard, tokens = self._once(samples, positions, budget)
        if tokens < budget and not has_loop(heard.text):
            return heard
        if spoken := as_spoken(heard, samples, self._loop_free):
            return spoken
        if len(samples) < LEAST_CUT_SAMPLES or is_sayable(heard.text.split(), duration_s):
            return heard
        return decode_in_halves(self._loop_free, samples)

    def _once(self, samples: Samples, positions: int, most_tokens: int) -> tuple[Hypothesis, int]:
        return self.whisper.decode(samples, self.options, positions, most_tokens)
