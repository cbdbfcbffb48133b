"""whisper.cpp through pywhispercpp's low-level binding.

The binding is used directly: its `Model` class makes new parameters for each call and prints progress.
Here a context and its parameter objects live as long as the model does.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from asrctl.errors import DecodeError, ModelError
from asrctl.policy.language import POSITIONS
from asrctl.policy.vocabulary import context
from asrctl.policy.window import Effort
from asrctl.providers import fitted
from asrctl.providers.base import Aborted, DecodeOptions, ModelSpec
from asrctl.providers.tokens import Token, geometric_mean, words_of
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Segment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MIN_WINDOW_SAMPLES = SAMPLE_RATE_HZ + SAMPLE_RATE_HZ // 20
"""whisper.cpp skips windows under 1 s: shorter ones are padded with silence to just over it."""

_LANGUAGES_TOLD = 10

_LOG_LINES_KEPT = 200


class WhisperCpp:
    """A loaded ggml model. One thread at a time; the native code releases the GIL while it works."""

    least_effort = Effort.DRAFT
    clock_s = staticmethod(time.perf_counter)

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
        self.is_multilingual = bool(native.whisper_is_multilingual(self._context))
        self._greedy = self._new_params(native.whisper_sampling_strategy.WHISPER_SAMPLING_GREEDY)
        self._beam = self._new_params(native.whisper_sampling_strategy.WHISPER_SAMPLING_BEAM_SEARCH)
        self._detect = self._new_params(native.whisper_sampling_strategy.WHISPER_SAMPLING_GREEDY)
        self._detect.audio_ctx = POSITIONS
        # A detection encodes with the context of the call before: this one sets it, and stops there.
        native.assign_encoder_begin_callback(self._detect, lambda *_: False)
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
        params.temperature_inc = 0.0  # its fallback samples: see `fitted`
        self._native.assign_abort_callback(params, lambda: self._should_abort())
        return params

    def transcribe(
        self, samples: NDArray[np.float32], options: DecodeOptions, should_abort: Callable[[], bool]
    ) -> Hypothesis:
        """Decode one window; see `WindowedModel.transcribe`."""
        self._should_abort = should_abort
        return fitted.transcribe(self, samples, options)

    def languages_of(self, samples: NDArray[np.float32]) -> tuple[tuple[str, float], ...]:
        """See `fitted.Whisper`."""
        import numpy as np

        native, samples = self._native, _long_enough(samples)
        self._detect.language = "en"  # else whisper.cpp would look for it with the encoder of the last decode
        status = native.whisper_full(self._context, self._detect, samples, len(samples))
        shares = np.zeros(native.whisper_lang_max_id() + 1, np.float32)
        found = native.whisper_lang_auto_detect(self._context, 0, self._threads, shares)
        if status != 0 or found < 0:
            raise DecodeError(f"whisper.cpp cannot detect the language: {self.log[-1] if self.log else ''}")
        likeliest = np.argsort(-shares)[:_LANGUAGES_TOLD]
        return tuple((native.whisper_lang_str(int(each)), float(shares[each])) for each in likeliest)

    def decode(
        self, samples: NDArray[np.float32], options: DecodeOptions, positions: int, most_tokens: int
    ) -> tuple[Hypothesis, int]:
        """See `fitted.Whisper`."""
        samples = _long_enough(samples)
        params = self._prepare(options)
        params.audio_ctx = positions
        params.max_tokens = most_tokens
        status = self._native.whisper_full(self._context, params, samples, len(samples))
        if self._should_abort():
            raise Aborted
        if status != 0:
            raise DecodeError(f"whisper.cpp failed with status {status}: {self.log[-1] if self.log else ''}")
        language = self._native.whisper_lang_str(self._native.whisper_full_lang_id(self._context))
        count = self._native.whisper_full_n_segments(self._context)
        tokens = sum(self._native.whisper_full_n_tokens(self._context, index) for index in range(count))
        return Hypothesis(tuple(self._segments(options, language)), language, 0.0), tokens

    def _prepare(self, options: DecodeOptions) -> Any:
        params = self._beam if options.beam_size > 1 else self._greedy
        if options.beam_size > 1:
            params.beam_search = {"beam_size": options.beam_size, "patience": -1.0}
        params.language = options.language
        params.translate = options.translate
        params.initial_prompt = context(options.prompt, options.vocabulary)
        params.token_timestamps = options.word_timestamps
        return params

    def _segments(self, options: DecodeOptions, language: str) -> list[Segment]:
        native, context = self._native, self._context
        segments = []
        for index in range(native.whisper_full_n_segments(context)):
            tokens = self._text_tokens(index)
            text = b"".join(token.raw for token in tokens).decode("utf-8", "replace").strip()
            if not text:
                continue
            segments.append(
                Segment(
                    start_s=native.whisper_full_get_segment_t0(context, index) / 100,
                    end_s=native.whisper_full_get_segment_t1(context, index) / 100,
                    text=text,
                    confidence=geometric_mean([token.probability for token in tokens]),
                    words=words_of(tokens, language) if options.word_timestamps else (),
                )
            )
        return segments

    def _text_tokens(self, segment: int) -> list[Token]:
        """The segment's tokens without timestamps and other specials."""
        native, context = self._native, self._context
        first_special = native.whisper_token_eot(context)
        tokens = []
        for index in range(native.whisper_full_n_tokens(context, segment)):
            data = native.whisper_full_get_token_data(context, segment, index)
            if data.id < first_special:
                raw = native.whisper_token_to_bytes(context, data.id)
                tokens.append(Token(raw, data.t0 / 100, data.t1 / 100, data.p))
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


def _long_enough(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    import numpy as np

    return np.pad(samples, (0, max(0, _MIN_WINDOW_SAMPLES - len(samples))))
