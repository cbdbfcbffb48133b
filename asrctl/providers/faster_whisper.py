"""faster-whisper (CTranslate2) as an optional second provider, on the same weights.

Its own pipeline is not used (voice activity, batching): windows come as for every windowed provider, the
encoder is fitted to them, and what looks wrong is decoded again with more of it.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from typing import Any, Self

from asrctl.errors import DecodeError, ModelError
from asrctl.languages import is_open
from asrctl.policy.language import POSITIONS
from asrctl.policy.vocabulary import context
from asrctl.policy.window import FULL_AUDIO_CTX, Effort
from asrctl.providers import fitted
from asrctl.providers.base import Aborted, DecodeOptions, ModelSpec
from asrctl.providers.tokens import Token, words_of
from asrctl.transcript import Hypothesis, Samples, Segment

_LANGUAGES_TOLD = 10

_POSITIONS_STEP = 128
"""Only windows with as many positions are decoded together."""


class FasterWhisper:
    """A loaded CTranslate2 model, int8 on the CPU, float16 on CUDA."""

    least_effort = Effort.NORMAL
    """320 positions, which do for drafts of whisper.cpp, make repetition loops here."""

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
                local_files_only=True,
                lanes=spec.parallel,
                together=spec.together,
            )
        except Exception as error:
            raise ModelError(f"{spec.path}: faster-whisper cannot load it ({error})") from None
        self.is_multilingual = bool(self._model.model.is_multilingual)

    def twin(self) -> Self:
        """Another one with the same weights; see `SharedModel`."""
        other = copy.copy(self)
        other._model = self._model.twin()
        return other

    def transcribe(
        self, samples: Samples, options: DecodeOptions, should_abort: Callable[[], bool]
    ) -> Hypothesis:
        """Decode one window; aborts between segments. See `WindowedModel.transcribe`."""
        self._model.should_abort = should_abort
        try:
            return fitted.transcribe(self, samples, options)
        except (RuntimeError, ValueError) as error:
            raise DecodeError(f"faster-whisper failed: {error}") from None

    def languages_of(self, samples: Samples) -> tuple[tuple[str, float], ...]:
        """See `fitted.Whisper`."""
        self._model.positions = POSITIONS
        _, _, shares = self._model.detect_language(samples)
        return tuple((code, float(share)) for code, share in shares[:_LANGUAGES_TOLD])

    def decode(
        self, samples: Samples, options: DecodeOptions, positions: int, most_tokens: int
    ) -> tuple[Hypothesis, int]:
        """See `fitted.Whisper`."""
        self._model.positions = min(FULL_AUDIO_CTX, -(-positions // _POSITIONS_STEP) * _POSITIONS_STEP)
        self._model.most_tokens = most_tokens
        found, info = self._model.transcribe(samples, **self._arguments(options))
        segments, tokens = [], 0
        for segment in found:
            if self._model.should_abort():
                raise Aborted
            tokens += len(segment.tokens)
            if segment.text.strip():
                segments.append(_segment(segment, info.language))
        return Hypothesis(tuple(segments), info.language, 0.0), tokens

    def clock_s(self) -> float:
        """See `fitted.Whisper`."""
        return time.perf_counter() - self._model.others_s

    def _arguments(self, options: DecodeOptions) -> dict[str, Any]:
        told = context(options.prompt, options.vocabulary)
        return {
            "language": None if is_open(options.language) else options.language,
            "task": "translate" if options.translate else "transcribe",
            # Not both: together they could fill the decoder, and leave no room for text.
            "hotwords" if options.vocabulary else "initial_prompt": told or None,
            "beam_size": options.beam_size,
            "temperature": 0.0,
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
