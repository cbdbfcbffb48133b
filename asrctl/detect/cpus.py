"""How many processors this process may really use."""

from __future__ import annotations

import math
import os

from asrctl.detect.cgroup import Limits, read_limits
from asrctl.policy.sizing import MAX_THREADS


def available_cpus(limits: Limits | None = None) -> int:
    """Processors by affinity, or by the container's CPU quota where that is less; at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = (limits or read_limits()).cpus
    return max(1, min(count, math.ceil(quota)) if quota else count)


def threads_per_worker(workers: int, cpus: int | None = None) -> int:
    """Threads for each of `workers` processes so that together they fill the machine."""
    return max(1, min(MAX_THREADS, (cpus or available_cpus()) // workers))
