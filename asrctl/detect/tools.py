"""Other programs, run so that nothing they do hurts: hang, crash, or not be there."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import IO

_MAX_OUTPUT_BYTES = 1 << 20
_REAP_S = 1.0
"""What even SIGKILL does not end, as a driver can make of its tool, is left behind after this."""


class NoAnswer(Exception):
    """A tool gave nothing to work with; the message is why, for people."""


class NotInstalled(NoAnswer):
    """There is no such tool, which is nothing to complain about."""


class Tool:
    """A program that runs while others do, without input; it and its children end with `output`."""

    def __init__(self, command: Sequence[str], limit_s: float) -> None:
        """Start it.

        Args:
            command: The program, looked up on PATH, and its arguments.
            limit_s: After so many seconds it is killed.

        Raises:
            NotInstalled: There is no such program.
            NoAnswer: It cannot be started.
        """
        self._name, self._limit_s = os.path.basename(command[0]), limit_s
        path = shutil.which(command[0])
        if path is None:
            raise NotInstalled(f"{self._name} is not installed")
        self._deadline_s = time.monotonic() + limit_s
        # Files and not pipes: children keep an inherited pipe open, and a full one blocks the tool.
        self._stdout = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `output`
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                [path, *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=self._stdout,
                stderr=self._stderr,
                start_new_session=True,
                env={**os.environ, "LC_ALL": "C"},
            )
        except OSError as error:
            self._close()
            raise NoAnswer(f"{self._name} cannot be run: {error.strerror or error}") from error

    def output(self, *, partial: bool = False) -> str:
        """Wait for its end and give its standard output.

        Args:
            partial: What it wrote before it crashed or hung counts.

        Raises:
            NoAnswer: It failed, was killed, or took too long.
        """
        problem = ""
        try:
            code = self._process.wait(max(0.0, self._deadline_s - time.monotonic()))
            problem = f"{self._name} failed ({_how(code)})" if code else ""
        except subprocess.TimeoutExpired:
            problem = f"{self._name} did not answer within {self._limit_s:g} s"
        finally:
            self._kill()
            said, errors = _text(self._stdout), _text(self._stderr)
            self._close()
        if problem and not (partial and said):
            lines = (errors.strip() or said.strip()).splitlines()
            raise NoAnswer(problem + (f": {lines[-1 if partial else 0][:200]}" if lines else ""))
        return said

    def _kill(self) -> None:
        killpg = getattr(os, "killpg", None)
        with contextlib.suppress(OSError):
            if killpg:
                killpg(self._process.pid, signal.SIGKILL)  # the group outlives its leader
            else:
                self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAP_S)

    def _close(self) -> None:
        self._stdout.close()
        self._stderr.close()


def run_tool(command: Sequence[str], limit_s: float) -> str:
    """Run a program to its end; see `Tool`."""
    return Tool(command, limit_s).output()


def child(module: str, *arguments: str, limit_s: float) -> Tool:
    """Start a module of ours in a child process; see `Tool`."""
    return Tool([sys.executable, "-P", "-m", module, *arguments], limit_s)


def _how(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(_MAX_OUTPUT_BYTES).decode("utf-8", "replace")
