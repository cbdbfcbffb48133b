"""How many processors this process may really use."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_MAX_USEFUL_THREADS = 8
"""whisper.cpp's small models gain nothing from more."""


def available_cpus(quota_file: Path = _CGROUP_QUOTA) -> int:
    """Processors by affinity, or by the container's CPU quota (cgroup v2) where that is less; at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = quota_file.read_text().split()
        count = min(count, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # no cgroup, or "max"
        pass
    return max(1, count)


def threads_per_worker(workers: int) -> int:
    """Threads for each of `workers` processes so that together they fill the machine."""
    return max(1, min(_MAX_USEFUL_THREADS, available_cpus() // workers))
