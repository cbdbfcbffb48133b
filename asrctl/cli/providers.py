"""Providers at work for files and live audio: the chosen one, and those that stand in for it."""

from __future__ import annotations

import contextlib
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from asrctl.cli.live_options import health_check
from asrctl.cli.recognizer import Recognizer, Reserve
from asrctl.engine.deferred import ClosableRecognizer, DeferredModel, DeferredRecognizer
from asrctl.engine.lineup import Lineup, Member
from asrctl.engine.pool import BATCH, WorkerPool
from asrctl.engine.slot import PoolOptions, SlotState
from asrctl.errors import ProviderError, UsageError
from asrctl.languages import AUTO
from asrctl.policy.chain import ChainOptions
from asrctl.policy.priority import Ticket
from asrctl.providers.base import DecodeOptions, LoadsAhead
from asrctl.providers.registry import PROVIDERS

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray

    from asrctl.engine.process import Standby
    from asrctl.providers.base import StreamingModel
    from asrctl.transcript import Hypothesis

_REQUESTS = 2
"""To a server that takes windows: one may be under way while the next is sent."""


class Providers:
    """Started; a context manager.

    Windowed reserves behind a streaming provider are loaded at once, since it may break at any moment; those
    behind a pool, which is local and tries again by itself, only if they are needed.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        options: PoolOptions | None = None,
        chain: ChainOptions | None = None,
        standby: Standby | None = None,
    ) -> None:
        """Start the first; all load while the caller goes on.

        Raises:
            ProviderError: The first cannot run here.
            ModelError: A script is not one.
        """
        self.recognizer = recognizer
        """The chosen one."""
        self.pool: WorkerPool | None = None
        """The chosen provider's, if it decodes in processes."""
        self.streaming: StreamingModel | None = None
        """The chosen provider, if it is fed streams."""
        self.models = {recognizer.spec.provider: recognizer.model}
        """By provider, the model of those that were needed."""
        with contextlib.ExitStack() as undo:
            self._undo = undo
            members = [self._first(recognizer, options, standby)]
            members += [self._reserve(reserve) for reserve in recognizer.reserves]
            self._undo = undo.pop_all()
        self.lineup = Lineup(members, chain)

    def _first(self, recognizer: Recognizer, options: PoolOptions | None, standby: Standby | None) -> Member:
        name = recognizer.spec.provider
        if recognizer.is_pooled:
            self.pool = self._undo.enter_context(
                WorkerPool(recognizer.spec, options or pool_options(recognizer), standby=standby)
            )
            return Member(name, self.pool)
        member = self._set_up(recognizer)
        self.streaming = member.streaming
        return member

    def _reserve(self, reserve: Reserve) -> Member:
        if PROVIDERS[reserve.provider].is_streaming:
            return self._set_up(reserve.prepare(), deferred=True)

        def make() -> ClosableRecognizer:
            prepared = reserve.prepare()
            self.models[reserve.provider] = prepared.model
            return _Reserve(prepared, pool_options(prepared))

        recognizer = DeferredRecognizer(make)
        self._undo.callback(recognizer.close)
        if self.pool is None:
            recognizer.start()
        return Member(reserve.provider, recognizer)

    def _set_up(self, recognizer: Recognizer, *, deferred: bool = False) -> Member:
        name = recognizer.spec.provider
        self.models[name] = recognizer.model
        if takes_windows(recognizer):
            windows = windows_of(recognizer)
            self._undo.callback(windows.close)
            return Member(name, windows)

        def make() -> StreamingModel:
            return streaming_model(recognizer)

        model = DeferredModel(make) if deferred else make()
        self._undo.callback(model.close)
        return Member(name, None, model)

    @property
    def is_loading(self) -> bool:
        """Whether the chosen provider is not ready yet."""
        if self.pool is not None:
            return not any(slot.state is SlotState.READY for slot in self.pool.slots)
        return False

    @property
    def load_s(self) -> float:
        """How long loading took."""
        return max((slot.load_s for slot in self.pool.slots), default=0.0) if self.pool else 0.0

    @property
    def inference_s(self) -> float:
        """Time that workers took for what was decoded."""
        return self.pool.inference_s if self.pool else 0.0

    def check(self) -> None:
        """Raise the reason if nobody is left who could decode anything."""
        alone = self.pool is not None and not self.recognizer.reserves
        if (
            self.pool is not None
            and alone
            and all(slot.state is SlotState.FAILED for slot in self.pool.slots)
        ):
            self.pool.wait_ready()

    def wait_ready(self) -> None:
        """Block until the chosen provider can take a stream, where that is known; for audio that can wait.

        Raises:
            ProviderError: It cannot, and nobody stands in.
        """
        if not isinstance(self.streaming, LoadsAhead):
            return
        try:
            self.streaming.wait_ready()
        except ProviderError:
            if not self.recognizer.reserves:
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()


class _Reserve(WorkerPool):
    """A pool that stands in for a provider which may know other languages."""

    def __init__(self, recognizer: Recognizer, options: PoolOptions) -> None:
        super().__init__(recognizer.spec, options)
        self._language = recognizer.decode.language

    def submit(
        self, samples: NDArray[np.float32], options: DecodeOptions, ticket: Ticket = BATCH
    ) -> Future[Hypothesis]:
        """Queue one window, in the language that this model takes for one that is to be found out."""
        if options.language == AUTO:
            options = replace(options, language=self._language)
        return super().submit(samples, options, ticket)


def pool_options(recognizer: Recognizer) -> PoolOptions:
    """How workers are kept that decode for live audio."""
    return PoolOptions(workers=recognizer.workers, health=health_check(recognizer))


def takes_windows(recognizer: Recognizer) -> bool:
    """Whether it decodes windows, here or elsewhere."""
    return recognizer.is_pooled or bool(getattr(recognizer.backend, "is_windowed", False))


def with_windows_only(recognizer: Recognizer) -> Recognizer:
    """The same without the reserves that are fed streams."""
    able = (reserve for reserve in recognizer.reserves if _reserve_takes_windows(reserve))
    return replace(recognizer, reserves=tuple(able))


def _reserve_takes_windows(reserve: Reserve) -> bool:
    if not PROVIDERS[reserve.provider].is_streaming:
        return True  # its weights are looked for when it is needed
    try:
        return takes_windows(reserve.prepare())
    except UsageError:  # a stream that cannot do what is asked
        return False


def windows_of(recognizer: Recognizer) -> ClosableRecognizer:
    """A server that takes windows."""
    from asrctl.engine.threads import ThreadedRecognizer
    from asrctl.providers.remote import RemoteOptions
    from asrctl.providers.remote.windows import RemoteWindows

    options = recognizer.backend
    assert isinstance(options, RemoteOptions)
    return ThreadedRecognizer(lambda: RemoteWindows(options), _REQUESTS)


def streaming_model(recognizer: Recognizer) -> StreamingModel:
    """What is fed streams; started.

    Raises:
        ProviderError: It cannot run here.
    """
    from asrctl.providers.remote import RemoteOptions
    from asrctl.providers.voxtral.options import VoxtralOptions

    if isinstance(recognizer.backend, VoxtralOptions):
        from asrctl.providers.voxtral.model import Voxtral

        return Voxtral(recognizer.backend)
    if isinstance(recognizer.backend, RemoteOptions):
        from asrctl.providers.remote.model import RemoteModel

        return RemoteModel(recognizer.backend)
    from asrctl.providers.scripted_stream import ScriptedStream

    return ScriptedStream.load(recognizer.spec)
