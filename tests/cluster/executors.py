"""Executors without a cluster: one whose tasks are threads, and one that answers by a script."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from asrctl.cluster import worker
from asrctl.cluster.work import TaskLost
from asrctl.streaming.source import in_thread

Answer = Callable[[str], Any]
"""What is answered to a path; an exception is raised."""


class Threads:
    """An executor whose worker processes are threads, each with a recogniser of its own for one task.

    Attributes:
        ran: The functions that were run, by name.
        lose: How many tasks of each function, by name, are lost when they are done.
    """

    def __init__(self, slots: int = 2, **lose: int) -> None:
        self.ran: list[str] = []
        self.lose = lose
        self._slots = slots
        self._room = threading.Semaphore(slots)

    def slots(self) -> int:
        return self._slots

    async def run(self, function: Callable[..., Any], *arguments: Any, light: bool = False) -> Any:
        name = function.__name__
        self.ran.append(name)

        def call() -> Any:
            try:
                return function(*arguments)
            finally:
                worker.forget()

        def in_slot() -> Any:
            with self._room:
                return call()

        answer = await in_thread(call if light else in_slot)
        if self.lose.get(name, 0):
            self.lose[name] -= 1
            raise TaskLost(f"{name} was lost")
        return answer


class Scripted:
    """An executor that answers each task by a script, in the order in which they were submitted.

    Attributes:
        submitted: Function and path of each task.
        answers: By function's name, what makes the answer; TaskLost and others are raised.
    """

    def __init__(self, slots: int = 1, **answers: Answer) -> None:
        self.submitted: list[tuple[str, str]] = []
        self.answers = answers
        self.count = slots

    def slots(self) -> int:
        return self.count

    async def run(self, function: Callable[..., Any], *arguments: Any, light: bool = False) -> Any:
        path = str(arguments[1])
        self.submitted.append((function.__name__, path))
        await asyncio.sleep(0)
        answer = self.answers[function.__name__](path)
        if asyncio.iscoroutine(answer):
            answer = await answer
        if isinstance(answer, TaskLost):
            raise answer
        return answer
