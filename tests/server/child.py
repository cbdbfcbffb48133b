"""A server over the scripted provider in a process of its own, which a test may kill and start again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.request import urlopen

from asrctl.providers.base import ModelSpec
from asrctl.server.engine import Engine
from asrctl.server.server import Server

from ..streaming.speech import LevelDetector
from .servers import PATIENCE_S, options_for, until

ROOT = Path(__file__).parents[2]


class Child:
    """A server that keeps its port through its deaths, in a `with` block."""

    def __init__(self, script: Path) -> None:
        """`script` is the provider's; see `servers.script`."""
        self._script, self.port = script, 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def origin(self) -> str:
        """Where its page is."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it decodes."""
        command = [sys.executable, "-m", "tests.server.child", str(self._script), str(self.port)]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        until(self._is_ready)

    def _is_ready(self) -> bool:
        try:
            with urlopen(f"{self.origin}/ready", timeout=PATIENCE_S) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        """As the kernel does when memory is short: it and its workers are gone at once."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.kill()


async def _serve(script: Path, port: int) -> None:
    options = options_for(ModelSpec("scripted", script, use_gpu=False), port=port)
    engine = Engine(options)
    try:
        server = Server(options, LevelDetector, engine)
        print(server.port, flush=True)
        await server.serve()
    finally:
        await engine.close()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2])))
