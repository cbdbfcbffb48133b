"""The process that hears whether turns are over as its parent sees it: asked by all streams, and outlived."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from asrctl.audio.isolated import OWN_GROUP, how_ended
from asrctl.end_of_turn.child import LENGTH
from asrctl.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")

COMMAND = [sys.executable, "-P", "-m", "asrctl.end_of_turn.child"]
"""What is started; where weights are is its argument."""
_LOAD_S = 300.0
"""Weights may have to be fetched first."""
_ANSWER_S = 30.0
"""An answer takes 0.15 s of processor time; a process that takes so much longer is stuck."""
_PATIENCE_S = 0.5
"""A later answer would come when the pause has ended the utterance, as it does where nothing is known."""
_MOST_WAITING = 4
"""More questions would be answered too late for their pauses."""


class TurnProcess:
    """One process for all streams of an event loop. It starts when it is first needed, and once only: when it
    has failed, nothing is known of turns any more."""

    def __init__(self, models_dir: Path | None, failed: Callable[[str], None]) -> None:
        """Prepare; nothing is started yet.

        Args:
            models_dir: Where weights are kept; None for the platform's cache directory.
            failed: Told, once, why nothing is known of turns any more.
        """
        self._models_dir = models_dir
        self._failed = failed
        self._questions: asyncio.Queue[tuple[bytes, asyncio.Future[float | None]]]
        self._questions = asyncio.Queue(_MOST_WAITING)
        self._running: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None

    def start(self) -> None:
        """Let it load; in a running event loop."""
        if self._running is None:
            self._running = asyncio.create_task(self._run(), name="end of turn")
            self._running.add_done_callback(self._leave_unanswered)  # also if it is cancelled before it began

    def pids(self) -> list[int]:
        """Its process id, while there is one."""
        return [self._process.pid] if self._process and self._process.returncode is None else []

    async def finished(self, samples: NDArray[np.float32]) -> float | None:
        """The probability that what was said in these samples, mono at 16 kHz, was all; None if that is not
        known in time: it is still loading, has too much to do, or has failed."""
        self.start()
        assert self._running
        if self._running.done() or self._questions.full():
            return None
        answer: asyncio.Future[float | None] = asyncio.get_running_loop().create_future()
        self._questions.put_nowait((LENGTH.pack(len(samples)) + samples.tobytes(), answer))
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await answer
        except TimeoutError:
            return None

    async def close(self) -> None:
        """End it at once."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        """Answer questions; whatever goes wrong is said, and ends it."""
        with tempfile.TemporaryFile() as complaints:  # not a pipe: that could fill up and block the process
            try:
                await self._answer_all(complaints)
            except (ModelError, OSError) as error:
                self._failed(f"the ends of turns are not heard: {error}")
            finally:
                await self._end()

    def _leave_unanswered(self, _: asyncio.Task[None]) -> None:
        while not self._questions.empty():
            _give(self._questions.get_nowait()[1], None)

    async def _answer_all(self, complaints: Any) -> None:
        pipe = asyncio.subprocess.PIPE
        command = [*COMMAND, str(self._models_dir or "")]
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=complaints, **OWN_GROUP
        )
        if why := (await self._said(dict, _LOAD_S, complaints)).get("error"):
            raise ModelError(why)
        while True:
            data, answer = await self._questions.get()
            try:
                if not answer.done():  # else nobody waits for it any more
                    assert self._process.stdin
                    with contextlib.suppress(ConnectionError):  # what it says, or does not, tells why
                        self._process.stdin.write(data)
                        await self._process.stdin.drain()
                    _give(answer, await self._said(float, _ANSWER_S, complaints))
            finally:
                _give(answer, None)

    async def _said(self, kind: type[T], timeout_s: float, complaints: Any) -> T:
        """Its next line, which is to be of a kind.

        Raises:
            ModelError: It has died, says nothing for too long, or something else than an answer.
        """
        assert self._process and self._process.stdout
        with contextlib.suppress(ValueError, ConnectionError, TimeoutError):
            async with asyncio.timeout(timeout_s):
                said = json.loads(await self._process.stdout.readline())
                if isinstance(said, kind):
                    return said
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                code = await self._process.wait()
            raise ModelError(f"its process {how_ended(code, complaints)}")
        raise ModelError("its process does not answer")

    async def _end(self) -> None:
        if self._process is not None:
            assert self._process.stdin
            self._process.stdin.close()
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


def _give(answer: asyncio.Future[float | None], probability: float | None) -> None:
    if not answer.done():
        answer.set_result(probability)
