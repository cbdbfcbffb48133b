"""Recognisers made of what decodes windows, and recognisers that are made when they are first needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from asrctl.errors import AsrctlError, ProviderError
from asrctl.languages import AUTO, is_open
from asrctl.policy.priority import Ticket
from asrctl.providers.base import DecodeOptions
from asrctl.providers.recognizer import (
    Recognizer,
    Spoken,
    StreamRequest,
    UtteranceStream,
    WindowDecoder,
    WindowService,
)
from asrctl.streaming.adapter import WindowedStream
from asrctl.transcript import Hypothesis, Samples

_RETRY_S = 5.0
"""For so long after making a recogniser failed, whoever needs it gets that error at once."""


class Pool(WindowDecoder, Protocol):
    """A `WindowDecoder` that owns worker processes: `WorkerPool`, `ModelSwitch`."""

    @property
    def load_s(self) -> float: ...
    @property
    def inference_s(self) -> float: ...
    async def wait_ready(self) -> None: ...
    async def close(self) -> None: ...
    def pids(self) -> list[int]: ...


class PooledRecognizer:
    """A `Recognizer` over a pool of workers."""

    def __init__(self, name: str, model: str, pool: Pool, description: Callable[[], str]) -> None:
        """Wrap a pool, which is closed with this.

        Args:
            name: The provider's.
            model: The model's, to be shown.
            pool: What decodes.
            description: Says where it runs.
        """
        self.name = name
        self.model = model
        self.windows = pool
        self.wait_ready = pool.wait_ready
        self.pids = pool.pids
        self.close = pool.close
        self._description = description

    @property
    def description(self) -> str:
        """Where it runs."""
        return self._description()

    @property
    def load_s(self) -> float:
        """How long loading took, of the slowest worker."""
        return self.windows.load_s

    @property
    def inference_s(self) -> float:
        """Time that the workers took for what was decoded."""
        return self.windows.inference_s

    def open(self, request: StreamRequest, say: Callable[[Spoken], None]) -> UtteranceStream:
        """Open a stream; see `Recognizer.open`."""
        return WindowedStream(self.windows, request, say)


class ServiceRecognizer:
    """A `Recognizer` over a service; without partials, each of which would be a request that may cost."""

    def __init__(self, service: WindowService) -> None:
        """Wrap a service, which is closed with this."""
        self.name = service.name
        self.model = service.model
        self.windows = service.windows
        self.wait_ready = service.wait_ready
        self.pids = service.pids
        self.close = service.close
        self._service = service

    @property
    def description(self) -> str:
        """Where it runs."""
        return self._service.description

    def open(self, request: StreamRequest, say: Callable[[Spoken], None]) -> UtteranceStream:
        """Open a stream; see `Recognizer.open`."""
        return WindowedStream(self.windows, replace(request, pacing=None), say)


class DeferredRecognizer:
    """A `Recognizer` in front of one that is made when it is first needed: a reserve that costs nothing until
    then. If making it fails, the next need after a while tries again."""

    def __init__(
        self,
        name: str,
        make: Callable[[], Awaitable[tuple[Recognizer, str]]],
        *,
        windowed: bool,
    ) -> None:
        """Prepare.

        Args:
            name: The provider's.
            make: Makes it, and says what it takes for a language that is to be detected, since it may know
                fewer; may take long, as when weights are fetched.
            windowed: Whether it takes windows.
        """
        self.name = name
        self._make = make
        self._windowed = windowed
        self._language = AUTO
        self._real: Recognizer | None = None
        self._making: asyncio.Task[Recognizer] | None = None
        self._failure: tuple[float, AsrctlError] | None = None
        """When making it failed last, and how."""
        self._closed = False

    @property
    def model(self) -> str:
        """The model's name, once it is made."""
        return self._real.model if self._real is not None else ""

    @property
    def description(self) -> str:
        """Where it runs, once it is made."""
        return self._real.description if self._real is not None else "not started"

    @property
    def windows(self) -> WindowDecoder | None:
        """Itself, if it takes windows."""
        return self if self._windowed else None

    @property
    def width(self) -> int:
        """How many windows are decoded at a time."""
        decoder = self._real.windows if self._real is not None else None
        return decoder.width if decoder is not None else 1

    def start(self) -> asyncio.Task[Recognizer]:
        """Begin to make it ahead of need; what goes wrong is heard by whoever needs it.

        Raises:
            AsrctlError: That failed a moment ago; or this is closed.
        """
        if self._closed:
            raise ProviderError(f"{self.name} is closed")
        if self._making is None:
            if self._failure is not None and _now_s() < self._failure[0] + _RETRY_S:
                error = self._failure[1]
                raise type(error)(*error.args)
            self._making = asyncio.create_task(self._made(), name=f"start {self.name}")
            self._making.add_done_callback(_retrieve)
        return self._making

    async def _made(self) -> Recognizer:
        try:
            self._real, self._language = await self._make()
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            known = error if isinstance(error, AsrctlError) else ProviderError(text)
            self._making, self._failure = None, (_now_s(), known)
            raise known from None
        return self._real

    async def _ready(self) -> Recognizer:
        if self._real is not None:
            return self._real
        making = self.start()
        await asyncio.wait([making])
        if making.cancelled():  # by `close`; a bare cancellation would tell nobody
            raise ProviderError(f"{self.name} is closed")
        return making.result()

    async def decode(self, samples: Samples, options: DecodeOptions, ticket: Ticket) -> Hypothesis:
        """Decode one window; one whose language is to be detected, in the only one that this model knows."""
        decoder = (await self._ready()).windows
        assert decoder is not None
        if is_open(options.language) and not is_open(self._language):
            options = replace(options, language=self._language)
        return await decoder.decode(samples, options, ticket)

    def open(self, request: StreamRequest, say: Callable[[Spoken], None]) -> UtteranceStream:
        """Open a stream; one that takes windows is fed while it is still made."""
        self.start()
        if self._windowed:
            return WindowedStream(self, request, say)
        if self._real is None:
            raise ProviderError(f"{self.name} is starting")
        return self._real.open(request, say)

    async def wait_ready(self) -> None:
        """Wait until it is made and ready."""
        await (await self._ready()).wait_ready()

    def pids(self) -> list[int]:
        """Process ids, once it is made."""
        return self._real.pids() if self._real is not None else []

    async def close(self) -> None:
        """Stop at once."""
        self._closed = True
        if self._making is not None and not self._making.done():
            self._making.cancel()
            await asyncio.gather(self._making, return_exceptions=True)
        if self._real is not None:
            await self._real.close()


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _retrieve(task: asyncio.Task[Recognizer]) -> None:
    """Whoever asks next hears what went wrong."""
    if not task.cancelled():
        task.exception()
