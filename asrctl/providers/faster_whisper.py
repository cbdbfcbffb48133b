"""faster-whisper (CTranslate2) as an optional second provider, on the same weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from asrctl.errors import DecodeError, ModelError
from asrctl.policy.window import loop_free
from asrctl.providers.base import Aborted, DecodeOptions, ModelSpec
from asrctl.transcript import Hypothesis, Segment, Word

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class FasterWhisper:
    """A loaded CTranslate2 model, int8 on the CPU, float16 on CUDA."""

    def __init__(self, spec: ModelSpec) -> None:
        """Load the weights.

        Raises:
            ModelError: CTranslate2 cannot load the directory.
        """
        import ctranslate2
        from faster_whisper import WhisperModel

        self._device = "cuda" if spec.use_gpu and ctranslate2.get_cuda_device_count() > 0 else "cpu"
        self._threads = spec.threads
        try:
            self._model = WhisperModel(
                str(spec.path),
                device=self._device,
                compute_type="float16" if self._device == "cuda" else "int8",
                cpu_threads=spec.threads,
                local_files_only=True,
            )
        except Exception as error:
            raise ModelError(f"{spec.path}: faster-whisper cannot load it ({error})") from None

    def transcribe(
        self, samples: NDArray[np.float32], options: DecodeOptions, should_abort: Callable[[], bool]
    ) -> Hypothesis:
        """Decode one window; aborts between segments. See `WindowedModel.transcribe`."""
        started = time.perf_counter()
        segments = []
        try:
            found, info = self._model.transcribe(samples, **self._arguments(options))
            for segment in found:
                if should_abort():
                    raise Aborted
                segments.append(_segment(segment))
        except (RuntimeError, ValueError) as error:
            raise DecodeError(f"faster-whisper failed: {error}") from None
        texts = tuple(segment for segment in segments if segment.text)
        return Hypothesis(texts, info.language, time.perf_counter() - started)

    def _arguments(self, options: DecodeOptions) -> dict[str, Any]:
        multilingual = self._model.model.is_multilingual
        return {
            "language": None
            if options.language == "auto" and multilingual
            else _language(options, multilingual),
            "task": "translate" if options.translate and multilingual else "transcribe",
            "initial_prompt": options.prompt or None,
            "beam_size": options.beam_size,
            "word_timestamps": options.word_timestamps,
            "condition_on_previous_text": False,
        }

    def description(self) -> str:
        """Where it runs."""
        return f"{self._device.upper()}, {self._threads} thread{'s' if self._threads > 1 else ''}"

    def close(self) -> None:
        """Free the weights."""
        self._model = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _language(options: DecodeOptions, multilingual: bool) -> str:
    return options.language if multilingual else "en"


def _segment(segment: Any) -> Segment:
    words = tuple(
        Word(word.start, word.end, word.word.strip(), word.probability) for word in segment.words or ()
    )
    text = segment.text.strip()
    texts = text.split()
    kept = loop_free(texts)
    if len(kept) < len(texts):
        text = " ".join(texts[at] for at in kept)
        words = tuple(words[at] for at in kept) if len(words) == len(texts) else words
    return Segment(segment.start, segment.end, text, math.exp(segment.avg_logprob), words)
