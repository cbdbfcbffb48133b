"""whisper.cpp through pywhispercpp's low-level binding.

The binding is used directly: its `Model` class makes parameters anew for each call and prints progress.
Here a context and its parameter objects live as long as the model does.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from asrctl.errors import DecodeError, ModelError
from asrctl.policy.window import FULL_AUDIO_CTX, audio_context, has_loop, loop_free, token_budget
from asrctl.providers.base import Aborted, DecodeOptions, ModelSpec
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Segment, Word

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MIN_WINDOW_SAMPLES = SAMPLE_RATE_HZ + SAMPLE_RATE_HZ // 20
"""whisper.cpp skips windows under 1 s: shorter ones are padded with silence to just over it."""

_LOW_LOGPROB = -1.0
_LOG_LINES_KEPT = 200
_UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "yue", "km", "bo"})
"""Languages written without spaces, where a token rather than a space begins a word."""


class WhisperCpp:
    """A loaded ggml model. One thread at a time; the native code releases the GIL while it works."""

    def __init__(self, spec: ModelSpec) -> None:
        """Load the weights.

        Raises:
            ModelError: whisper.cpp cannot load the file.
        """
        import _pywhispercpp as native

        self._native = native
        self._threads = spec.threads
        self.log: deque[str] = deque(maxlen=_LOG_LINES_KEPT)
        native.whisper_log_set(lambda _level, text, *_: self.log.append(text.rstrip()))
        self._context = self._load(spec)
        self._multilingual = bool(native.whisper_is_multilingual(self._context))
        self._greedy = self._new_params(native.whisper_sampling_strategy.WHISPER_SAMPLING_GREEDY)
        self._beam = self._new_params(native.whisper_sampling_strategy.WHISPER_SAMPLING_BEAM_SEARCH)
        self._should_abort: Callable[[], bool] = bool

    def _load(self, spec: ModelSpec) -> Any:
        """Load on the GPU if asked and there, else on the CPU."""
        for use_gpu in dict.fromkeys((spec.use_gpu, False)):
            params = self._native.whisper_context_default_params()
            params.use_gpu = use_gpu
            # With a reduced audio context flash attention reads what earlier windows left in memory.
            params.flash_attn = False
            try:
                return self._native.whisper_init_from_file_with_params(str(spec.path), params)
            except Exception as error:
                self.log.append(str(error))
        reason = self.log[-1] if self.log else "no reason given"
        raise ModelError(f"{spec.path}: whisper.cpp cannot load it ({reason})")

    def _new_params(self, strategy: Any) -> Any:
        params = self._native.whisper_full_default_params(strategy)
        for quiet in ("print_progress", "print_realtime", "print_timestamps", "print_special"):
            setattr(params, quiet, False)
        params.n_threads = self._threads
        params.no_context = True  # text carried into the next window: WER 8 -> 27 (docs of the policy)
        params.suppress_nst = True
        self._native.assign_abort_callback(params, lambda: self._should_abort())
        return params

    def transcribe(
        self, samples: NDArray[np.float32], options: DecodeOptions, should_abort: Callable[[], bool]
    ) -> Hypothesis:
        """Decode one window; see `WindowedModel.transcribe`.

        A decode that fills its token budget, repeats itself or is unsure throughout is done again with
        the encoder's full window and whisper.cpp's own temperature fallback.
        """
        started = time.perf_counter()
        self._should_abort = should_abort
        duration_s = len(samples) / SAMPLE_RATE_HZ
        audio_ctx = FULL_AUDIO_CTX if options.full_window else audio_context(duration_s)
        hypothesis = self._decode(samples, options, audio_ctx, retry=False)
        if self._suspicious(hypothesis, duration_s):
            hypothesis = self._decode(samples, options, FULL_AUDIO_CTX, retry=True)
        return Hypothesis(
            segments=_clean(hypothesis.segments, duration_s),
            language=hypothesis.language,
            inference_s=time.perf_counter() - started,
        )

    def _decode(
        self, samples: NDArray[np.float32], options: DecodeOptions, audio_ctx: int, *, retry: bool
    ) -> Hypothesis:
        params = self._prepare(samples, options, audio_ctx, retry=retry)
        padded = _padded(samples)
        status = self._native.whisper_full(self._context, params, padded, len(padded))
        if self._should_abort():
            raise Aborted
        if status != 0:
            raise DecodeError(f"whisper.cpp failed with status {status}: {self.log[-1] if self.log else ''}")
        language = self._native.whisper_lang_str(self._native.whisper_full_lang_id(self._context))
        return Hypothesis(tuple(self._segments(options, language)), language, 0.0)

    def _prepare(
        self, samples: NDArray[np.float32], options: DecodeOptions, audio_ctx: int, *, retry: bool
    ) -> Any:
        params = self._beam if options.beam_size > 1 else self._greedy
        if options.beam_size > 1:
            params.beam_search = {"beam_size": options.beam_size, "patience": -1.0}
        params.language = options.language if self._multilingual else "en"
        params.translate = options.translate and self._multilingual
        params.initial_prompt = options.prompt
        params.audio_ctx = audio_ctx
        params.max_tokens = token_budget(len(samples) / SAMPLE_RATE_HZ)
        params.token_timestamps = options.word_timestamps
        params.temperature_inc = 0.2 if retry else 0.0
        return params

    def _suspicious(self, hypothesis: Hypothesis, duration_s: float) -> bool:
        """Whether a decode looks like a loop or a guess and deserves the full window."""
        tokens = sum(self._native.whisper_full_n_tokens(self._context, i) for i in range(self._count()))
        if tokens >= token_budget(duration_s) or has_loop(hypothesis.text):
            return True
        confidences = [segment.confidence for segment in hypothesis.segments]
        return bool(confidences) and max(confidences) < math.exp(_LOW_LOGPROB)

    def _count(self) -> int:
        return int(self._native.whisper_full_n_segments(self._context))

    def _segments(self, options: DecodeOptions, language: str) -> list[Segment]:
        native, context = self._native, self._context
        segments = []
        for index in range(self._count()):
            tokens = self._text_tokens(index)
            text = b"".join(token.raw for token in tokens).decode("utf-8", "replace").strip()
            if not text:
                continue
            segments.append(
                Segment(
                    start_s=native.whisper_full_get_segment_t0(context, index) / 100,
                    end_s=native.whisper_full_get_segment_t1(context, index) / 100,
                    text=text,
                    confidence=_geometric_mean([token.probability for token in tokens]),
                    words=_words(tokens, language) if options.word_timestamps else (),
                )
            )
        return segments

    def _text_tokens(self, segment: int) -> list[_Token]:
        """The segment's tokens without timestamps and other specials."""
        native, context = self._native, self._context
        first_special = native.whisper_token_eot(context)
        tokens = []
        for index in range(native.whisper_full_n_tokens(context, segment)):
            data = native.whisper_full_get_token_data(context, segment, index)
            if data.id < first_special:
                raw = native.whisper_token_to_bytes(context, data.id)
                tokens.append(_Token(raw, data.t0 / 100, data.t1 / 100, data.p))
        return tokens

    def description(self) -> str:
        """Where it runs, as whisper.cpp's own log tells."""
        backends = [line for line in self.log if "using" in line and "backend" in line]
        where = backends[-1].split(":")[-1].strip() if backends else "CPU"
        return f"{where}, {self._threads} thread{'s' if self._threads > 1 else ''}"

    def close(self) -> None:
        """Free the weights."""
        if self._context is not None:
            self._native.whisper_free(self._context)
            self._context = None
            # The binding keeps the callback past the interpreter's end and would crash on exit.
            self._native.whisper_log_set(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Token(NamedTuple):
    raw: bytes
    start_s: float
    end_s: float
    probability: float


def _padded(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    import numpy as np

    if len(samples) >= _MIN_WINDOW_SAMPLES:
        return samples
    return np.pad(samples, (0, _MIN_WINDOW_SAMPLES - len(samples)))


def _geometric_mean(probabilities: list[float]) -> float:
    logs = [math.log(max(p, 1e-10)) for p in probabilities]
    return math.exp(sum(logs) / len(logs)) if logs else 0.0


def _words(tokens: list[_Token], language: str) -> tuple[Word, ...]:
    """Join tokens into words; UTF-8 characters may be split between tokens."""
    groups: list[list[_Token]] = []
    complete = True
    for token in tokens:
        begins = token.raw.startswith(b" ") or language in _UNSPACED
        if not groups or (begins and complete):
            groups.append([])
        groups[-1].append(token)
        complete = _is_utf8(b"".join(token.raw for token in groups[-1]))
    words = []
    for group in groups:
        text = b"".join(token.raw for token in group).decode("utf-8", "replace").strip()
        if text:
            confidence = _geometric_mean([token.probability for token in group])
            words.append(Word(group[0].start_s, group[-1].end_s, text, confidence))
    return tuple(words)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _clean(segments: tuple[Segment, ...], duration_s: float) -> tuple[Segment, ...]:
    """Keep times inside the window and in order; cut what still repeats itself."""
    cleaned: list[Segment] = []
    floor_s = 0.0
    for segment in segments:
        start_s = min(max(segment.start_s, floor_s), duration_s)
        end_s = min(max(segment.end_s, start_s), duration_s)
        floor_s = end_s
        cleaned.append(_without_loops(replace(segment, start_s=start_s, end_s=end_s)))
    return tuple(cleaned)


def _without_loops(segment: Segment) -> Segment:
    if not has_loop(segment.text):
        return segment
    texts = segment.text.split()
    kept = loop_free(texts)
    words = tuple(segment.words[at] for at in kept) if len(segment.words) == len(texts) else segment.words
    return replace(segment, text=" ".join(texts[at] for at in kept), words=words)
