"""`asrctl serve` as a process, ended with all its workers however a benchmark ends; and what it costs."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Self
from urllib.parse import urlsplit

import numpy as np
import psutil
from numpy.typing import ArrayLike

from asrctl.errors import AsrctlError

_START_S = 120.0
_STOP_S = 30.0
_POLL_S = 0.01
_KEPT_LINES = 2_000
_MB = 1e6


class ServerProcess:
    """A server on a free port (or a given one); ready once the block is entered.

    Attributes:
        url: Where clients connect.
        started_s: When it was executed, by the monotonic clock.
        lines: The last lines of its log.
    """

    def __init__(
        self,
        *args: str,
        port: int = 0,
        environ: Mapping[str, str] | None = None,
        module: str = "asrctl",
    ) -> None:
        """Prepare; `args` go to `serve` of `module`."""
        self._command = [sys.executable, "-m", module, "serve", "--port", str(port), *args]
        self._environ = {**os.environ, **(environ or {})}
        self._process: subprocess.Popen[str] | None = None
        self._listening = threading.Event()
        self._ended = threading.Event()
        self.lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self.url = ""
        self.started_s = 0.0

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Execute it; it loads meanwhile. It has a process group of its own, so that Ctrl-C is ours alone."""
        self._listening.clear()
        self._ended.clear()
        self.started_s = time.monotonic()
        self._process = subprocess.Popen(
            self._command,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environ,
            start_new_session=True,
        )
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self.lines.append(line.rstrip())
            if " event=listening" in line and (found := re.search(r"url=(ws\S+)", line)):
                self.url = found[1]
                self._listening.set()
        self._ended.set()
        self._listening.set()

    def wait_ready(self) -> float:
        """Wait for /ready; returns the seconds since exec.

        Raises:
            AsrctlError: It ended, or was not ready in time; the message has its last lines.
        """
        deadline_s = self.started_s + _START_S
        self._listening.wait(_START_S)
        while time.monotonic() < deadline_s and not self._ended.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.get("/ready")[0] == 200:
                    return time.monotonic() - self.started_s
            time.sleep(_POLL_S)
        raise AsrctlError("the server did not get ready: " + " / ".join(list(self.lines)[-3:]))

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page."""
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=_START_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def metrics(self) -> dict[str, float]:
        """/metrics, by name with labels."""
        lines = self.get("/metrics")[1].splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    # Its processes

    @property
    def pid(self) -> int:
        """Of the parent."""
        assert self._process is not None
        return self._process.pid

    def processes(self) -> list[psutil.Process]:
        """The parent first, then all its descendants."""
        with contextlib.suppress(psutil.Error):
            parent = psutil.Process(self.pid)
            return [parent, *parent.children(recursive=True)]
        return []

    def cpu_s(self) -> tuple[float, float]:
        """Processor time of the parent and of the workers that live."""
        times = [_cpu_s(process) for process in self.processes()]
        return (times[0], sum(times[1:])) if times else (0.0, 0.0)

    def memory(self) -> Memory:
        """Memory of all processes now."""
        processes = self.processes()
        sets = [_memory_mb(process) for process in processes]
        return Memory(
            time.monotonic() - self.started_s,
            parent_mb=sets[0][0] if sets else 0.0,
            workers_mb=sum(rss for rss, _ in sets[1:]),
            pss_mb=sum(pss for _, pss in sets),
            processes=len(processes),
        )

    # The end

    def stop(self) -> int | None:
        """SIGTERM, and whatever it takes after that; returns the exit code."""
        process = self._process
        if process is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            process.wait(_STOP_S)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            pass
        finally:
            self.kill()
        return process.returncode

    def wait(self, timeout_s: float) -> int:
        """Wait for the parent's end; returns its exit code. Raises subprocess.TimeoutExpired."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def kill(self) -> None:
        """SIGKILL for all that is left of it."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._ended.wait(_STOP_S)
        if self._process.stderr is not None:
            self._process.stderr.close()


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of all processes of a server, in MB of 1,000,000 bytes.

    Attributes:
        at_s: Seconds since exec.
        parent_mb: Resident set of the parent.
        workers_mb: Sum of the resident sets of the others.
        pss_mb: Sum of the proportional sets: what is shared counts once. 0 where the system has none.
        processes: How many there are.
    """

    at_s: float
    parent_mb: float
    workers_mb: float
    pss_mb: float
    processes: int

    @property
    def rss_mb(self) -> float:
        """Resident sets of all; what is shared counts for each."""
        return self.parent_mb + self.workers_mb


class Watch:
    """Samples a server's memory in a `with` block, and takes the processor time of it.

    Attributes:
        memory: The samples.
        wall_s: How long the block took.
        parent_cpu_s: Processor time of the parent meanwhile.
        workers_cpu_s: That of the workers.
    """

    def __init__(self, server: ServerProcess, interval_s: float = 1.0) -> None:
        self._server = server
        self._interval_s = interval_s
        self._stop = threading.Event()
        self.memory: list[Memory] = []
        self.wall_s = self.parent_cpu_s = self.workers_cpu_s = 0.0

    def __enter__(self) -> Self:
        self._began_s, self._before = time.monotonic(), self._server.cpu_s()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        parent_s, workers_s = self._server.cpu_s()
        self.parent_cpu_s, self.workers_cpu_s = parent_s - self._before[0], workers_s - self._before[1]
        self.wall_s = time.monotonic() - self._began_s

    def _sample(self) -> None:
        while True:
            self.memory.append(self._server.memory())
            if self._stop.wait(self._interval_s):
                return

    @property
    def parent_percent(self) -> float:
        """Processor of the parent, of one core."""
        return 100 * self.parent_cpu_s / self.wall_s

    @property
    def workers_percent(self) -> float:
        """Processor of the workers, of one core."""
        return 100 * self.workers_cpu_s / self.wall_s

    def slopes_mb_per_hour(self, settle_s: float) -> tuple[float, float]:
        """By least squares after so many seconds: of the parent and of the workers."""
        began_s = self.memory[0].at_s
        rest = [each for each in self.memory if each.at_s - began_s >= settle_s]
        return (
            slope_per_hour([each.at_s for each in rest], [each.parent_mb for each in rest]),
            slope_per_hour([each.at_s for each in rest], [each.workers_mb for each in rest]),
        )


def slope_per_hour(at_s: ArrayLike, values: ArrayLike) -> float:
    """Of a straight line through the values, by least squares; NaN for fewer than three."""
    times_s = np.asarray(at_s, float)
    if len(times_s) < 3:
        return float("nan")
    return 3600 * float(np.polyfit(times_s - times_s[0], np.asarray(values, float), 1)[0])


def _cpu_s(process: psutil.Process) -> float:
    try:
        return float(sum(process.cpu_times()[:2]))
    except psutil.Error:
        return 0.0


def _memory_mb(process: psutil.Process) -> tuple[float, float]:
    try:
        full = process.memory_full_info()
    except psutil.Error:
        return 0.0, 0.0
    return full.rss / _MB, getattr(full, "pss", 0) / _MB


def end_on_sigterm() -> None:
    """Have SIGTERM unwind this process as Ctrl-C does, so that no server is left behind."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)
