"""A pool of workers for tests that are not asynchronous; an event loop runs while something is asked."""

from __future__ import annotations

import asyncio
from typing import Self

import numpy as np
from numpy.typing import NDArray

from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.transcript import Hypothesis
from asrctl.workers.options import PoolOptions
from asrctl.workers.pool import WorkerPool

PATIENCE_S = 120.0


class BlockingPool:
    """Starts at once; a context manager."""

    def __init__(self, spec: ModelSpec, options: PoolOptions | None = None) -> None:
        self.runner = asyncio.Runner()

        async def begin() -> WorkerPool:
            return WorkerPool(spec, options)

        self.pool = self.runner.run(begin())

    def wait_ready(self) -> None:
        self.runner.run(self.pool.wait_ready())

    def decode(self, samples: NDArray[np.float32], options: DecodeOptions) -> Hypothesis:
        return self.runner.run(asyncio.wait_for(self.pool.decode(samples, options), PATIENCE_S))

    @property
    def restarts(self) -> int:
        return self.pool.restarts

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.runner.run(self.pool.close())
        self.runner.close()
