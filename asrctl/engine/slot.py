"""One place in the pool: a thread that keeps a worker process alive and feeds it jobs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import psutil

from asrctl.engine.process import Standby, WorkerProcess
from asrctl.errors import AsrctlError, DecodeError, ModelError, ProviderError, WorkerCrashed, WorkerTimeout
from asrctl.policy.priority import Ticket
from asrctl.providers.base import Aborted, DecodeOptions, ModelSpec
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class SlotState(StrEnum):
    """Life of a slot, and of a pool: only a `READY` slot takes jobs; only a pool is `DRAINING`."""

    COLD = "cold"
    LOADING = "loading"
    WARMING = "warming"
    READY = "ready"
    FAILED = "failed"
    DRAINING = "draining"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, eq=False)
class HealthCheck:
    """Audio whose words are known; a worker is ready only once it has found them.

    Attributes:
        samples: Shape (n,), mono float32 at 16 kHz.
        words: Lower-case words that must all be in the text.
        options: How the jobs to come will be decoded, so that the same graphs are built.
        long_samples: A long window to decode too before the worker is ready, so that even the first long
            utterance finds everything built; None leaves that to the first one.
    """

    samples: NDArray[np.float32]
    words: frozenset[str]
    options: DecodeOptions
    long_samples: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How a pool behaves.

    Attributes:
        workers: Processes, each with one loaded model.
        queue_limit: Most jobs that may wait.
        starvation_s: A job that waited this long goes first.
        load_deadline_s: Longest a model may take to load.
        job_deadline_s: Longest a decode may take, plus `deadline_factor` times the audio's duration.
        deadline_factor: See above; generous, since a deadline is there to catch hangs.
        attempts: How often a load or a job is tried before it fails over or fails.
        max_rss_bytes: A worker that grows past this is replaced between jobs; 0 for no bound.
        health: What a worker must decode before it is ready; None to trust the load.
    """

    workers: int = 1
    queue_limit: int = 64
    starvation_s: float = 10.0
    load_deadline_s: float = 120.0
    job_deadline_s: float = 30.0
    deadline_factor: float = 10.0
    attempts: int = 3
    max_rss_bytes: int = 0
    health: HealthCheck | None = None


@dataclass(slots=True, eq=False)
class Job:
    """A window on its way through the pool."""

    number: int
    ticket: Ticket
    samples: NDArray[np.float32]
    options: DecodeOptions
    future: Future[Hypothesis]
    attempts: int = 0
    aborted: bool = False
    worker: WorkerProcess | None = None


class Dispatcher(Protocol):
    """What a slot needs of its pool."""

    @property
    def closing(self) -> bool: ...
    def take(self) -> Job | None: ...
    def finish(self, job: Job, outcome: Hypothesis | AsrctlError) -> None: ...
    def put_back(self, job: Job) -> None: ...
    def discard(self, job: Job) -> None: ...
    def changed(self, slot: Slot, failure: AsrctlError | None = None) -> None: ...


class Slot:
    """Starts a worker, runs jobs on it, and starts another whenever it is lost."""

    def __init__(
        self,
        pool: Dispatcher,
        spec: ModelSpec,
        fallback: ModelSpec | None,
        options: PoolOptions,
        standby: Standby | None,
    ) -> None:
        self._pool = pool
        self._standby = standby
        self._fallback = fallback
        self._options = options
        self.spec = spec
        self.state = SlotState.COLD
        self.worker: WorkerProcess | None = None
        self.description = ""
        self.load_s = 0.0
        self.warm_up_s = 0.0
        self.restarts = 0

    @property
    def settled(self) -> bool:
        """Whether it is ready or will never be."""
        return self.state in (SlotState.READY, SlotState.FAILED, SlotState.CLOSED)

    def run(self) -> None:
        """The slot's thread: until the pool closes or nothing can be loaded."""
        while not self._pool.closing:
            try:
                self._run_worker()
            except AsrctlError as error:
                self._become(SlotState.FAILED, error)
                return
        self._become(SlotState.CLOSED)

    def stop(self) -> None:
        """Kill the worker, from any thread, so that `run` comes to its end."""
        if (worker := self.worker) is not None:
            worker.kill()

    def _run_worker(self) -> None:
        """One worker's life: load it, then jobs until it is lost, too large, or the pool closes."""
        with self._loaded() as worker:
            while (job := self._pool.take()) is not None:
                if not self._do(worker, job) or self._is_too_large(worker):
                    return

    @contextlib.contextmanager
    def _loaded(self) -> Iterator[WorkerProcess]:
        """A worker that is ready; falls back to the CPU, then to the fallback model.

        Raises:
            ModelError: The weights do not load.
            ProviderError: The provider cannot run here.
        """
        worker = self._load_with_fallback()
        try:
            yield worker
        finally:
            self.worker = None
            worker.close()

    def _load_with_fallback(self) -> WorkerProcess:
        candidates = [self.spec, replace(self.spec, use_gpu=False), self._fallback]
        failure: AsrctlError = ProviderError("the pool is closed")
        for spec in dict.fromkeys(spec for spec in candidates if spec is not None):
            for _ in range(self._options.attempts):
                if self._pool.closing:
                    raise failure
                self.spec = spec
                try:
                    return self._load()
                except (WorkerCrashed, WorkerTimeout) as error:
                    failure = ModelError(f"{spec.path}: loading it failed in {spec.provider} ({error})")
                except AsrctlError as error:
                    failure = error
                    break  # it said why; it will say the same the next time
        raise failure

    def _load(self) -> WorkerProcess:
        self._become(SlotState.LOADING)
        started = time.perf_counter()
        worker = self.worker = WorkerProcess(self.spec, self._standby)
        try:
            self.description = worker.wait_loaded(self._options.load_deadline_s)
            self.load_s = time.perf_counter() - started
            self._become(SlotState.WARMING)
            self._warm_up(worker)
        except BaseException:
            self.worker = None
            worker.kill()
            worker.close()
            raise
        self.warm_up_s = time.perf_counter() - started - self.load_s
        self._become(SlotState.READY)
        return worker

    def _warm_up(self, worker: WorkerProcess) -> None:
        """Decode known audio, so that every graph is built and the words prove that it works."""
        health = self._options.health
        if health is None:
            return
        hypothesis = worker.decode(0, health.samples, health.options, self._options.job_deadline_s)
        heard = {word.strip(".,!?").casefold() for word in hypothesis.text.split()}
        if not health.words <= heard:
            raise ModelError(
                f"{self.spec.path}: it does not understand its test speech ({hypothesis.text!r})"
            )
        if health.long_samples is not None:
            worker.decode(0, health.long_samples, health.options, self._options.job_deadline_s)

    def _do(self, worker: WorkerProcess, job: Job) -> bool:
        """Run one job; False if the worker was lost with it."""
        job.worker, job.attempts = worker, job.attempts + 1
        deadline_s = self._options.job_deadline_s
        deadline_s += self._options.deadline_factor * len(job.samples) / SAMPLE_RATE_HZ
        try:
            hypothesis = worker.decode(job.number, job.samples, job.options, deadline_s)
        except Aborted:
            self._pool.discard(job)
        except DecodeError as error:
            self._pool.finish(job, error)
        except (WorkerCrashed, WorkerTimeout) as error:
            self._lost(job, error)
            return False
        else:
            self._pool.finish(job, hypothesis)
        return True

    def _lost(self, job: Job, error: WorkerCrashed | WorkerTimeout) -> None:
        """Try a lost job again; when it keeps failing, on the fallback; then say that it failed."""
        self.restarts += 1
        exhausted = job.attempts >= self._options.attempts
        if exhausted and self._fallback is not None and self.spec != self._fallback:
            self.spec, job.attempts, exhausted = self._fallback, 1, False
        if exhausted and not self._pool.closing:
            self._pool.finish(job, type(error)(f"gave up after {job.attempts} attempts: {error}"))
        else:
            self._pool.put_back(job)

    def _is_too_large(self, worker: WorkerProcess) -> bool:
        if not self._options.max_rss_bytes:
            return False
        with contextlib.suppress(psutil.Error):
            return bool(psutil.Process(worker.pid).memory_info().rss > self._options.max_rss_bytes)
        return False

    def _become(self, state: SlotState, failure: AsrctlError | None = None) -> None:
        self.state = state
        self._pool.changed(self, failure)
