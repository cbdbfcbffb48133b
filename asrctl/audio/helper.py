"""A process of ours that answers in lines of JSON, as its parent sees it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator, Sequence
from typing import IO, TypeVar

from asrctl.audio.isolated import OWN_GROUP, how_ended
from asrctl.errors import ModelError

T = TypeVar("T")


class Helper:
    """A running process; see `helper`."""

    def __init__(self, process: asyncio.subprocess.Process, complaints: IO[bytes], name: str) -> None:
        self._process = process
        self._complaints = complaints
        self._name = name

    @property
    def pids(self) -> list[int]:
        """Its process id, while it runs."""
        return [self._process.pid] if self._process.returncode is None else []

    async def send(self, data: bytes) -> None:
        """Write to its standard input; if it is gone, whoever reads what it says learns how it ended."""
        assert self._process.stdin
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(data)
            await self._process.stdin.drain()

    def end_input(self) -> None:
        """Close its standard input, which tells it that this was all."""
        assert self._process.stdin
        self._process.stdin.close()

    async def said(self, kind: type[T], timeout_s: float | None) -> T:
        """Its next line, which is to be of a kind.

        Raises:
            ModelError: It has died, says nothing for too long, or something that is no answer.
        """
        assert self._process.stdout
        why = "does not answer"
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(timeout_s):
                line = await self._process.stdout.readline()
            why = "sent nonsense"
            with contextlib.suppress(ValueError):
                if isinstance(said := json.loads(line), kind):
                    return said
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                why = how_ended(await self._process.wait(), self._complaints)
        raise ModelError(f"{self._name} {why}")

    async def end(self) -> None:
        """Kill it."""
        self.end_input()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


@contextlib.asynccontextmanager
async def helper(command: Sequence[str], name: str, line_bytes: int = 1 << 16) -> AsyncIterator[Helper]:
    """Run a process for as long as the block; `name` is what errors call it.

    Args:
        command: What is started.
        name: Such as "its process".
        line_bytes: The longest line that it may say.

    Raises:
        OSError: It cannot be started.
    """
    pipe = asyncio.subprocess.PIPE
    with tempfile.TemporaryFile() as complaints:  # not a pipe: that could fill up and block the process
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=complaints, limit=line_bytes, **OWN_GROUP
        )
        running = Helper(process, complaints, name)
        try:
            yield running
        finally:
            await running.end()
