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
    """Values for settings that nobody set.

    Attributes:
        threads: For each worker.
        workers: Processes; a second one costs another copy of the model, so that somebody has to ask for it.
        sessions: Live ones that a server should let in.
    """

    threads: int
    workers: int
    sessions: int


def defaults(workers: int = 0) -> Defaults:
    """What suits this machine as far as a glance can tell: its cores, as affinity and quota leave them.

    Args:
        workers: Processes that somebody asked for; 0 for none.
    """
    cores, workers = available_cpus(), workers or 1
    return Defaults(threads_for(cores, fast_cpus(), workers), workers, sessions_for(cores))
