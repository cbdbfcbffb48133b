"""`POST /v1/audio/transcriptions` as a decoder of windows: each window is a request of its own."""

from __future__ import annotations

import asyncio
import io
import logging
import random as random_module
import ssl
import time
import wave
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from asrctl.errors import DecodeError, ProviderError
from asrctl.network.answers import message_of
from asrctl.network.failures import LinkFailure, retry_after_s_of
from asrctl.network.hosts import is_loopback
from asrctl.network.retry import GaveUp
from asrctl.policy.backoff import BackoffOptions
from asrctl.policy.priority import Ticket
from asrctl.providers.base import DecodeOptions
from asrctl.providers.remote.answer import hypothesis_of
from asrctl.providers.remote.form import file_field, form_of, url_of
from asrctl.providers.remote.pcm import SAMPLE_BYTES
from asrctl.providers.remote.reachability import BACKOFF, Reachability, attempts_for, failure_of
from asrctl.providers.remote.service import RemoteService
from asrctl.providers.remote.settings import RemoteSettings
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Samples

_MAX_INTERNAL_ERRORS = 3
"""HTTP 500 so often for one window, and it is not sent again: it may be what the server fails on."""
_LATER = frozenset({408, 409, 425, 429})
"""Besides those from 500 on: the server may answer in a moment."""
_AUDIO_REFUSED = frozenset({400, 413, 415, 422})
_httpx_log = logging.getLogger("httpx")
_OTHER_PATH = "the url may need another path, such as /inference for whisper.cpp's own server"
_REASONS = {401: "the server wants another API key", 403: "the server does not let us in"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered; the body is not longer than was allowed."""

    status: int
    body: bytes
    retry_after_s: float | None

    @property
    def reason(self) -> str:
        """What an error says, for people."""
        message = message_of(self.body)
        said = f"HTTP {self.status}{': ' if message else ''}{message}"
        return _REASONS.get(self.status, said)


class RemoteWindows(RemoteService):
    """A `WindowDecoder`, and the `WindowService` around it."""

    def __init__(
        self,
        settings: RemoteSettings,
        backoff: BackoffOptions = BACKOFF,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        """See `RemoteService`; the server's dialect must be "transcriptions".

        Args:
            settings: Which server.
            backoff: Attempts of a window, and the waits between them.
            clock: Monotonic seconds.
            sleep: Waits so many seconds.
            random: Numbers in [0, 1), for the jitter.
        """
        super().__init__(settings, backoff, clock)
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._client = _client(settings, self._key)
        if "?" in self._address.url:
            _httpx_log.addFilter(self._may_be_logged)
        self._free = asyncio.Semaphore(settings.requests)
        self._reachability = Reachability(settings, clock)
        self._verbose = True
        self._tasks: set[asyncio.Task[object]] = set()

    @property
    def windows(self) -> RemoteWindows:
        """What decodes."""
        return self

    @property
    def width(self) -> int:
        """How many windows are decoded at a time."""
        return self._settings.requests

    async def decode(self, samples: Samples, options: DecodeOptions, ticket: Ticket) -> Hypothesis:
        """Decode one window; see `WindowDecoder.decode`.

        Raises:
            DecodeError: The server refused this audio, or what it answered is no transcription.
            ProviderError: The server was given up, or this is closed.
        """
        if self._closed:
            raise ProviderError("the provider was closed")
        work = asyncio.ensure_future(self._decode(samples, options))
        self._tasks.add(work)
        work.add_done_callback(self._tasks.discard)
        try:
            return await work
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if self._closed and caller is not None and not caller.cancelling():  # `close` ended it
                raise ProviderError("the provider was closed") from None
            raise

    async def _decode(self, samples: Samples, options: DecodeOptions) -> Hypothesis:
        async with self._free:
            started_s = self._clock()
            duration_s = len(samples) / SAMPLE_RATE_HZ
            try:
                await self._wait_for_first_answer()
                answer = await self._understood(_wav(samples), options)
                inference_s = self._clock() - started_s
                return hypothesis_of(answer.body, duration_s, options.language, inference_s)
            except DecodeError as error:
                raise DecodeError(self._says(str(error))) from None
            except ProviderError as error:
                raise ProviderError(self._says(str(error))) from None

    async def _greet(self) -> None:
        answer = await self._request("HEAD", self._address.url)
        if answer.status in _REASONS:
            raise LinkFailure(answer.reason, fatal=True)

    async def close(self) -> None:
        """End all requests, and close the connections."""
        self._closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()
        _httpx_log.removeFilter(self._may_be_logged)

    def _may_be_logged(self, record: logging.LogRecord) -> bool:
        """httpx logs the URL of each request, the query of which may hold a secret."""
        return urlsplit(self._address.url).query not in record.getMessage()

    async def _understood(self, wav: bytes, options: DecodeOptions) -> Answer:
        """An answer with status 200; a server that does not know verbose_json is asked for json."""
        answer = await self._answered(wav, options, verbose=self._verbose)
        if self._verbose and answer.status in _AUDIO_REFUSED - {413}:
            refused, answer = answer, await self._answered(wav, options, verbose=False)
            if answer.status == 200:
                self._verbose = False
            else:
                answer = refused
        if answer.status == 200:
            return answer
        if not self._settings.model and "model" in answer.reason.lower():
            raise ProviderError(f"{answer.reason}; a model can be named by [remote] model")
        if answer.status == 404:
            raise ProviderError(f"{answer.reason}; {_OTHER_PATH}")
        raise (DecodeError if answer.status in _AUDIO_REFUSED else ProviderError)(answer.reason)

    async def _answered(self, wav: bytes, options: DecodeOptions, *, verbose: bool) -> Answer:
        """An answer that another try would not change.

        Raises:
            ProviderError: Trying was given up, or was a short while ago.
        """
        self._refuse_while_it_rests()
        url = url_of(self._settings, options)
        form = dict(form_of(self._settings, options, verbose=verbose))
        try:
            answer = await self._tried(url, form, wav)
        except GaveUp as error:
            self._why = str(error)
            self._breaker.failed()
            raise ProviderError(self._why) from None
        self._breaker.succeeded()
        return answer

    async def _tried(self, url: str, form: dict[str, str | list[str]], wav: bytes) -> Answer:
        """Ask until there is an answer that says more than: later.

        Raises:
            GaveUp: There is none.
        """
        attempts = attempts_for(
            self._settings, self._backoff, clock=self._clock, sleep=self._sleep, random=self._random
        )
        internal_errors = 0
        async for attempt in attempts:
            with attempt:
                try:
                    answer = await self._request("POST", url, form, wav)
                    internal_errors += answer.status == 500
                    _check(answer, last=internal_errors >= _MAX_INTERNAL_ERRORS)
                except LinkFailure as failure:
                    raise self._reachability.assess(failure) from None
        return answer

    async def _request(
        self, method: str, url: str, form: dict[str, str | list[str]] | None = None, wav: bytes = b""
    ) -> Answer:
        """One request.

        Raises:
            LinkFailure: No answer came.
        """
        files = {file_field(self._settings): ("audio.wav", wav, "audio/wav")} if wav else None
        limit_s = self._settings.connect_timeout_s + self._settings.completion_timeout_s
        try:
            async with (
                asyncio.timeout(limit_s),
                self._client.stream(method, url, data=form, files=files) as response,
            ):
                body = bytearray()
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > self._settings.max_message_bytes:
                        raise LinkFailure("the server's answer is too long", fatal=True)
                self._reachability.answered()
                return Answer(response.status_code, bytes(body), retry_after_s_of(response.headers))
        except (TimeoutError, httpx.TimeoutException):
            raise LinkFailure("no answer in time") from None
        except httpx.HTTPError as error:
            raise _failure(error) from None


def _client(settings: RemoteSettings, key: str) -> httpx.AsyncClient:
    """Certificates are checked as the platform does; proxies are those of the environment."""
    headers = {"User-Agent": "asrctl", "Accept": "application/json", "Accept-Encoding": "identity"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    return httpx.AsyncClient(
        headers=headers,
        timeout=httpx.Timeout(settings.completion_timeout_s, connect=settings.connect_timeout_s),
        # A request that is cancelled before it is sent keeps its place in the pool (httpcore 1.0): without
        # a limit that does no harm, and we limit the requests ourselves.
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=settings.requests),
        trust_env=not is_loopback(settings.address.host),
        verify=ssl.create_default_context() if settings.address.url.startswith("https") else False,
    )


def _wav(samples: Samples) -> bytes:
    """Samples, shape (n,), at 16 kHz as a WAV file."""
    from asrctl.audio.pcm import s16le_of

    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(SAMPLE_BYTES)
        wav.setframerate(SAMPLE_RATE_HZ)
        wav.writeframes(s16le_of(samples))
    return file.getvalue()


def _check(answer: Answer, *, last: bool) -> None:
    """Raise LinkFailure for an answer that says: later."""
    if answer.status >= 500 or answer.status in _LATER:
        reason = "the server is full" if answer.status == 503 else answer.reason
        raise LinkFailure(reason, answer.retry_after_s, fatal=last)


def _failure(error: httpx.HTTPError) -> LinkFailure:
    """What an error of httpx means, by the system's error behind it, if there is one."""
    cause: BaseException | None = error
    system: OSError | None = None
    while cause is not None:
        if isinstance(cause, BaseExceptionGroup):  # one for each address of the host
            cause = cause.exceptions[0]
        if isinstance(cause, OSError) and (cause.errno is not None or system is None):
            system = cause
        cause = cause.__cause__ or cause.__context__
    if system is not None:
        return failure_of(system)
    if isinstance(error, httpx.RemoteProtocolError) and "disconnect" not in str(error):
        return LinkFailure("the server does not answer in HTTP")
    return LinkFailure("the connection was lost before the answer was complete")
