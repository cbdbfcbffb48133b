"""Streams through transcribe.cpp: a model in a worker process that listens to one utterance after the other.

Each utterance is a stream of the library's own, so that nothing is carried over, and memory does not grow.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any, TypeVar

import transcribe_cpp

from asrctl.errors import DecodeError, ModelError
from asrctl.providers.base import DecodeOptions, ListeningModel, ModelSpec
from asrctl.providers.samples import clean
from asrctl.providers.transcribe_cpp.library import Library
from asrctl.providers.transcribe_cpp.results import hypothesis_of, hypothesis_of_text
from asrctl.providers.transcribe_cpp.settings import MODELS_OWN
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Samples

_STEP_MS = 80
"""A step of Nemotron's encoder and of Voxtral's decoder, in which they count their delay."""

T = TypeVar("T")


class ListeningTranscribeCpp(Library, ListeningModel):
    """A model that listens to a stream."""

    def __init__(self, spec: ModelSpec) -> None:
        """Load the weights.

        Raises:
            ModelError: The library cannot load the file, or the model listens to no stream.
        """
        super().__init__(spec)
        if not self.abilities.supports_streaming:
            super().close()
            raise ModelError(f"{spec.path}: this model listens to no stream")
        self._family = _family_options(self.model, dict(spec.options))
        self._session = self.model.session(n_threads=spec.threads)
        self._stream: Any = None
        self._samples = 0
        self._work_s = 0.0
        self._language = ""

    def begin(self, options: DecodeOptions) -> None:
        self.give_up()
        self._samples, self._work_s = 0, 0.0
        self._language = self.language(options.language) or options.language
        self._stream = self._translated(lambda: self._opened(options))

    def _opened(self, options: DecodeOptions) -> Any:
        try:
            return self._session.stream(**self.arguments(options), family=self._family)
        except transcribe_cpp.UnsupportedRequest:
            if not self.refuses_hints():
                raise
            return self._opened(options)

    def feed(self, samples: Samples) -> tuple[str, str]:
        self._samples += len(samples)
        self._timed(lambda: self._stream.feed(clean(samples)))
        text = self._stream.text()
        return text.committed, text.tentative

    def finish(self) -> Hypothesis:
        self._timed(lambda: self._stream.finalize())
        said, result = self._stream.text().display, self._stream.snapshot()
        duration_s = self._samples / SAMPLE_RATE_HZ
        self.give_up()
        hypothesis = hypothesis_of(result, duration_s, self._language, self._work_s, words=True)
        if hypothesis.text.split() == said.split():
            return hypothesis
        # What was committed stays, also where the last decode would have it otherwise.
        return hypothesis_of_text(said, duration_s, hypothesis.language, self._work_s)

    def _timed(self, work: Callable[[], T]) -> T:
        started_s = time.perf_counter()
        try:
            return self._translated(work)
        finally:
            self._work_s += time.perf_counter() - started_s

    def _translated(self, work: Callable[[], T]) -> T:
        """The library's errors as ours."""
        try:
            return work()
        except transcribe_cpp.TranscribeError as error:
            raise DecodeError(f"transcribe.cpp failed: {error}") from None

    def give_up(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            with contextlib.suppress(transcribe_cpp.TranscribeError):
                stream.reset()

    def cancel(self) -> None:
        self._session.cancel()

    def close(self) -> None:
        """Free the weights."""
        self.give_up()
        super().close()


def _family_options(model: Any, options: dict[str, Any]) -> Any:
    """What is set, as the model's family takes it; None if nothing is, or it takes none of it."""
    given = {name: value for name, value in options.items() if value != MODELS_OWN}
    ahead_ms, interval_ms = given.get("lookahead_ms"), given.get("decode_interval_ms")
    steps = None if ahead_ms is None else round(ahead_ms / _STEP_MS)
    families = (
        transcribe_cpp.MoonshineStreamingOptions(min_decode_interval_ms=interval_ms),
        transcribe_cpp.ParakeetStreamOptions(att_context_right=steps),
        transcribe_cpp.ParakeetBufferedStreamOptions(right_ms=ahead_ms),
        transcribe_cpp.VoxtralRealtimeStreamOptions(
            num_delay_tokens=steps, min_decode_interval_ms=interval_ms
        ),
    )
    return next((family for family in families if given and model.accepts(family)), None)
