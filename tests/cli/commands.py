"""Running the command line in tests: in this process, or in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence

import pytest

from asrctl.cli import main as cli

Options = Callable[..., list[str]]
"""Makes options that choose the scripted provider; keyword arguments are its faults."""


def run(*args: str) -> int:
    """Run the command line in this process; give its exit code."""
    with pytest.raises(SystemExit) as caught:
        cli.main(args)
    assert isinstance(caught.value.code, int)
    return caught.value.code


def asrctl(
    args: Sequence[str], stdin: bytes | None = None, timeout_s: float = 120.0, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own; output is decoded as UTF-8."""
    done = subprocess.run(
        [sys.executable, "-m", "asrctl", *args],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        env={**os.environ, **environ},
        timeout=timeout_s,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode("utf-8", "surrogateescape")
    )
