"""The recordings of a run, as tasks."""

from __future__ import annotations

import asyncio
from typing import Any

from asrctl.cluster.pieces import MOST_AHEAD
from asrctl.cluster.resubmitting import Resubmitting
from asrctl.cluster.work import Done, Executor, Failed, TooLong, Work
from asrctl.cluster.worker import transcribe, transcribe_in_pieces
from asrctl.errors import AudioError, WorkerCrashed


class Batch:
    """Transcribes recordings; any number of calls may be under way at once.

    Attributes:
        resubmitted: How many tasks were lost, and submitted again.
    """

    def __init__(self, work: Work, executor: Executor) -> None:
        self.resubmitted = 0
        self._work = work
        self._executor = executor
        self._long = 0
        self._ended = asyncio.Condition()

    def slots(self) -> int:
        """How many tasks run at once, at this moment."""
        return self._executor.slots()

    async def transcribe(self, path: str) -> Done:
        """Transcribe a recording.

        Raises:
            AudioError: It cannot be read, or its task was lost again and again.
            ModelError: A machine has not the weights.
            ProviderError: A machine cannot run the provider.
            UsageError: The provider cannot do what is asked.
        """
        answer: Done | TooLong | Failed = await self._answer(path, transcribe)
        if isinstance(answer, TooLong):
            async with self._ended:
                await self._ended.wait_for(lambda: self._long < max(1, self.slots()))
                self._long += 1
            try:
                more = self._executor, pieces_ahead(self.slots(), self._long)
                answer = await self._answer(path, transcribe_in_pieces, *more, light=True)
            finally:
                self._long -= 1
                async with self._ended:
                    self._ended.notify_all()
        if isinstance(answer, Failed):
            raise answer.error
        assert isinstance(answer, Done)
        self.resubmitted += answer.resubmitted
        return answer

    async def _answer(self, path: str, function: Any, *more: Any, light: bool = False) -> Any:
        tasks = Resubmitting(self._executor)
        try:
            return await tasks.run(function, self._work, path, *more, light=light)
        except WorkerCrashed as error:
            raise AudioError(f"{path}: {error}") from error
        finally:
            self.resubmitted += tasks.count


def pieces_ahead(slots: int, readers: int) -> int:
    """How many pieces of a long recording may be under way, where so many recordings are read.

    Together they are two for each slot, so that none waits; the first, which is the longest, may have most.
    """
    return max(2, min(MOST_AHEAD, 2 * slots // readers))
