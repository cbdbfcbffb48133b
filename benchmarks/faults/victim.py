"""The server that is attacked: `asrctl serve` as a process, over the scripted provider or a real model."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from benchmarks.faults.processes import STARTS
from benchmarks.faults.wire import Target
from benchmarks.serve_process import ServerProcess

QUICK = {
    "handshake_timeout_s": 2.0,
    "upload_idle_s": 3.0,
    "idle_timeout_s": 4.0,
    "resume_ttl_s": 3.0,
}
"""Bounds of the short form, in which nobody waits long; the long one has the defaults."""
_WYOMING_S = 10.0


@contextmanager
def victim(
    serve: Mapping[str, Any] | None = None,
    script: Mapping[str, Any] | None = None,
    model: str | None = None,
    starts: Path | None = None,
) -> Iterator[ServerProcess]:
    """A server that is ready, with a port for Wyoming.

    Args:
        serve: Settings of its section, beside the defaults.
        script: Of the scripted provider; see tests/plugins/site/asrctl_tests/scripted.py.
        model: A real one instead, and a real detector.
        starts: A file that says how worker processes start; see `processes.STARTS`.
    """
    with TemporaryDirectory() as directory:
        words = Path(directory, "words.json")
        words.write_text(json.dumps(script or {}))
        environ = {f"ASRCTL_SERVE__{name.upper()}": str(value) for name, value in (serve or {}).items()}
        environ |= {} if starts is None else {STARTS: str(starts)}
        what = ["--model", model] if model else ["--provider", "scripted", "--model", str(words)]
        module = "asrctl" if model else "benchmarks.faults.served"
        with ServerProcess(*what, "--wyoming", "0", environ=environ, module=module) as server:
            yield server


def target_of(server: ServerProcess, busy_s: float) -> Target:
    """Where its ports are."""
    deadline_s = time.monotonic() + _WYOMING_S
    while time.monotonic() < deadline_s:
        for line in list(server.lines):
            if found := re.search(r"url=tcp://\S+:(\d+)", line):
                return Target(urlsplit(server.url).port or 0, int(found[1]), busy_s)
        time.sleep(0.05)
    raise RuntimeError("the log names no port of Wyoming: " + " / ".join(server.lines))
