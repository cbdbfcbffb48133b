"""Pools over the scripted provider: real processes, no weights."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from asrctl.providers.base import ModelSpec
from asrctl.workers.options import PoolOptions
from asrctl.workers.pool import WorkerPool

Script = Callable[..., ModelSpec]
PoolOf = Callable[..., WorkerPool]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Makes a script file out of keyword arguments; `crashes=n` makes a fault happen n times."""
    made: list[Path] = []

    def make(parallel: int = 1, together: int = 1, **faults: Any) -> ModelSpec:
        path = tmp_path / f"script{len(made)}.json"
        made.append(path)
        if isinstance(faults.get("crashes"), int):
            counter = path.with_suffix(".count")
            counter.write_text(str(faults["crashes"]))
            faults["crashes"] = str(counter)
        path.write_text(json.dumps(faults))
        return ModelSpec("scripted", path, use_gpu=False, parallel=parallel, together=together)

    return make


@pytest.fixture
async def pool_of() -> AsyncIterator[PoolOf]:
    """Makes pools that are closed at the end of the test."""
    pools: list[WorkerPool] = []

    def make(spec: ModelSpec, *, fallback: ModelSpec | None = None, **options: Any) -> WorkerPool:
        pools.append(WorkerPool(spec, PoolOptions(**options), fallback=fallback))
        return pools[-1]

    yield make
    for pool in pools:
        await pool.close()
