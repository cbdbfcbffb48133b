"""Decoding with one model while another is made ready, and then with that: the rungs of the ladder."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Self

from asrctl.engine.pool import BATCH, WorkerPool
from asrctl.engine.slot import PoolOptions
from asrctl.errors import AsrctlError
from asrctl.policy.priority import Ticket
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.transcript import Hypothesis

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ModelSwitch:
    """Looks like a pool, and can change its model without losing a job. Thread-safe; a context manager.

    Windows are independent of each other, so a switch may fall anywhere: what was submitted before is
    decoded by the old model, what comes after by the new one.
    """

    def __init__(
        self, spec: ModelSpec, options: PoolOptions | None = None, *, fallback: ModelSpec | None = None
    ) -> None:
        """Start the first model; arguments as for `WorkerPool`."""
        self._options = options or PoolOptions()
        self._fallback = fallback
        self._lock = threading.Lock()
        self._spec = spec
        self._pools = [WorkerPool(spec, self._options, fallback=fallback)]
        self._switches: list[threading.Thread] = []
        self._closing = False
        self._lost_before = 0

    @property
    def spec(self) -> ModelSpec:
        """The model that decodes what is submitted now."""
        return self._spec

    @property
    def pool(self) -> WorkerPool:
        """The pool that decodes what is submitted now."""
        return self._pools[0]

    @property
    def restarts(self) -> int:
        """Workers that were lost and replaced, whatever their model; it never falls."""
        with self._lock:
            return self._lost_before + sum(pool.restarts for pool in self._pools)

    def submit(
        self, samples: NDArray[np.float32], options: DecodeOptions, ticket: Ticket = BATCH
    ) -> Future[Hypothesis]:
        """Queue one window; see `WorkerPool.submit`."""
        with self._lock:  # a pool that drains takes nothing, and must not be chosen just before it does
            return self.pool.submit(samples, options, ticket)

    def abort(self, future: Future[Hypothesis]) -> None:
        """Stop a job nobody needs any more; see `WorkerPool.abort`."""
        for pool in list(self._pools):
            pool.abort(future)

    def switch(self, spec: ModelSpec) -> Future[None]:
        """Load another model in the background and change to it once it is ready.

        Returns:
            Done when the old model has finished its work and is gone. It fails with `ModelError` or
            `ProviderError` if the new one does not load; the old one then simply goes on.
        """
        done: Future[None] = Future()
        thread = threading.Thread(target=self._switch, args=(spec, done), name="switch", daemon=True)
        with self._lock:
            if self._closing or spec == self._spec:
                done.set_result(None)
                return done
            self._switches = [each for each in self._switches if each.is_alive()] + [thread]
            thread.start()
        return done

    def _switch(self, spec: ModelSpec, done: Future[None]) -> None:
        new = WorkerPool(spec, self._options, fallback=self._fallback)
        with self._lock:
            self._pools.append(new)  # so that `close` finds it while it loads
        try:
            new.wait_ready()
        except AsrctlError as error:
            self._retire(new)
            done.set_exception(error)
            return
        with self._lock:
            old, self._spec = self.pool, spec
            self._pools.remove(new)
            self._pools.insert(0, new)
        old.drain()
        self._retire(old)
        done.set_result(None)

    def _retire(self, pool: WorkerPool) -> None:
        pool.close()
        with self._lock:
            self._pools.remove(pool)
            self._lost_before += pool.restarts

    def pids(self) -> list[int]:
        """Process ids of the live workers of all models."""
        return [pid for pool in list(self._pools) for pid in pool.pids()]

    def wait_ready(self) -> None:
        """Block until the present model is ready; raises as `WorkerPool.wait_ready`."""
        self.pool.wait_ready()

    def close(self) -> None:
        """Stop at once; see `WorkerPool.close`."""
        with self._lock:
            self._closing = True
            pools = list(self._pools)
        for pool in pools:
            pool.close()
        for thread in self._switches:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
