"""Run a command as a whole process and measure it: wall, CPU and memory of it and all its descendants."""

from __future__ import annotations

import itertools
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

RSS_INTERVAL_S = 0.2
THOROUGH_EVERY = 5
"""Every so many samples the proportional set is read and new processes are looked for; both cost more."""


class RunFailed(Exception):
    """The command ended with an error; the message has its last lines."""


@dataclass(frozen=True, slots=True)
class MemorySample:
    """Memory of all processes of the command together.

    Attributes:
        at_s: Seconds since the start.
        rss_bytes: Sum of the resident sets; pages that are shared count once for each process.
        pss_bytes: Sum of the proportional sets, where each shared page counts once in all; None if not read.
        processes: How many were alive.
    """

    at_s: float
    rss_bytes: int
    pss_bytes: int | None
    processes: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run.

    Attributes:
        wall_s: From exec to exit.
        first_output_s: Until something stood on its standard output; None if nothing did.
        cpu_s: User and system time of the process and the descendants it waited for.
        others_cpu_s: CPU time that the rest of the machine used meanwhile: how disturbed the run was.
        stdout: What it printed.
        memory: Samples over the run.
    """

    wall_s: float
    first_output_s: float | None
    cpu_s: float
    others_cpu_s: float
    stdout: str
    memory: tuple[MemorySample, ...]

    @property
    def peak_rss_bytes(self) -> int:
        """The highest sum of resident sets that was seen."""
        return max((sample.rss_bytes for sample in self.memory), default=0)

    @property
    def peak_pss_bytes(self) -> int:
        """The highest sum of proportional sets that was seen; 0 where the system has none."""
        return max((sample.pss_bytes or 0 for sample in self.memory), default=0)


def measure(command: Sequence[str], *, memory: bool = True, cores: int | None = None) -> Measurement:
    """Run a command to its end.

    Args:
        command: Program and arguments; standard input is empty.
        memory: Whether to sample memory; leave it out for short runs, it takes a little time of a core.
        cores: Pin the command to the first so many cores, where the system can.

    Raises:
        RunFailed: it ended with an error, or could not be started.
    """
    with tempfile.TemporaryFile() as errors:
        busy_s, start = _busy_s(), time.perf_counter()
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
            )
        except OSError as error:
            raise RunFailed(f"{command[0]}: {error.strerror}") from error
        if cores:
            _pin(process.pid, cores)
        reader, sampler = _Reader(process, start), _Sampler(process.pid, start)
        if memory:
            sampler.start()
        reader.read()
        status, usage = os.wait4(process.pid, 0)[1:]
        wall_s = time.perf_counter() - start
        sampler.stop()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise RunFailed(_last_lines(errors.read(), process.returncode))
    cpu_s = usage.ru_utime + usage.ru_stime
    others_s = max(0.0, _busy_s() - busy_s - cpu_s)
    return Measurement(wall_s, reader.first_s, cpu_s, others_s, reader.text, tuple(sampler.samples))


def _pin(pid: int, cores: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, sorted(os.sched_getaffinity(0))[:cores])


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.system + getattr(times, "nice", 0.0))


def _last_lines(errors: bytes, code: int) -> str:
    lines = errors.decode(errors="replace").strip().splitlines()[-3:]
    return f"exit code {code}: {' / '.join(lines)}"


class _Reader:
    """Takes what the process prints and notes when the first of it came."""

    def __init__(self, process: subprocess.Popen[bytes], start: float) -> None:
        self._process = process
        self._start = start
        self.first_s: float | None = None
        self.text = ""

    def read(self) -> None:
        assert self._process.stdout is not None
        parts: list[bytes] = []
        with self._process.stdout as pipe:
            while part := os.read(pipe.fileno(), 65_536):
                if self.first_s is None and part.strip():
                    self.first_s = time.perf_counter() - self._start
                parts.append(part)
        self.text = b"".join(parts).decode("utf-8", errors="replace")


class _Sampler:
    """Reads the memory of a process tree from a thread until it is stopped."""

    def __init__(self, pid: int, start: float) -> None:
        self._pid = pid
        self._start = start
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.samples: list[MemorySample] = []

    def start(self) -> None:
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread:
            self._thread.join()

    def _sample(self) -> None:
        root = psutil.Process(self._pid)
        family: list[psutil.Process] = []
        for count in itertools.count():
            if self._stopped.wait(RSS_INTERVAL_S):
                return
            thorough = count % THOROUGH_EVERY == 0
            try:
                family = [root, *root.children(recursive=True)] if thorough else family
            except psutil.Error:
                return
            self._append(family, with_pss=thorough)

    def _append(self, family: Sequence[psutil.Process], *, with_pss: bool) -> None:
        at_s = time.perf_counter() - self._start
        rss = [_rss_bytes(process) for process in family]
        pss = sum(_pss_bytes(process) for process in family) if with_pss else None
        if any(rss):
            self.samples.append(MemorySample(round(at_s, 2), sum(rss), pss or None, sum(map(bool, rss))))


def _rss_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _pss_bytes(process: psutil.Process) -> int:
    try:
        return int(getattr(process.memory_full_info(), "pss", 0))
    except psutil.Error:
        return 0


def plain(command: Sequence[str]) -> str:
    """A command as a reader can use it elsewhere: of paths, only the last part."""
    return " ".join(Path(word).name if os.sep in word else word for word in command)
