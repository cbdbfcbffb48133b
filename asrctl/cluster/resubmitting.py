"""Tasks that are lost with their process or machine are submitted again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asrctl.cluster.work import Executor, TaskLost
from asrctl.errors import WorkerCrashed

ATTEMPTS = 4
"""A task that was lost so often is likely to be the reason."""


class Resubmitting:
    """Runs tasks of an executor until they answer.

    Attributes:
        count: How many times a task was submitted again.
    """

    def __init__(self, executor: Executor) -> None:
        self.count = 0
        self._executor = executor

    async def run(self, function: Callable[..., Any], *arguments: Any, light: bool = False) -> Any:
        """The task's answer; see `Executor.run`.

        Raises:
            WorkerCrashed: It was lost `ATTEMPTS` times.
            ProviderError: The function could not be called.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._executor.run(function, *arguments, light=light)
            except TaskLost as error:
                reason = str(error)
            self.count += attempt < ATTEMPTS
        raise WorkerCrashed(f"its task was lost {ATTEMPTS} times: {reason}")
