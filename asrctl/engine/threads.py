"""Windows decoded in threads of this process, by models that only wait for others, such as servers."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, NamedTuple

from asrctl.policy.priority import Ticket
from asrctl.providers.base import Aborted, DecodeOptions, WindowedModel
from asrctl.transcript import Hypothesis

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class _Job(NamedTuple):
    samples: NDArray[np.float32]
    options: DecodeOptions
    future: Future[Hypothesis]
    aborted: threading.Event


class ThreadedRecognizer:
    """A `Recognizer`: so many models, each in a thread of its own, first come, first served. Thread-safe."""

    def __init__(self, make: Callable[[], WindowedModel], threads: int) -> None:
        """Start the threads; each makes its model."""
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._jobs: dict[Future[Hypothesis], _Job] = {}
        self._closed = False
        models = [make() for _ in range(threads)]
        self._threads = [
            threading.Thread(target=self._run, args=(model,), name="windows", daemon=True) for model in models
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self, samples: NDArray[np.float32], options: DecodeOptions, ticket: Ticket
    ) -> Future[Hypothesis]:
        """Queue one window; see `Recognizer`."""
        job = _Job(samples, options, Future(), threading.Event())
        with self._lock:
            if self._closed:
                job.future.cancel()
                return job.future
            self._jobs[job.future] = job
        self._queue.put(job)
        return job.future

    def abort(self, future: Future[Hypothesis]) -> None:
        """Stop a job nobody needs any more; its future ends up cancelled unless it is done already."""
        with self._lock:
            job = self._jobs.get(future)
        if job is not None and not future.cancel():
            job.aborted.set()

    def close(self) -> None:
        """Stop at once."""
        with self._lock:
            self._closed = True
            jobs = list(self._jobs)
        for future in jobs:
            self.abort(future)
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self, model: WindowedModel) -> None:
        with model:
            while (job := self._queue.get()) is not None:
                if job.future.set_running_or_notify_cancel():
                    self._do(model, job)
                with self._lock:
                    del self._jobs[job.future]

    def _do(self, model: WindowedModel, job: _Job) -> None:
        try:
            hypothesis = model.transcribe(job.samples, job.options, job.aborted.is_set)
        except Aborted:
            job.future.set_exception(CancelledError())
        except Exception as error:
            job.future.set_exception(error)
        else:
            job.future.set_result(hypothesis)
