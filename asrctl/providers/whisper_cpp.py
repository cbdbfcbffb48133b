"""whisper.cpp through pywhispercpp's low-level binding.

The binding is used directly: its `Model` class makes new parameters for each call and prints progress.
Here a context and its parameter objects live as long as the model does.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from asrctl.errors import DecodeError, ModelError
from asrctl.policy.language import POSITIONS, LanguageBelief, pieces
from asrctl.policy.vocabulary import context
from asrctl.policy.window import (
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
from asrctl.providers.tokens import (
    Token,
    confidence,
    geometric_mean,
    is_unsure,
    tidy,
    words_of,
)
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, LanguageEvidence, Part, Segment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MIN_WINDOW_SAMPLES = SAMPLE_RATE_HZ + SAMPLE_RATE_HZ // 20
"""whisper.cpp skips windows under 1 s: shorter ones are padded with silence to just over it."""

_LANGUAGES_TOLD = 10

_LOG_LINES_KEPT = 200


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
        self._detect = self._new_params(native.whisper_sampling_strategy.WHISPER_SAMPLING_GREEDY)
        self._detect.audio_ctx = POSITIONS
        # A detection encodes with the context of the call before: this one sets it, and stops there.
        native.assign_encoder_begin_callback(self._detect, lambda *_: False)
        self._should_abort: Callable[[], bool] = bool
        self._timer = PartTimer()

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
        params.temperature_inc = 0.0  # its fallback samples: see `_decode_loop_free`
        self._native.assign_abort_callback(params, lambda: self._should_abort())
        return params

    def transcribe(
        self, samples: NDArray[np.float32], options: DecodeOptions, should_abort: Callable[[], bool]
    ) -> Hypothesis:
        """Decode one window; see `WindowedModel.transcribe`.

        Unless it is a draft, a decode that fills its token budget, repeats itself or is unsure throughout is
        done again with more of the encoder and, should it end in a repetition loop there too, in two halves.
        With LIGHT effort only the first is, and a loop is told of. What a decode leaves over at the end is
        decoded too.
        """
        started = time.perf_counter()
        self._timer = PartTimer()
        self._should_abort = should_abort
        effort = Effort(options.effort)
        samples = audible(samples)
        evidence = self._evidence(samples, options) if self._multilingual and options.wants_evidence else ()
        options = replace(options, language=LanguageBelief(options.language).after(evidence).language)
        decode = partial(self._decode_fitted, options=options, effort=effort)
        hypothesis = decode_whole(decode, samples) if effort.is_checked else decode(samples)
        return Hypothesis(
            segments=tidy(hypothesis.segments, len(samples) / SAMPLE_RATE_HZ),
            language=hypothesis.language,
            inference_s=time.perf_counter() - started,
            evidence=evidence,
            parts_s=self._timer.parts_s,
            is_loop=hypothesis.is_loop,
        )

    def _evidence(self, samples: NDArray[np.float32], options: DecodeOptions) -> tuple[LanguageEvidence, ...]:
        """Which language each utterance is in, unless it is too short or quiet to tell."""
        found = []
        for start, end in pieces(len(samples), options.utterances):
            piece = samples[start:end]
            if is_wordless(piece):
                continue
            with self._timer.timed(Part.LANGUAGE):
                probabilities = self._probabilities(_long_enough(piece))
            found.append(LanguageEvidence(len(piece) / SAMPLE_RATE_HZ, probabilities, start))
        return tuple(found)

    def _probabilities(self, samples: NDArray[np.float32]) -> tuple[tuple[str, float], ...]:
        """Languages with their probabilities, the likeliest first."""
        import numpy as np

        native = self._native
        self._detect.language = "en"  # else whisper.cpp would look for it with the encoder of the last decode
        status = native.whisper_full(self._context, self._detect, samples, len(samples))
        shares = np.zeros(native.whisper_lang_max_id() + 1, np.float32)
        found = native.whisper_lang_auto_detect(self._context, 0, self._threads, shares)
        if status != 0 or found < 0:
            raise DecodeError(f"whisper.cpp cannot detect the language: {self.log[-1] if self.log else ''}")
        likeliest = np.argsort(-shares)[:_LANGUAGES_TOLD]
        return tuple((native.whisper_lang_str(int(each)), float(shares[each])) for each in likeliest)

    def _decode_fitted(
        self, samples: NDArray[np.float32], options: DecodeOptions, effort: Effort
    ) -> Hypothesis:
        duration_s = len(samples) / SAMPLE_RATE_HZ
        if is_wordless(samples):
            return Hypothesis((), self._language(options), 0.0)
        if effort is Effort.AGAIN:
            return self._decode_loop_free(samples, options)
        samples = _long_enough(samples)
        budget = token_budget(len(samples) / SAMPLE_RATE_HZ)
        audio_ctx, second_ctx = audio_context(duration_s, effort), audio_context(duration_s, Effort.AGAIN)
        with self._timer.timed(self._timer.first_or_rest):
            hypothesis = self._decode(samples, options, audio_ctx, budget)
        if effort is Effort.DRAFT:
            return hypothesis
        if self._is_loop(hypothesis, budget):
            if spoken := as_spoken(
                hypothesis, samples, partial(self._decode_fitted, options=options, effort=effort)
            ):
                return spoken
            if effort is Effort.LIGHT and has_loop(hypothesis.text):  # else words are missing
                return replace(hypothesis, is_loop=True)
            return self._decode_loop_free(samples, options)
        if effort is Effort.NORMAL and audio_ctx < second_ctx and is_unsure(hypothesis, duration_s):
            with self._timer.timed(Part.AGAIN):
                again = self._decode(samples, options, second_ctx, budget)
            return max(hypothesis, again, key=confidence)
        return hypothesis

    def _decode_loop_free(self, samples: NDArray[np.float32], options: DecodeOptions) -> Hypothesis:
        """Decode with more of the encoder; where that ends in a repetition loop too, in ever smaller parts.

        whisper.cpp's own way out, sampling at rising temperatures, draws from a generator that each decode
        leaves in another state: the same audio gave eleven texts in twenty decodes.
        """
        if is_wordless(samples):
            return Hypothesis((), self._language(options), 0.0)
        duration_s = len(samples) / SAMPLE_RATE_HZ
        audio_ctx, budget = (
            audio_context(duration_s, Effort.AGAIN),
            second_token_budget(duration_s),
        )
        part = Part.FALLBACK if Part.AGAIN in self._timer.parts_s else Part.AGAIN
        with self._timer.timed(part):
            heard = self._decode(_long_enough(samples), options, audio_ctx, budget)
        if not self._is_loop(heard, budget):
            return heard
        if spoken := as_spoken(heard, samples, partial(self._decode_loop_free, options=options)):
            return spoken
        if len(samples) < LEAST_CUT_SAMPLES or is_sayable(heard.text.split(), duration_s):
            return heard
        return decode_in_halves(partial(self._decode_loop_free, options=options), samples)

    def _decode(
        self,
        samples: NDArray[np.float32],
        options: DecodeOptions,
        audio_ctx: int,
        max_tokens: int,
    ) -> Hypothesis:
        params = self._prepare(options)
        params.audio_ctx = audio_ctx
        params.max_tokens = max_tokens
        status = self._native.whisper_full(self._context, params, samples, len(samples))
        if self._should_abort():
            raise Aborted
        if status != 0:
            raise DecodeError(f"whisper.cpp failed with status {status}: {self.log[-1] if self.log else ''}")
        language = self._native.whisper_lang_str(self._native.whisper_full_lang_id(self._context))
        return Hypothesis(tuple(self._segments(options, language)), language, 0.0)

    def _prepare(self, options: DecodeOptions) -> Any:
        params = self._beam if options.beam_size > 1 else self._greedy
        if options.beam_size > 1:
            params.beam_search = {"beam_size": options.beam_size, "patience": -1.0}
        params.language = self._language(options)
        params.translate = options.translate and self._multilingual
        params.initial_prompt = context(options.prompt, options.vocabulary)
        params.token_timestamps = options.word_timestamps
        return params

    def _language(self, options: DecodeOptions) -> str:
        return options.language if self._multilingual else "en"

    def _is_loop(self, hypothesis: Hypothesis, budget: int) -> bool:
        tokens = sum(self._native.whisper_full_n_tokens(self._context, i) for i in range(self._count()))
        return tokens >= budget or has_loop(hypothesis.text)

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
