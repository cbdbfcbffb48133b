"""Other people's programs, run so that nothing they do hurts: hang, crash, flood, or not be there."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import IO

_MAX_OUTPUT_BYTES = 1 << 20
_REAP_S = 1.0


class NoAnswer(Exception):
    """A tool gave nothing to work with; the message is why, for people."""


class NotInstalled(NoAnswer):
    """There is no such tool, which is nothing to complain about."""


def run_tool(command: Sequence[str], limit_s: float) -> str:
    """Run a program without input and give its standard output.

    Everything that it started is gone when this returns.

    Args:
        command: The program, looked up on PATH, and its arguments.
        limit_s: After so many seconds it is killed.

    Raises:
        NotInstalled: There is no such program.
        NoAnswer: It cannot be started, failed, was killed, or took too long.
    """
    path = shutil.which(command[0])
    if path is None:
        raise NotInstalled(f"{command[0]} is not installed")
    try:
        outcome = _Run([path, *command[1:]], limit_s, name=command[0])
    except OSError as error:
        raise NoAnswer(f"{command[0]} cannot be run: {error.strerror or error}") from error
    if outcome.late:
        raise NoAnswer(outcome.late)
    if outcome.code != 0:
        said = (outcome.errors.strip() or outcome.output.strip()).splitlines()
        raise NoAnswer(f"{command[0]} failed ({_how(outcome.code)})" + (f": {said[0][:200]}" if said else ""))
    return outcome.output


def run_child(module: str, arguments: Sequence[str], limit_s: float) -> str:
    """Run a module of ours in a child process; what it wrote before it crashed or hung counts.

    Raises:
        NoAnswer: It wrote nothing.
    """
    try:
        outcome = _Run([sys.executable, "-P", "-m", module, *arguments], limit_s, name="the child process")
    except OSError as error:
        raise NoAnswer(f"the child process cannot be started: {error.strerror or error}") from error
    if outcome.output:
        return outcome.output
    last = "".join(f": {line}" for line in outcome.errors.strip().splitlines()[-1:])
    failed = f"the child process failed ({_how(outcome.code)}){last}" if outcome.code else ""
    raise NoAnswer(outcome.late or failed or "the child process said nothing")


def _how(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


class _Run:
    """One run from start to end, in a session of its own, with what it wrote."""

    def __init__(self, command: Sequence[str], limit_s: float, name: str) -> None:
        self.late = ""
        """That it took too long, in words; else empty."""
        deadline_s = time.monotonic() + limit_s
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "LC_ALL": "C"},
        )
        assert process.stdout and process.stderr
        pipes = [_Pipe(process.stdout, process), _Pipe(process.stderr, process)]
        try:
            self.code = process.wait(limit_s)
            for pipe in pipes:
                pipe.join(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.late = f"{name} did not answer within {limit_s:g} s"
        finally:
            _kill(process)
            self.code = process.wait()
            for pipe in pipes:
                pipe.join(_REAP_S)
        self.output, self.errors = (pipe.text for pipe in pipes)


class _Pipe(threading.Thread):
    """Reads one end; a process that floods it is killed."""

    def __init__(self, stream: IO[bytes], process: subprocess.Popen[bytes]) -> None:
        super().__init__(daemon=True, name="tool-output")
        self._stream = stream
        self._process = process
        self._pieces: list[bytes] = []
        self.start()

    @property
    def text(self) -> str:
        """What was read so far."""
        return b"".join(self._pieces).decode("utf-8", "replace")

    def run(self) -> None:
        """Read to the end, or to the bound."""
        left = _MAX_OUTPUT_BYTES
        with self._stream:
            while left > 0 and (piece := os.read(self._stream.fileno(), 65536)):
                self._pieces.append(piece)
                left -= len(piece)
            if left <= 0:
                _kill(self._process)  # before the pipe breaks, which it might survive


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process with all that it started."""
    killpg = getattr(os, "killpg", None)
    with contextlib.suppress(OSError):
        if killpg:
            killpg(process.pid, signal.SIGKILL)  # the group outlives its leader
        else:
            process.kill()
