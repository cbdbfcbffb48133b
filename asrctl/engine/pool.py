"""A pool of watched worker processes: submit a window, get a hypothesis or an error that says what happened.

The interface is small on purpose, so that workers on other machines can stand behind it.
"""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import CancelledError, Future
from types import TracebackType
from typing import TYPE_CHECKING, Self

from asrctl.engine.process import Standby
from asrctl.engine.slot import Job, PoolOptions, Slot, SlotState
from asrctl.errors import AsrctlError
from asrctl.policy.priority import JobQueue, Kind, Ticket
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.transcript import Hypothesis

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH = Ticket(session="", kind=Kind.FINAL)
"""For jobs of a single user, such as a file."""

_READINESS = [
    SlotState.READY,
    SlotState.WARMING,
    SlotState.LOADING,
    SlotState.COLD,
    SlotState.FAILED,
    SlotState.CLOSED,
]
"""Of several workers the first of these counts."""


class WorkerPool:
    """Runs decodes in child processes. Thread-safe; a context manager."""

    def __init__(
        self,
        spec: ModelSpec,
        options: PoolOptions | None = None,
        *,
        fallback: ModelSpec | None = None,
        standby: Standby | None = None,
    ) -> None:
        """Start the workers; they load while the caller goes on.

        Args:
            spec: What the workers load.
            options: Sizes and deadlines.
            fallback: Loaded by a worker that keeps failing with `spec`.
            standby: A process that was started earlier, for the first worker.
        """
        options = options or PoolOptions()
        self._changed = threading.Condition()
        self._queue: JobQueue[Job] = JobQueue(options.queue_limit, options.starvation_s, time.monotonic)
        self._running: dict[Future[Hypothesis], Job] = {}
        self._numbers = itertools.count(1)
        self._closing = False
        self._draining = False
        self._fatal: AsrctlError | None = None
        self.inference_s = 0.0
        """Time that recognisers took for the jobs done so far, summed over workers."""
        self.slots = [Slot(self, spec, fallback, options, standby) for _ in range(options.workers)]
        self._threads = [threading.Thread(target=slot.run, name="worker", daemon=True) for slot in self.slots]
        for thread in self._threads:
            thread.start()

    def submit(
        self, samples: NDArray[np.float32], options: DecodeOptions, ticket: Ticket = BATCH
    ) -> Future[Hypothesis]:
        """Queue one window.

        Args:
            samples: Shape (n,), contiguous mono float32 at 16 kHz; left unchanged meanwhile.
            options: How to decode it.
            ticket: Whose it is and how urgent.

        Returns:
            The hypothesis to come. It is cancelled if a newer partial takes its place, if it is a partial and
            a final needs its worker, or if the pool closes;
            it fails with `DecodeError`, `WorkerCrashed`, `WorkerTimeout` or, where no worker could load
            its model, with the reason for that.

        Raises:
            QueueFull: As many jobs wait as may.
        """
        job = Job(next(self._numbers), ticket, samples, options, Future())
        with self._changed:
            refused = self._fatal or self._closing or self._draining
            displaced = [] if refused else self._queue.push(ticket, job)
            preempted = None if refused else self._preempted_by(ticket)
            self._changed.notify()
        if self._fatal is not None:
            job.future.set_exception(self._fatal)
        elif refused:
            job.future.cancel()
        for old in displaced:
            old.future.cancel()
        if preempted is not None:
            self._stop(preempted)
        return job.future

    def abort(self, future: Future[Hypothesis]) -> None:
        """Stop a job nobody needs any more; its future ends up cancelled unless it is done already."""
        if future.cancel():
            return
        with self._changed:
            job = self._running.get(future)
        if job is not None:
            self._stop(job)

    def wait_ready(self) -> None:
        """Block until every worker is ready or has failed.

        Raises:
            ModelError: The weights do not load.
            ProviderError: The provider cannot run here.
        """
        with self._changed:
            self._changed.wait_for(lambda: all(slot.settled for slot in self.slots))
            if self._fatal is not None:
                raise self._fatal

    def pids(self) -> list[int]:
        """Process ids of the live workers."""
        return [slot.worker.pid for slot in self.slots if slot.worker is not None]

    def queued(self) -> int:
        """Jobs that wait."""
        with self._changed:
            return len(self._queue)

    @property
    def width(self) -> int:
        """How many windows are decoded at a time."""
        return len(self.slots)

    @property
    def restarts(self) -> int:
        """Workers that were lost and replaced."""
        return sum(slot.restarts for slot in self.slots)

    @property
    def state(self) -> SlotState:
        """The pool as a whole: ready once one worker is, failed once all have."""
        if self._closing:
            return SlotState.CLOSED
        if self._draining:
            return SlotState.DRAINING
        return min((slot.state for slot in self.slots), key=_READINESS.index)

    def drain(self) -> None:
        """Finish what was submitted, take nothing more, then close; blocks until that is done."""
        with self._changed:
            self._draining = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self.close()

    def close(self) -> None:
        """Stop at once: cancel what waits, kill what runs, reap every process."""
        with self._changed:
            self._closing = True
            waiting = self._drain()
            self._changed.notify_all()
            for slot in self.slots:
                slot.stop()
        for job in waiting:
            job.future.cancel()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What the slots call.

    @property
    def closing(self) -> bool:
        """Whether the pool is being closed, or has drained: no worker is needed any more."""
        with self._changed:
            return self._closing or (self._draining and not len(self._queue))

    def take(self) -> Job | None:
        """The next job, blocking; None once the pool closes."""
        with self._changed:
            while not self._closing:
                job = self._queue.pop()
                if job is None and self._draining:
                    return None
                if job is None:
                    self._changed.wait()
                elif job.attempts or job.future.set_running_or_notify_cancel():
                    self._running[job.future] = job
                    return job
        return None

    def finish(self, job: Job, outcome: Hypothesis | AsrctlError) -> None:
        """A job is done."""
        self._forget(job)
        if isinstance(outcome, AsrctlError):
            job.future.set_exception(outcome)
        else:
            with self._changed:
                self.inference_s += outcome.inference_s
            job.future.set_result(outcome)

    def put_back(self, job: Job) -> None:
        """A job's worker was lost: whoever is free takes it next."""
        self._forget(job)
        with self._changed:
            if not self._closing and not job.aborted:
                self._queue.put_back(job.ticket, job)
                self._changed.notify()
                return
        self.discard(job)

    def discard(self, job: Job) -> None:
        """A job that runs is not wanted any more: its future ends as a cancelled one."""
        self._forget(job)
        job.future.set_exception(CancelledError())

    def changed(self, slot: Slot, failure: AsrctlError | None = None) -> None:
        """A slot changed its state; the last one to fail takes the pool with it."""
        doomed: list[Job] = []
        with self._changed:
            if failure is not None and all(other.state is SlotState.FAILED for other in self.slots):
                self._fatal = failure
                doomed = self._drain()
            self._changed.notify_all()
        for job in doomed:
            self.finish(job, failure)  # type: ignore[arg-type]

    def _preempted_by(self, ticket: Ticket) -> Job | None:
        """The running partial that makes way for a final which no worker is free for; the youngest."""
        running = [job for job in self._running.values() if not job.aborted]
        if ticket.kind is not Kind.FINAL or len(running) < len(self.slots):
            return None
        partials = [job for job in running if job.ticket.kind is Kind.PARTIAL]
        return max(partials, key=lambda job: (job.ticket.source, job.number), default=None)

    def _stop(self, job: Job) -> None:
        """Have a running job's worker give it up; its future will end as a cancelled one."""
        if (worker := job.worker) is not None:
            job.aborted = True
            worker.abort(job.number)

    def _forget(self, job: Job) -> None:
        job.worker = None
        with self._changed:
            self._running.pop(job.future, None)

    def _drain(self) -> list[Job]:
        jobs = []
        while (job := self._queue.pop()) is not None:
            jobs.append(job)
        return jobs
