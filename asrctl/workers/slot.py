"""One place in the pool: a task that keeps a worker process alive, and one for each job that runs on it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from asrctl.errors import AsrctlError, DecodeError, ModelError, ProviderError, WorkerCrashed, WorkerTimeout
from asrctl.providers.base import ModelSpec
from asrctl.transcript import SAMPLE_RATE_HZ
from asrctl.workers.job import Job
from asrctl.workers.options import PoolOptions, SlotState
from asrctl.workers.process import AbortedByCaller, CannotStart, WorkerProcess
from asrctl.workers.standby import Standby

if TYPE_CHECKING:
    from asrctl.workers.pool import WorkerPool

_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 5.0
"""Between attempts to start or load a worker that died; doubling."""
_STARTS = 6
"""A process that cannot be started is tried again within 3 s: limits of processes and memory often pass."""
_RELOAD_S = 1.0
_RELOAD_FOR_S = 5.0
"""A model that was ready is loaded again that often, for so long, before it has failed: what is in its way
often passes, and the audio of the jobs that wait is still there. A reserve is not to wait for longer."""
_PATIENCE = 20.0
_LEAST_PATIENCE_S = 5.0
"""A decode that takes so many times as long as the slowest so far, by its audio, hangs, as a
rule; it is tried again on another process, which has the whole deadline. A live final is in time then."""
_RETRY_GROWTH = 32.0
"""A model that failed is tried again ever more rarely, at last after so many times the first wait."""


_Lost = tuple[Job, WorkerCrashed | WorkerTimeout]
"""A job whose worker was lost, and how."""


class Slot:
    """Starts a worker, runs jobs on it, and starts another whenever it is lost."""

    def __init__(
        self,
        pool: WorkerPool,
        spec: ModelSpec,
        fallback: ModelSpec | None,
        options: PoolOptions,
        standby: Standby | None,
    ) -> None:
        self._pool = pool
        self._standby = standby
        self._first_spec = spec
        self._fallback = fallback
        self._options = options
        self._running: dict[Job, asyncio.Task[_Lost | None]] = {}
        self._is_open = False
        self._early_deaths = 0
        self._pace: float | None = None
        self.spec = spec
        self.state = SlotState.LOADING
        self.worker: WorkerProcess | None = None
        self.description = ""
        self.load_s = 0.0
        self.warm_up_s = 0.0
        self.restarts = 0

    @property
    def settled(self) -> bool:
        """Whether it is ready, or has failed."""
        return self.state in (SlotState.READY, SlotState.FAILED, SlotState.CLOSED)

    @property
    def jobs(self) -> Collection[Job]:
        """What is being decoded."""
        return self._running.keys()

    @property
    def at_a_time(self) -> int:
        """Jobs that are decoded at a time now: one whose worker was lost runs by itself."""
        return 1 if any(job.attempts > 1 for job in self._running) else self.spec.parallel

    @property
    def has_room(self) -> bool:
        """Whether one more job can run, if it is one that it takes."""
        is_up = self._is_open and self.worker is not None and not self.worker.exited.done()
        is_full = len(self._running) >= self.spec.room or any(job.attempts > 1 for job in self._running)
        return is_up and not is_full

    def takes(self, job: Job) -> bool:
        """Whether this job may run beside those that do.

        One whose worker was lost runs by itself, since it may be the reason. More than are decoded at a time
        are only windows of files: sixteen live sessions had their finals no sooner if theirs were too.
        """
        if job.attempts and self._running:
            return False
        return len(self._running) < self.spec.parallel or all(
            each.ticket.is_file for each in (job, *self._running)
        )

    def assign(self, job: Job) -> None:
        """Give it a job that it takes; it must have room."""
        assert self.worker is not None
        job.attempts += 1
        self._running[job] = asyncio.create_task(self._do(self.worker, job), name="decode")

    def abort(self, job: Job) -> None:
        """Have a job given up that is being decoded."""
        if self.worker is not None:
            self.worker.abort(job.number)

    async def run(self) -> None:
        """The slot's task, until it is cancelled."""
        retry_s = self._options.retry_s
        failed_at_s = float("-inf")
        try:
            while True:
                try:
                    worker = await self._load_with_fallback()
                except AsrctlError as error:
                    if time.monotonic() < failed_at_s:
                        await asyncio.sleep(_RELOAD_S)
                    else:
                        self._become(SlotState.FAILED, error)
                        await asyncio.sleep(retry_s)
                        retry_s = min(2 * retry_s, _RETRY_GROWTH * self._options.retry_s)
                    self.spec = self._first_spec
                    continue
                retry_s = self._options.retry_s
                await self._serve(worker)
                failed_at_s = time.monotonic() + min(_RELOAD_FOR_S, self._options.job_deadline_s)
        finally:
            self._become(SlotState.CLOSED)

    # Loading

    async def _load_with_fallback(self) -> WorkerProcess:
        """A worker that is ready; falls back to the CPU, then to the fallback model.

        Raises:
            ModelError: The weights do not load.
            ProviderError: The provider cannot run here.
        """
        candidates = [self.spec, replace(self.spec, use_gpu=False), self._fallback]
        failure: AsrctlError = ProviderError("there is nothing to load")
        wait_s = _FIRST_WAIT_S
        for spec in dict.fromkeys(spec for spec in candidates if spec is not None):
            for attempt in range(self._options.attempts):
                if attempt:
                    await asyncio.sleep(wait_s)
                    wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
                self.spec = spec
                try:
                    return await self._load()
                except (WorkerCrashed, WorkerTimeout) as error:
                    failure = ModelError(f"{spec.path}: loading it failed in {spec.provider} ({error})")
                except AsrctlError as error:
                    failure = error
                    break  # it said why; it will say the same the next time
                except Exception as error:  # also what nobody foresaw: without its task the slot is gone
                    failure = ProviderError(f"{type(error).__name__}: {error}")
        raise failure

    async def _load(self) -> WorkerProcess:
        self._become(SlotState.LOADING)
        started = time.perf_counter()
        self._pace = None
        worker = self.worker = await self._started()
        try:
            self.description = await worker.load(self.spec, self._options.load_deadline_s)
            self.load_s = time.perf_counter() - started
            self._become(SlotState.WARMING)
            await self._warm_up(worker)
        except BaseException:
            await self._discard(worker)
            raise
        self.warm_up_s = time.perf_counter() - started - self.load_s
        return worker

    async def _started(self) -> WorkerProcess:
        """A process that can load; where the system starts none now, it is asked again for a while."""
        if self._standby is not None and (process := self._standby.take()) is not None:
            return await WorkerProcess.adopt(process)
        for attempt in range(_STARTS - 1):
            try:
                return await WorkerProcess.start()
            except CannotStart:
                await asyncio.sleep(_FIRST_WAIT_S * 2**attempt)
        return await WorkerProcess.start()

    async def _discard(self, worker: WorkerProcess) -> None:
        self.worker = None
        worker.kill()
        await worker.close()

    async def _warm_up(self, worker: WorkerProcess) -> None:
        """Decode known audio, so that every graph is built and the words prove that it works."""
        health = self._options.health
        if health is None:
            return
        deadline_s = self._options.job_deadline_s
        started_s = time.monotonic()
        try:
            hypothesis = await worker.decode(0, health.samples, health.options, deadline_s)
            self._learn(time.monotonic() - started_s, len(health.samples))
            if health.long_samples is not None:
                await worker.decode(0, health.long_samples, health.options, deadline_s)
        except DecodeError as error:
            raise ModelError(f"{self.spec.path}: it cannot decode its test speech ({error})") from None
        health.judge(self.spec.path, hypothesis)

    # Decoding

    async def _serve(self, worker: WorkerProcess) -> None:
        """Have jobs run on a worker until it is lost."""
        ready_s = time.monotonic()
        self._is_open = True
        self._become(SlotState.READY)
        self._pool.dispatch()
        try:
            await worker.exited
            lost = [loss for task in list(self._running.values()) if (loss := await task) is not None]
            self._running.clear()
            self._is_open = False
            self.restarts += 1
            self._become(SlotState.LOADING)
            self._try_again(lost)
        finally:
            self._is_open = False
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)
            self._running.clear()
            await self._discard(worker)
        if not lost and time.monotonic() - ready_s < _LONGEST_WAIT_S:
            # Do not start one after the other as fast as may be.
            await asyncio.sleep(min(_FIRST_WAIT_S * 2**self._early_deaths, _LONGEST_WAIT_S))
            self._early_deaths += 1

    async def _do(self, worker: WorkerProcess, job: Job) -> _Lost | None:
        """Run one job and answer it, unless the worker was lost with it: then, how."""
        deadline_s = self._options.job_deadline_s
        deadline_s += self._options.deadline_factor * len(job.samples) / SAMPLE_RATE_HZ
        deadline_s *= self._others(job)
        patience_s = math.inf if job.attempts > 1 else self._patience_s(job)
        try:
            if not job.future.done():  # else it was aborted between its assignment and now
                hypothesis = await worker.decode(job.number, job.samples, job.options, deadline_s, patience_s)
                if hypothesis.segments:  # else it may have seen at once that there is nothing to decode
                    self._learn(hypothesis.inference_s, len(job.samples))
                self._pool.inference_s += hypothesis.inference_s
                job.succeed(hypothesis)
        except AbortedByCaller:
            self._pool.gave_way(job)
        except DecodeError as error:
            job.fail(error)
        except (WorkerCrashed, WorkerTimeout) as error:
            return job, error
        except Exception as error:  # also what nobody foresaw: somebody waits for the job
            job.fail(ProviderError(f"{type(error).__name__}: {error}"))
        del self._running[job]
        self._early_deaths = 0
        self._pool.notify()
        self._pool.dispatch()
        return None

    def _patience_s(self, job: Job) -> float:
        """How long the worker may take for a job, by what it has taken so far."""
        if self._pace is None:
            return math.inf
        patience_s = _PATIENCE * self._pace * max(1.0, len(job.samples) / SAMPLE_RATE_HZ)
        return max(_LEAST_PATIENCE_S, patience_s) * self._others(job)

    def _others(self, job: Job) -> int:
        """How many windows, itself counted, a job may have to wait for at the worker."""
        return self.spec.together if job.ticket.is_file else 1

    def _learn(self, took_s: float, samples: int) -> None:
        """Keep the slowest pace: seconds for each second of audio, or for less than that."""
        self._pace = max(self._pace or 0.0, took_s / max(1.0, samples / SAMPLE_RATE_HZ))

    def _try_again(self, lost: Sequence[_Lost]) -> None:
        """Put lost jobs back; when they keep failing, for the fallback; then say that they failed."""
        other = self._fallback if self.spec != self._fallback else None
        for job, error in lost:
            exhausted = job.attempts >= self._options.attempts
            if exhausted and other is not None:
                self.spec, job.attempts, exhausted = other, 1, False
            if exhausted:
                job.fail(type(error)(f"gave up after {job.attempts} attempts: {error}"))
            else:
                self._pool.put_back(job)

    def _become(self, state: SlotState, failure: AsrctlError | None = None) -> None:
        self.state = state
        self._pool.slot_changed(failure)
