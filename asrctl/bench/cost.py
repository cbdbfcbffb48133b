"""What work costs: processor time and memory of this process and the workers together."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress

import psutil

_INTERVAL_S = 0.1


class Cost:
    """Measures from the beginning of a `with` block to its end.

    Attributes:
        parent_s: Processor time of this process; known at the end, as all others are.
        workers_s: That of the workers.
        busy_share: What everybody else used of the machine's processors, 0 to 1.
        peak_rss_mb: Highest sum of resident sets that was seen, in MB of 1,000,000 bytes. What processes
            share counts for each.
        peak_workers_rss_mb: The same of the workers alone.
    """

    def __init__(self, worker_pids: Sequence[int]) -> None:
        self._processes = [psutil.Process()]
        for pid in worker_pids:
            with suppress(psutil.Error):  # lost already; its successor is not counted either
                self._processes.append(psutil.Process(pid))
        self._cpu_s = [0.0] * len(self._processes)
        self._stop = threading.Event()
        self.parent_s = 0.0
        self.workers_s = 0.0
        self.busy_share = 0.0
        self.peak_rss_mb = 0.0
        self.peak_workers_rss_mb = 0.0

    @property
    def cpu_s(self) -> float:
        """Processor time of all."""
        return self.parent_s + self.workers_s

    def __enter__(self) -> Cost:
        self._look()
        self._before = list(self._cpu_s)
        self._machine = _machine_s()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="cost")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._look()
        spent = [after - before for after, before in zip(self._cpu_s, self._before, strict=True)]
        self.parent_s, self.workers_s = spent[0], sum(spent[1:])
        busy_s, all_s = (after - before for after, before in zip(_machine_s(), self._machine, strict=True))
        if all_s > 0:
            self.busy_share = min(1.0, max(0.0, (busy_s - self.cpu_s) / all_s))

    def _watch(self) -> None:
        while not self._stop.wait(_INTERVAL_S):
            self._look()

    def _look(self) -> None:
        """Note memory, and processor time as far as it is known: a worker may be lost on the way."""
        rss_bytes = [0] * len(self._processes)
        for index, process in enumerate(self._processes):
            try:
                with process.oneshot():
                    rss_bytes[index] = process.memory_info().rss
                    self._cpu_s[index] = sum(process.cpu_times()[:2])
            except psutil.Error:
                continue
        self._cpu_s[0] = time.process_time()  # finer than the system's table of processes
        self.peak_rss_mb = max(self.peak_rss_mb, sum(rss_bytes) / 1e6)
        self.peak_workers_rss_mb = max(self.peak_workers_rss_mb, sum(rss_bytes[1:]) / 1e6)


def _machine_s() -> tuple[float, float]:
    """Seconds that all processors worked, and that there were, since the machine was started."""
    times = psutil.cpu_times()
    idle_s = times.idle + getattr(times, "iowait", 0.0)
    guest_s = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # user and nice have it too
    all_s = sum(times) - guest_s
    return all_s - idle_s, all_s
