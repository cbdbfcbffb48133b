"""faster-whisper (CTranslate2) as an optional second provider, on the same weights.

Its own pipeline is not used (voice activity, batching): windows come as for every windowed provider, the
encoder is fitted to them, and what looks wrong is decoded again with all of it and the library's fallback.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Self

from asrctl.errors import DecodeError, ModelError
from asrctl.languages import is_open
from asrctl.policy.language import POSITIONS, LanguageBelief, pieces
from asrctl.policy.vocabulary import context
from asrctl.policy.window import (
    FULL_AUDIO_CTX,
    Effort,
    audio_context,
    has_loop,
    is_sayable,
    second_token_budget,
    token_budget,
)
from asrctl.providers.base import Aborted, DecodeOptions, ModelSpec
from asrctl.providers.halves import LEAST_CUT_SAMPLES, decode_in_halves
from asrctl.providers.parts import PartTimer
from asrctl.providers.remainder import decode_whole
from asrctl.providers.repeated import as_spoken
from asrctl.providers.samples import audible, is_wordless
from asrctl.providers.tokens import Token, confidence, is_unsure, tidy, words_of
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, LanguageEvidence, Part, Samples, Segment

_LANGUAGES_TOLD = 10

_MOST_TOKENS = 220
"""What the decoder has room for behind the longest prompt."""


class FasterWhisper:
    """A loaded CTranslate2 model, int8 on the CPU, float16 on CUDA."""

    def __init__(self, spec: ModelSpec) -> None:
        """Load the weights.

        Raises:
            ModelError: CTranslate2 cannot load the directory.
        """
        import ctranslate2

        from asrctl.providers.fitted_whisper import FittedWhisperModel

        self._device = "cuda" if spec.use_gpu and ctranslate2.get_cuda_device_count() > 0 else "cpu"
        self._threads = spec.threads
        try:
            self._model = FittedWhisperModel(
                str(spec.path),
                device=self._device,
                compute_type="float16" if self._device == "cuda" else "int8",
                cpu_threads=max(1, spec.threads // spec.parallel),
                num_workers=spec.parallel,
                local_files_only=True,
            )
        except Exception as error:
            raise ModelError(f"{spec.path}: faster-whisper cannot load it ({error})") from None
        self._multilingual = bool(self._model.model.is_multilingual)
        self._timer = PartTimer()

    def twin(self) -> Self:
        """Another one with the same weights; see `SharedModel`."""
        other = copy.copy(self)
        other._model = copy.copy(self._model)
        return other

    def transcribe(
        self, samples: Samples, options: DecodeOptions, should_abort: Callable[[], bool]
    ) -> Hypothesis:
        """Decode one window; aborts between segments. See `WindowedModel.transcribe`."""
        started = time.perf_counter()
        self._timer = PartTimer()
        effort = Effort(options.effort)
        samples = audible(samples)
        try:
            evidence = (
                self._evidence(samples, options) if self._multilingual and options.wants_evidence else ()
            )
            options = replace(options, language=LanguageBelief(options.language).after(evidence).language)
            decode = partial(self._decode_fitted, options=options, effort=effort, should_abort=should_abort)
            hypothesis = decode_whole(decode, samples) if effort.is_checked else decode(samples)
        except (RuntimeError, ValueError) as error:
            raise DecodeError(f"faster-whisper failed: {error}") from None
        segments = tidy(hypothesis.segments, len(samples) / SAMPLE_RATE_HZ)
        return Hypothesis(
            segments,
            hypothesis.language,
            time.perf_counter() - started,
            evidence=evidence,
            parts_s=self._timer.parts_s,
            is_loop=hypothesis.is_loop,
        )

    def _evidence(self, samples: Samples, options: DecodeOptions) -> tuple[LanguageEvidence, ...]:
        """Which language each utterance is in, unless it is too short or quiet to tell."""
        found = []
        for start, end in pieces(len(samples), options.utterances):
            piece = samples[start:end]
            if is_wordless(piece):
                continue
            self._model.positions = POSITIONS
            with self._timer.timed(Part.LANGUAGE):
                _, _, shares = self._model.detect_language(piece)
            told = tuple((code, float(share)) for code, share in shares[:_LANGUAGES_TOLD])
            found.append(LanguageEvidence(len(piece) / SAMPLE_RATE_HZ, told, start))
        return tuple(found)

    def _decode_fitted(
        self,
        samples: Samples,
        options: DecodeOptions,
        effort: Effort,
        should_abort: Callable[[], bool],
    ) -> Hypothesis:
        if is_wordless(samples):
            return Hypothesis((), options.language, 0.0)
        duration_s = len(samples) / SAMPLE_RATE_HZ
        if effort is Effort.AGAIN:
            return self._decode_loop_free(samples, options, should_abort)
        # Drafts need as much here: 320 positions, which do for whisper.cpp, make repetition loops.
        positions = audio_context(duration_s, max(effort, Effort.NORMAL, key=list(Effort).index))
        with self._timer.timed(self._timer.first_or_rest):
            budget = token_budget(duration_s) if positions < FULL_AUDIO_CTX else None
            hypothesis, tokens = self._decode(samples, options, should_abort, positions, budget)
        if effort.is_checked and (has_loop(hypothesis.text) or tokens >= token_budget(duration_s)):
            decode = partial(self._decode_fitted, options=options, effort=effort, should_abort=should_abort)
            if spoken := as_spoken(hypothesis, samples, decode):
                return spoken
            if effort is Effort.LIGHT and has_loop(hypothesis.text):  # else words are missing
                return replace(hypothesis, is_loop=True)
            return self._decode_loop_free(samples, options, should_abort)
        if effort is Effort.NORMAL and positions < FULL_AUDIO_CTX and is_unsure(hypothesis, duration_s):
            with self._timer.timed(Part.AGAIN):
                again, _ = self._decode(samples, options, should_abort, FULL_AUDIO_CTX, None)
            return max(hypothesis, again, key=confidence)
        return hypothesis

    def _decode_loop_free(
        self, samples: Samples, options: DecodeOptions, should_abort: Callable[[], bool]
    ) -> Hypothesis:
        """Decode with all of the encoder; where that ends in a repetition loop too, in two halves.

        The library's own way out samples at rising temperatures: one window of 14 s took 15 s so, and 3 in
        halves, at the same error (tiny.en int8, one thread, by hand).
        """
        duration_s = len(samples) / SAMPLE_RATE_HZ
        budget = second_token_budget(duration_s)
        with self._timer.timed(Part.AGAIN):
            again, _ = self._decode(samples, options, should_abort, FULL_AUDIO_CTX, budget)
        decode = partial(
            self._decode_fitted, options=options, effort=Effort.NORMAL, should_abort=should_abort
        )
        if spoken := as_spoken(again, samples, decode):
            return spoken
        if len(samples) < LEAST_CUT_SAMPLES or is_sayable(again.text.split(), duration_s):
            return again
        return decode_in_halves(decode, samples)

    def _decode(
        self,
        samples: Samples,
        options: DecodeOptions,
        should_abort: Callable[[], bool],
        positions: int,
        budget: int | None,
    ) -> tuple[Hypothesis, int]:
        """What was heard, and in how many tokens; without a budget with the library's fallback, which decodes
        what looks wrong at rising temperatures."""
        self._model.positions = positions
        once: dict[str, Any] = {}
        if budget is not None:
            once = {"temperature": 0.0, "max_new_tokens": min(budget, _MOST_TOKENS)}
        found, info = self._model.transcribe(samples, **self._arguments(options), **once)
        segments, tokens = [], 0
        for segment in found:
            if should_abort():
                raise Aborted
            tokens += len(segment.tokens)
            if segment.text.strip():
                segments.append(_segment(segment, info.language))
        return Hypothesis(tuple(segments), info.language, 0.0), tokens

    def _arguments(self, options: DecodeOptions) -> dict[str, Any]:
        language = None if is_open(options.language) else options.language
        told = context(options.prompt, options.vocabulary)
        return {
            "language": language if self._multilingual else "en",
            "task": "translate" if options.translate and self._multilingual else "transcribe",
            # Not both: together they could fill the decoder, and leave no room for text.
            "hotwords" if options.vocabulary else "initial_prompt": told or None,
            "beam_size": options.beam_size,
            "word_timestamps": options.word_timestamps,
            "condition_on_previous_text": False,
        }

    def description(self) -> str:
        """Where it runs."""
        return f"{self._device.upper()}, {self._threads} thread{'s' if self._threads > 1 else ''}"

    def close(self) -> None:
        """Free the weights."""
        del self._model


def _segment(segment: Any, language: str) -> Segment:
    # The library parts words at points within them, "28" and ".8".
    pieces = [
        Token(word.word.encode(), word.start, word.end, word.probability) for word in segment.words or ()
    ]
    confidence = math.exp(segment.avg_logprob)
    words = words_of(pieces, language)
    return Segment(segment.start, segment.end, segment.text.strip(), confidence, words)
