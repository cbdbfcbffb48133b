"""Decoding with one model while another is made ready, and then with that: the rungs of the ladder."""

from __future__ import annotations

from typing import Self

from asrctl.policy.priority import Ticket
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.transcript import Hypothesis, Samples
from asrctl.workers.options import PoolOptions
from asrctl.workers.pool import BATCH, WorkerPool
from asrctl.workers.standby import Standby


class ModelSwitch:
    """A `WindowDecoder` that can change its model without losing a job.

    Windows are independent of each other, so a switch may fall anywhere: what was asked before is decoded by
    the old model, what comes after by the new one.
    """

    def __init__(
        self,
        spec: ModelSpec,
        options: PoolOptions | None = None,
        *,
        fallback: ModelSpec | None = None,
        standby: Standby | None = None,
    ) -> None:
        """Start the first model; arguments as for `WorkerPool`."""
        self._options = options or PoolOptions()
        self._fallback = fallback
        self._pools = [WorkerPool(spec, self._options, fallback=fallback, standby=standby)]
        self._closed = False
        self._lost_before = 0

    @property
    def pool(self) -> WorkerPool:
        """The pool that decodes what is asked now."""
        return self._pools[0]

    @property
    def spec(self) -> ModelSpec:
        """The model that decodes what is asked now."""
        return self.pool.spec

    @property
    def width(self) -> int:
        """How many windows are decoded at a time."""
        return self.pool.width

    @property
    def restarts(self) -> int:
        """Workers that were lost and replaced, whatever their model; it never falls."""
        return self._lost_before + sum(pool.restarts for pool in self._pools)

    @property
    def load_s(self) -> float:
        """How long loading the present model took, of the slowest worker."""
        return self.pool.load_s

    @property
    def inference_s(self) -> float:
        """Time that recognisers took, with the models that are loaded now."""
        return sum(pool.inference_s for pool in self._pools)

    def pids(self) -> list[int]:
        """Process ids of the live workers of all models."""
        return [pid for pool in self._pools for pid in pool.pids()]

    async def decode(self, samples: Samples, options: DecodeOptions, ticket: Ticket = BATCH) -> Hypothesis:
        """Decode one window; see `WindowDecoder.decode`."""
        return await self.pool.decode(samples, options, ticket)

    async def wait_ready(self) -> None:
        """Wait until the present model is ready; raises as `WorkerPool.wait_ready`."""
        await self.pool.wait_ready()

    async def switch(self, spec: ModelSpec) -> None:
        """Load another model, change to it once it is ready, and let the old one finish its work.

        Raises:
            ModelError: It does not load; the old one simply goes on.
            ProviderError: Likewise; or all was closed meanwhile.
        """
        if self._closed or spec == self.spec:
            return
        new = WorkerPool(spec, self._options, fallback=self._fallback)
        self._pools.append(new)
        try:
            await new.wait_ready()
        except BaseException:
            await self._retire(new)
            raise
        old = self.pool
        self._pools.remove(new)
        self._pools.insert(0, new)
        try:
            await old.drain()
        finally:
            await self._retire(old)

    async def _retire(self, pool: WorkerPool) -> None:
        await pool.close()
        if pool in self._pools:
            self._pools.remove(pool)
            self._lost_before += pool.restarts

    async def close(self) -> None:
        """Stop at once; see `WorkerPool.close`."""
        self._closed = True
        for pool in list(self._pools):
            await pool.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
