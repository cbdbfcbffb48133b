"""Defaults for those who have no config: by the same rules as `asrctl detect --quick`, in a few milliseconds.

Nothing heavy is imported and no process started: it takes 8 ms in a process that has imported the
command line and the model store (2 busy cores, CPython 3.11).
"""

from __future__ import annotations

from dataclasses import dataclass

from asrctl.detect.cpus import available_cpus, fast_cpus
from asrctl.policy.sizing import sessions_for, threads_for


@dataclass(frozen=True, slots=True)
class Defaults:
    """Defaults of settings.

    Attributes:
        threads: For each worker.
        workers: Processes; more than one only on request, as each holds a copy of the model.
        sessions: Live ones that a server should let in.
    """

    threads: int
    workers: int
    sessions: int


def defaults(workers: int = 0) -> Defaults:
    """What suits this machine's cores, as far as affinity and quota allow their use.

    Args:
        workers: Processes that were asked for; 0 for none.
    """
    cores, workers = available_cpus(), workers or 1
    return Defaults(threads_for(cores, fast_cpus(), workers), workers, sessions_for(cores))
