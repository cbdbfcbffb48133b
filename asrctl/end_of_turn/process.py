"""The process that hears whether turns are over as its parent sees it: asked by all streams, and outlived."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from asrctl.audio.helper import Helper, helper
from asrctl.end_of_turn.child import LENGTH
from asrctl.errors import ModelError
from asrctl.transcript import Samples

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
        self._helper: Helper | None = None

    def start(self) -> None:
        """Let it load; in a running event loop."""
        if self._running is None:
            self._running = asyncio.create_task(self._run(), name="end of turn")
            self._running.add_done_callback(self._leave_unanswered)  # also if it is cancelled before it began

    def pids(self) -> list[int]:
        """Its process id, while there is one."""
        return self._helper.pids if self._helper else []

    async def finished(self, samples: Samples) -> float | None:
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
        try:
            async with helper([*COMMAND, str(self._models_dir or "")], "its process") as self._helper:
                await self._answer_all(self._helper)
        except (ModelError, OSError) as error:
            self._failed(f"the ends of turns are not heard: {error}")

    def _leave_unanswered(self, _: asyncio.Task[None]) -> None:
        while not self._questions.empty():
            _give(self._questions.get_nowait()[1], None)

    async def _answer_all(self, process: Helper) -> None:
        if why := (await process.said(dict, _LOAD_S)).get("error"):
            raise ModelError(why)
        while True:
            data, answer = await self._questions.get()
            try:
                if not answer.done():  # else nobody waits for it any more
                    await process.send(data)
                    _give(answer, await process.said(float, _ANSWER_S))
            finally:
                _give(answer, None)


def _give(answer: asyncio.Future[float | None], probability: float | None) -> None:
    if not answer.done():
        answer.set_result(probability)
