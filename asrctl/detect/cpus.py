"""How many processors this process may really use."""

from __future__ import annotations

import math
import os
import sys

from asrctl.detect.cgroup import Limits, read_limits


def available_cpus(limits: Limits | None = None) -> int:
    """Processors by affinity, or by the container's CPU quota where that is less; at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = (limits or read_limits()).cpus
    return max(1, min(count, math.ceil(quota)) if quota else count)


def fast_cpus() -> int | None:
    """Performance cores of an Apple processor, as its kernel counts them; None where there is one kind."""
    if sys.platform != "darwin":
        return None
    import ctypes

    try:
        value, size = ctypes.c_int(0), ctypes.c_size_t(ctypes.sizeof(ctypes.c_int))
        name = b"hw.perflevel0.physicalcpu"
        failed = ctypes.CDLL(None).sysctlbyname(
            name, ctypes.byref(value), ctypes.byref(size), None, ctypes.c_size_t(0)
        )
    except (OSError, AttributeError):
        return None
    return None if failed or value.value < 1 else value.value
