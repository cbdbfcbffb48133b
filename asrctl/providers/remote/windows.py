"""`POST /v1/audio/transcriptions` as a windowed model: each window is a request of its own."""

from __future__ import annotations

import random as random_module
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from asrctl.errors import DecodeError, ProviderError
from asrctl.network.failures import LinkFailure
from asrctl.policy.breaker import CircuitBreaker
from asrctl.providers.base import Aborted, DecodeOptions
from asrctl.providers.remote.answer import hypothesis_of, message_of
from asrctl.providers.remote.key import Redactor, find_key
from asrctl.providers.remote.multipart import form_of, wav_of
from asrctl.providers.remote.options import RemoteOptions
from asrctl.providers.remote.pcm import pcm_of
from asrctl.providers.remote.request import Answer, Poster
from asrctl.providers.remote.retry import Retry
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEFAULT_MODEL = "whisper-1"
"""Servers want a name even where they have one model; this is the one that they take for it."""
_RETRIED = frozenset({408, 409, 425, 429})
"""Besides those from 500 on."""
_AUDIO_REFUSED = frozenset({400, 413, 415, 422})
_REASONS = {401: "the server wants another API key", 403: "the server does not let us in"}
_POLL_S = 0.05


class RemoteWindows:
    """See `WindowedModel`; for one thread at a time."""

    def __init__(
        self,
        options: RemoteOptions,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        """Prepare; nothing is connected yet.

        Args:
            options: Which server; its dialect must be "transcriptions".
            clock: Monotonic seconds.
            sleep: Waits so many seconds.
            random: Numbers in [0, 1), for the jitter.
        """
        assert options.is_windowed
        self._options = options
        self._address = options.address
        key = find_key(options)
        self._redact = Redactor(key, self._address.url, self._address.place)
        self._poster = Poster(self._address.url, key, options)
        self._breaker = CircuitBreaker(options.breaker, clock)
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._verbose = True

    def transcribe(
        self, samples: NDArray[np.float32], options: DecodeOptions, should_abort: Callable[[], bool]
    ) -> Hypothesis:
        """Decode one window; see `WindowedModel.transcribe`.

        Raises:
            Aborted: `should_abort` returned True.
            DecodeError: The server refused this audio, or what it answered is no transcription.
            ProviderError: The server was given up.
        """
        started_s = self._clock()
        pcm = pcm_of(samples)
        try:
            answer = self._understood(pcm, options, should_abort)
        except LinkFailure as failure:
            raise ProviderError(self._says(failure.reason)) from None
        duration_s = len(samples) / SAMPLE_RATE_HZ
        try:
            return hypothesis_of(answer.body, duration_s, options.language, self._clock() - started_s)
        except DecodeError as error:
            raise DecodeError(self._says(str(error))) from None

    def _understood(self, pcm: bytes, options: DecodeOptions, should_abort: Callable[[], bool]) -> Answer:
        """An answer with status 200; a server that does not know verbose_json is asked for json."""
        answer = self._post(pcm, options, should_abort)
        if self._verbose and answer.status in _AUDIO_REFUSED - {413}:
            self._verbose = False
            refused, answer = answer, self._post(pcm, options, should_abort)
            if answer.status != 200:
                self._verbose, answer = True, refused
        if answer.status == 200:
            return answer
        reason = _reason(answer)
        if answer.status in _AUDIO_REFUSED:
            raise DecodeError(self._says(reason))
        raise ProviderError(self._says(reason))

    def _says(self, reason: str) -> str:
        return f"{self._address.place}: {self._redact(reason)}"

    # Requests and the waits between them

    def _post(self, pcm: bytes, options: DecodeOptions, should_abort: Callable[[], bool]) -> Answer:
        """An answer that another try would not change.

        Raises:
            LinkFailure: Trying was given up.
        """
        retry = Retry(self._options.backoff, self._breaker, self._clock, self._random)
        deadline_s = self._clock() + self._options.outage_s
        content_type, body = form_of(self._fields(options), wav_of(pcm))
        reason = "the server failed too often"
        while True:
            while not retry.begin(resuming=False):
                self._pause(retry.shut_s, deadline_s, reason, should_abort)
            try:
                answer = self._poster.post(self._path(options), content_type, body, should_abort)
                _check(answer)
            except LinkFailure as failure:
                reason, wait_s = failure.reason, retry.failed(failure)
                if wait_s is None:
                    raise
                self._pause(wait_s, deadline_s, reason, should_abort)
            else:
                retry.done()
                return answer

    def _pause(self, wait_s: float, deadline_s: float, reason: str, should_abort: Callable[[], bool]) -> None:
        until_s = self._clock() + wait_s
        if until_s >= deadline_s:
            raise LinkFailure(f"{reason}; gave up after {self._options.outage_s:g} s")
        while (left_s := until_s - self._clock()) > 0:
            if should_abort():
                raise Aborted
            self._sleep(min(_POLL_S, left_s))

    def _path(self, options: DecodeOptions) -> str:
        parts = urlsplit(self._address.url)
        path = parts.path
        if options.translate and path.endswith("transcriptions"):
            path = path.removesuffix("transcriptions") + "translations"
        return f"{path}?{parts.query}" if parts.query else path

    def _fields(self, options: DecodeOptions) -> list[tuple[str, str]]:
        fields = [("model", self._options.model or DEFAULT_MODEL)]
        if options.language != "auto" and not options.translate:
            fields.append(("language", options.language))
        if options.prompt:
            fields.append(("prompt", options.prompt))
        fields.append(("response_format", "verbose_json" if self._verbose else "json"))
        if self._verbose and options.word_timestamps:
            fields += [("timestamp_granularities[]", each) for each in ("segment", "word")]
        return fields

    def description(self) -> str:
        """Where it runs."""
        return f"{self._address.place}, {self._options.model or DEFAULT_MODEL}"

    def close(self) -> None:
        """Close the connection."""
        self._poster.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _check(answer: Answer) -> None:
    """Raise LinkFailure for an answer that says: later."""
    if answer.status >= 500 or answer.status in _RETRIED:
        reason = "the server is full" if answer.status == 503 else _reason(answer)
        raise LinkFailure(reason, answer.retry_after_s)


def _reason(answer: Answer) -> str:
    message = message_of(answer.body)
    said = f"HTTP {answer.status}{': ' if message else ''}{message}"
    return _REASONS.get(answer.status, said)
