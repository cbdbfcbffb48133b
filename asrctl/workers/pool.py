"""A pool of watched worker processes: `await pool.decode(...)` gives a hypothesis, or says what happened."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Self

from asrctl.errors import AsrctlError, ProviderError, Superseded
from asrctl.policy.priority import JobQueue, Kind, Ticket
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.transcript import Hypothesis, Samples
from asrctl.workers.job import Job
from asrctl.workers.options import PoolOptions, SlotState
from asrctl.workers.slot import Slot
from asrctl.workers.standby import Standby

BATCH = Ticket(session="", kind=Kind.FINAL)
"""For jobs of a single user, such as a file."""


class WorkerPool:
    """Runs decodes in child processes; a `WindowDecoder`, and an asynchronous context manager.

    Belongs to one event loop. Its slots are tasks that it owns: they end with `close`, which gives everybody
    who still waits an error.
    """

    def __init__(
        self,
        spec: ModelSpec,
        options: PoolOptions | None = None,
        *,
        fallback: ModelSpec | None = None,
        standby: Standby | None = None,
    ) -> None:
        """Start the workers, in a running event loop; they load while the caller goes on.

        Args:
            spec: What the workers load.
            options: Sizes and deadlines.
            fallback: Loaded by a worker that keeps failing with `spec`.
            standby: A process that was started earlier, for the first worker.
        """
        options = options or PoolOptions()
        self._queue: JobQueue[Job] = JobQueue(
            options.queue_limit, options.starvation_s, time.monotonic, options.file_turn_s
        )
        self._file_turn_s = options.file_turn_s
        self._file_done_s = -options.file_turn_s
        self._numbers = itertools.count(1)
        self._changed = asyncio.Event()
        self._closed = False
        self._draining = False
        self._failure: AsrctlError | None = None
        self._yielding = set[Job]()
        self.spec = spec
        self.inference_s = 0.0
        """Time that recognisers took for the jobs done so far, summed over workers."""
        self.slots = [Slot(self, spec, fallback, options, standby) for _ in range(options.workers)]
        self._tasks = [asyncio.create_task(slot.run(), name="worker") for slot in self.slots]

    async def decode(self, samples: Samples, options: DecodeOptions, ticket: Ticket = BATCH) -> Hypothesis:
        """Decode one window; see `WindowDecoder.decode`."""
        if self._closed or self._draining:
            raise ProviderError("the recogniser is closed")
        if self._failure is not None:
            raise _again(self._failure)
        job = Job(next(self._numbers), ticket, samples, options)
        for displaced in self._queue.push(ticket, job):
            displaced.fail(Superseded("another decode takes its place"))
        self._make_way(job)
        self.dispatch()
        try:
            hypothesis = await job.future
            if ticket.is_file:
                self._file_done_s = time.monotonic()
            return hypothesis
        finally:
            self._yielding.discard(job)
            self._withdraw(job)

    async def wait_ready(self) -> None:
        """Wait until every worker is ready or has failed.

        Raises:
            ModelError: The weights do not load in any of them.
            ProviderError: The provider cannot run here, or the pool was closed.
        """
        while not (all(slot.settled for slot in self.slots) or self._closed):
            await self._changed.wait()
        if self._closed:
            raise ProviderError("the recogniser is closed")
        if self._failure is not None:
            raise _again(self._failure)

    def pids(self) -> list[int]:
        """Process ids of the live workers."""
        return [slot.worker.pid for slot in self.slots if slot.worker is not None]

    @property
    def width(self) -> int:
        """How many windows of files are decoded at a time."""
        return len(self.slots) * self.spec.room

    @property
    def restarts(self) -> int:
        """Workers that were lost and replaced."""
        return sum(slot.restarts for slot in self.slots)

    @property
    def load_s(self) -> float:
        """How long loading took, of the slowest worker."""
        return max(slot.load_s for slot in self.slots)

    async def drain(self) -> None:
        """Finish what was submitted, take nothing more, then close."""
        self._draining = True
        while not self._closed and self._failure is None and (len(self._queue) or self._running()):
            await self._changed.wait()
        await self.close()

    async def close(self) -> None:
        """Stop at once: whoever waits gets an error, what runs is killed, every process is reaped."""
        self._closed = True
        self._fail_all(ProviderError("the recogniser was closed"))
        self.notify()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # What the slots call.

    def dispatch(self) -> None:
        """Give waiting jobs to workers that have room, the least busy first."""
        while (slot := self._with_room()) is not None and (job := self._queue.pop(slot.takes)) is not None:
            if not job.future.done():
                slot.assign(job)

    def _with_room(self) -> Slot | None:
        able = (slot for slot in self.slots if slot.has_room)
        return min(able, key=lambda slot: len(slot.jobs), default=None)

    def put_back(self, job: Job) -> None:
        """A job's worker was lost: whoever is free takes it next, unless nobody waits for it any more.

        A second decode would go before finals so, and can be done without.
        """
        self._yielding.discard(job)
        if job.ticket.kind is Kind.AGAIN:
            job.fail(Superseded("its worker was lost"))
        if not job.future.done():
            self._queue.put_back(job.ticket, job)
            self.dispatch()

    def notify(self) -> None:
        """Something changed: a slot's state, or a job is done."""
        self._changed.set()
        self._changed = asyncio.Event()

    def slot_changed(self, failure: AsrctlError | None = None) -> None:
        """A slot changed its state; the last one to fail takes the waiting jobs with it."""
        if any(slot.state is SlotState.READY for slot in self.slots):
            self._failure = None
        elif failure is not None and all(slot.state is SlotState.FAILED for slot in self.slots):
            self._failure = failure
            self._fail_all(failure)
        self.notify()

    # Jobs

    def _make_way(self, job: Job) -> None:
        """For a live final which no worker is free for, stop running windows of files, which are decoded
        again later, or else a second decode, or else the youngest running partial."""
        ticket = job.ticket
        if ticket.kind is Kind.PARTIAL or ticket.is_file:
            return
        if any(slot.has_room and slot.takes(job) for slot in self.slots):
            return
        if self._yield_files() or ticket.kind is Kind.AGAIN:
            return
        lesser = [job for job in self._running() if job.ticket.kind is not Kind.FINAL]
        if lesser:
            job = max(lesser, key=lambda job: (-job.ticket.kind, job.ticket.source, job.number))
            job.fail(Superseded("a final needs its worker"))
            self._withdraw(job)

    def _yield_files(self) -> bool:
        """Put as many running windows of files back as a worker must be rid of to take one more job; of those
        for which it is time that one gets done, the first goes on."""
        due_s = time.monotonic() - self._file_turn_s
        for slot in self.slots:
            staying = [job for job in slot.jobs if job not in self._yielding]
            files = [job for job in staying if job.ticket.is_file and not job.future.done()]
            if files and max(files[0].asked_s, self._file_done_s) <= due_s:
                del files[0]
            beyond = max(0, len(staying) - slot.at_a_time)
            for job in files[-beyond - 1 :]:
                self._yielding.add(job)
                slot.abort(job)
            if len(files) > beyond:
                return True
        return False

    def gave_way(self, job: Job) -> None:
        """A worker has given a job up: if somebody still waits for it, it is decoded again."""
        self._yielding.discard(job)
        if not job.future.done():
            job.number, job.attempts = next(self._numbers), job.attempts - 1
            self._queue.put_back(job.ticket, job)

    def _running(self) -> list[Job]:
        """Jobs that are being decoded and that somebody waits for."""
        return [job for _, job in self._at_work()]

    def _at_work(self) -> list[tuple[Slot, Job]]:
        return [(slot, job) for slot in self.slots for job in slot.jobs if not job.future.done()]

    def _withdraw(self, job: Job) -> None:
        """Nobody waits for a job any more: take it out, or have its worker give it up."""
        self._queue.remove(job)
        for slot in self.slots:
            if job in slot.jobs:
                slot.abort(job)

    def _fail_all(self, failure: AsrctlError) -> None:
        for job in [*self._queue.clear(), *self._running()]:
            job.fail(_again(failure))


def _again(error: AsrctlError) -> AsrctlError:
    """The same error for another waiter: an exception that is raised twice collects both tracebacks."""
    return type(error)(*error.args)
