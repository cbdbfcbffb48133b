"""Ray as an executor. No other module imports it."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from asrctl.cluster.work import TaskLost
from asrctl.errors import ProviderError, ServerError, UsageError

LOCAL = "local"


@contextmanager
def connected(address: str) -> Iterator[None]:
    """While entered, tasks can be run.

    Args:
        address: "ray://HOST:PORT" of a cluster, through its client server; "HOST:PORT" where this machine is
            part of it; "local" starts one on this machine, which ends with this.

    Raises:
        ServerError: The cluster cannot be reached.
        UsageError: It is no such address.
    """
    if address != LOCAL and not re.fullmatch(r"(ray://)?[^/]+:\d+", address):
        raise UsageError(f"--cluster takes ray://HOST:PORT, HOST:PORT or local, not {address!r}")
    # Else a cluster that is started here reports to Ray's makers.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        locally = {"include_dashboard": False} if address == LOCAL else {}
        ray.init(address, log_to_driver=False, logging_level="error", **locally)
    except Exception as error:
        reason = str(error).strip().rpartition("\n")[2]  # of a traceback of the cluster's
        raise ServerError(f"cannot reach the cluster {address}: {reason}") from error
    try:
        yield
    finally:
        ray.shutdown()


@dataclass(frozen=True, slots=True)
class OnRay:
    """An `Executor`, in the process that is connected and in worker processes.

    Attributes:
        cpus: What Ray counts for each task.
    """

    cpus: int

    def slots(self) -> int:
        """See `Executor.slots`."""
        with _connection():
            return int(ray.cluster_resources().get("CPU", 0)) // self.cpus

    async def run(self, function: Callable[..., Any], *arguments: Any, light: bool = False) -> Any:
        """See `Executor.run`."""
        # What takes no CPU would all be put on one machine. Lost tasks are submitted again by who knows them.
        how = {"num_cpus": 0, "scheduling_strategy": "SPREAD"} if light else {"num_cpus": self.cpus}
        with _connection():
            task = _remote(function).options(max_retries=0, **how).remote(*arguments)
        try:
            with _connection():
                # Shielded: Ray would stumble over a future that is cancelled.
                return await asyncio.shield(asyncio.wrap_future(task.future()))
        except RayTaskError as error:
            raise ProviderError(f"a task of the cluster failed: {error.cause!r}") from error
        except RayError as error:
            raise TaskLost(str(error).strip().partition("\n")[0]) from error


@contextmanager
def _connection() -> Iterator[None]:
    try:
        yield
    except ConnectionError as error:
        raise ServerError(f"the connection to the cluster was lost: {error}") from error


@cache
def _remote(function: Callable[..., Any]) -> Any:
    return ray.remote(function)
