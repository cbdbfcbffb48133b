"""A `Recognizer` of models that listen: worker processes, each with several streams."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from asrctl.errors import AsrctlError, ModelError, ProviderError, WorkerCrashed, WorkerTimeout
from asrctl.providers.base import ModelSpec
from asrctl.providers.recognizer import Spoken, StreamRequest, UtteranceStream, WindowDecoder
from asrctl.workers.listener import ListenerOptions, ListenerProcess, ListenerStream

_WATCH_S = 0.5
_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 5.0
"""Between starts of processes that die one after the other; doubling."""
_RETRY_GROWTH = 32.0


class Listeners:
    """Processes are started when there is no room for one more stream in those that there are."""

    windows: WindowDecoder | None = None

    def __init__(self, spec: ModelSpec, model: str, options: ListenerOptions | None = None) -> None:
        """Start the first process, in a running event loop; it loads while the caller goes on.

        Args:
            spec: What the processes load.
            model: Its name, to be shown.
            options: How many streams, and how they are served.
        """
        self.name = spec.provider
        self.model = model
        self.description = ""
        self._spec = spec
        self._options = options or ListenerOptions()
        self._keepers: list[_Keeper] = []
        self._closed = False
        self._changed = asyncio.Event()
        self._start_another()

    def open(self, request: StreamRequest, say: Callable[[Spoken], None]) -> UtteranceStream:
        """Open a stream in a process that is ready; see `Recognizer.open`."""
        if self._closed:
            raise ProviderError(f"{self.name} is closed")
        most = self._options.serving.max_streams
        if self.streams >= most:
            raise ProviderError(
                f"{self.name} has {most} streams already: as many as [{self.name}] max_streams"
            )
        with_room = (keeper.process for keeper in self._keepers if keeper.process and keeper.process.has_room)
        process = next(with_room, None)
        if process is None:
            raise ProviderError(self._why_not())
        stream = ListenerStream(process, request, say)
        if not any(keeper.may_have_room for keeper in self._keepers):
            self._start_another()
        return stream

    @property
    def streams(self) -> int:
        """Streams that are open."""
        return sum(len(keeper.process.streams) for keeper in self._keepers if keeper.process)

    @property
    def restarts(self) -> int:
        """Processes that died and were replaced."""
        return sum(keeper.restarts for keeper in self._keepers)

    async def wait_ready(self) -> None:
        """Wait until a stream can be opened, if there are not too many; see `Recognizer.wait_ready`."""
        while not self._closed and not any(keeper.process for keeper in self._keepers):
            if all(keeper.failure for keeper in self._keepers):
                failure = self._keepers[0].failure
                assert failure is not None
                raise type(failure)(*failure.args)
            self._changed.clear()
            await self._changed.wait()
        if self._closed:
            raise ProviderError(f"{self.name} is closed")

    def pids(self) -> list[int]:
        """Process ids, also of those that still load."""
        return [keeper.pid for keeper in self._keepers if keeper.pid]

    async def close(self) -> None:
        """End all processes; see `Recognizer.close`."""
        self._closed = True
        self._changed.set()
        await asyncio.gather(*(keeper.close() for keeper in self._keepers))

    # What the keepers call

    def changed(self, keeper: _Keeper) -> None:
        """A process became ready, failed, or is gone."""
        self.description = keeper.description or self.description
        self._changed.set()

    def _start_another(self) -> None:
        if len(self._keepers) * self._options.serving.streams_per_worker < self._options.serving.max_streams:
            self._keepers.append(_Keeper(self, self._spec, self._options))

    def _why_not(self) -> str:
        failures = [str(keeper.failure) for keeper in self._keepers if keeper.failure]
        return failures[0] if failures else f"{self.name} is starting a process"


class _Keeper:
    """Keeps one process alive."""

    def __init__(self, owner: Listeners, spec: ModelSpec, options: ListenerOptions) -> None:
        self.process: ListenerProcess | None = None
        """Once it is ready, until it is lost."""
        self.failure: AsrctlError | None = None
        """Why there is none, when it was tried often enough."""
        self.description = ""
        self.restarts = 0
        self._owner = owner
        self._spec = spec
        self._options = options
        self._started: ListenerProcess | None = None
        self._task = asyncio.create_task(self._run(), name="listener")

    @property
    def pid(self) -> int:
        """Process id; 0 if there is no process."""
        started = self._started
        return started.pid if started is not None and not started.exited.done() else 0

    @property
    def may_have_room(self) -> bool:
        """Whether it has, or will soon have, room for one more stream."""
        return self.failure is None if self.process is None else self.process.has_room

    async def close(self) -> None:
        """End the process."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        deaths, retry_s = 0, self._options.retry_s
        while True:
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            try:
                await self._serve()
                deaths = 0
            except Exception as error:  # also what nobody foresaw: whoever waits gets an answer
                deaths += 1
                text = f"{type(error).__name__}: {error}"
                known = error if isinstance(error, AsrctlError) else ProviderError(text)
                if isinstance(error, ModelError) or deaths >= self._options.attempts:
                    self.failure = known
                    self._owner.changed(self)
                    await asyncio.sleep(retry_s)
                    retry_s = min(2 * retry_s, _RETRY_GROWTH * self._options.retry_s)
                    continue
            retry_s = self._options.retry_s
            if loop.time() - began_s < _LONGEST_WAIT_S:
                await asyncio.sleep(min(_FIRST_WAIT_S * 2**deaths, _LONGEST_WAIT_S))

    async def _serve(self) -> None:
        """Start a process and keep it until it is lost. Raises AsrctlError if it does not become ready."""
        process = await ListenerProcess.start()
        process.prepare(self._options)
        self._started = process
        try:
            self.description = await process.make_ready(self._spec)
            self.process, self.failure = process, None
            self._owner.changed(self)
            error = await self._lost(process)
            self.restarts += 1
            self.process = None
            process.lose_streams(error)
        finally:
            self.process = self._started = None
            process.kill()
            process.lose_streams(ProviderError(f"{self._owner.name} is closed"))
            await process.close()
            self._owner.changed(self)

    async def _lost(self, process: ListenerProcess) -> ProviderError:
        """Wait until the process dies, or does nothing for too long."""
        while not process.exited.done():
            await asyncio.wait((process.exited,), timeout=_WATCH_S)
            if process.stalled:
                limit_s = self._options.serving.stall_timeout_s
                return WorkerTimeout(f"a worker has heard nothing for {limit_s:g} s")
        return WorkerCrashed(await process.exit_reason())
