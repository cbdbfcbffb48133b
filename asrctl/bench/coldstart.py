"""Cold start: from the start of a process to words, and where the time goes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.resources import as_file, files
from importlib.util import find_spec

import psutil

from asrctl.bench.engine import Workers
from asrctl.bench.results import AT_S, Round, Row
from asrctl.bench.setup import Setup, Tell, silent
from asrctl.errors import AsrctlError
from asrctl.providers.registry import PROVIDERS

_COMMAND_LIMIT_S = 300.0


def measure(setup: Setup, rounds: int, tell: Tell = silent) -> list[Row]:
    """Start again and again: with the weights in the page cache, and, where that can be had, without.

    Which of the two goes first alternates, since the first finds the interpreter's files in another state.

    Raises:
        ModelError: The weights do not load.
        ProviderError: No worker can run.
    """
    kinds = ["warm", "cold"] if can_evict(setup) else ["warm"]
    found: dict[str, list[Round]] = {kind: [] for kind in kinds}
    run(setup)  # not counted: it reads from disk what all later rounds find in memory
    for number in range(rounds):
        for index, kind in enumerate(kinds if number % 2 else reversed(kinds)):
            tell(f"round {number + 1}, {kind} weights", number * len(kinds) + index, rounds * len(kinds))
            found[kind].append(run(setup, cold=kind == "cold"))
    tell("done", rounds, rounds)
    return [
        Row(f"{setup.name} {kind}", {**setup.description, "weights": kind}, given)
        for kind, given in found.items()
    ]


def run(setup: Setup, *, cold: bool = False) -> Round:
    """One start, in parts that add up to `ready_s`; and the command a user would run, from exec to words.

    Args:
        setup: What is started.
        cold: Have the weights leave the page cache before each of the two.
    """
    at_s, interpreter_s = time.time(), seconds_of("pass")
    imported_s = max(interpreter_s, seconds_of(_imports(setup.spec.provider)))
    if cold:
        evict(setup)
    started = time.perf_counter()
    with Workers(setup) as workers:
        workers.wait_ready()
        ready_s = time.perf_counter() - started
        disk_mb = _read_mb(workers.pids())
        workers.decode_once()
        words_s = time.perf_counter() - started
        loaded_s, warm_up_s = workers.start_s
    figures = {
        AT_S: at_s,
        "interpreter_s": interpreter_s,
        "imports_s": imported_s - interpreter_s,
        "load_s": max(0.0, loaded_s - imported_s),
        "warm_up_s": warm_up_s,
        "ready_s": ready_s,
        "first_words_s": words_s,
    }
    if cold:
        evict(setup)
    if (command_s := command_seconds(setup)) is not None:
        figures["command_s"] = command_s
    return figures if disk_mb is None else {**figures, "disk_mb": disk_mb}


def seconds_of(code: str) -> float:
    """Wall time of a Python process that runs some code."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
    return time.perf_counter() - started


def command_seconds(setup: Setup) -> float | None:
    """From exec of `asrctl transcribe` on the sample sentence to its first words; None if none came.

    Raises:
        AsrctlError: The command failed.
    """
    spec = setup.spec
    with as_file(files("asrctl.assets").joinpath("monday.wav")) as audio:
        command = [sys.executable, "-P", "-m", "asrctl", "transcribe", str(audio)]
        command += ["--provider", spec.provider, "--model", str(spec.path)]
        command += ["--language", setup.files.decode.language, "--threads", str(spec.threads)]
        command += ["--workers", str(setup.workers)]
        started = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            first = process.stdout.read(1)
            first_s = time.perf_counter() - started
            process.communicate(timeout=_COMMAND_LIMIT_S)
    if process.returncode:
        raise AsrctlError(f"`asrctl transcribe` failed with exit code {process.returncode}")
    return first_s if first else None


def can_evict(setup: Setup) -> bool:
    """Whether this system forgets a file's pages when told to, and the weights are a file on their own."""
    return hasattr(os, "posix_fadvise") and setup.spec.path.is_file()


def evict(setup: Setup) -> None:
    """Evict the weights from the page cache; they stay if another process has them open."""
    if sys.platform != "win32" and hasattr(os, "posix_fadvise"):
        descriptor = os.open(setup.spec.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # pages that are not written yet would stay
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def _imports(provider: str) -> str:
    """What a worker imports, and nothing of what it does then."""
    plugin, ours = PROVIDERS[provider], f"asrctl.providers.{provider}"
    module = ours if find_spec(ours) else plugin.load.__module__
    modules = ["asrctl.workers.child", module, plugin.requires]
    return f"import os, {', '.join(filter(None, modules))}; os._exit(0)"


def _read_mb(pids: Sequence[int]) -> float | None:
    """What processes read from disk so far, where the system tells: whether a cold start was one."""
    with suppress(psutil.Error, AttributeError):
        return sum(psutil.Process(pid).io_counters().read_bytes for pid in pids) / 1e6
    return None
