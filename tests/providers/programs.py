"""Servers that others wrote, as processes of their own."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_BEGIN_S = 60.0
_END_S = 10.0


@contextmanager
def listening(command: Sequence[str], port: int, cwd: Path) -> Iterator[None]:
    """Run a server, from when it takes connections on."""
    log = cwd / "server.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    try:
        deadline_s = time.monotonic() + _BEGIN_S
        while not _listens(port):
            is_over = process.poll() is not None or time.monotonic() > deadline_s
            assert not is_over, log.read_text("utf-8", "replace")[-2000:]
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
