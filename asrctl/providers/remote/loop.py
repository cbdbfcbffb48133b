"""An event loop in a thread of its own, for callers that must not wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

_CLOSE_TIMEOUT_S = 5.0
_LAST_TURNS = 3
"""Of the loop, in which sockets are closed that were dropped last."""


def allow(limit: asyncio.Timeout | None, time_s: float | None) -> None:
    """Let a limit run out in `time_s` from now, or never; one that has run out already stays so."""
    if limit is not None:
        with suppress(RuntimeError):  # what it says where the limit is over
            limit.reschedule(None if time_s is None else asyncio.get_running_loop().time() + time_s)


class LoopThread:
    """Runs until closed; methods may be called from any thread."""

    def __init__(self, name: str) -> None:
        """Start the thread."""
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, step: Callable[[], object]) -> None:
        """Have something done soon, in the order of the calls; nothing once closed."""
        with self._lock:
            if not self._closed:
                self._loop.call_soon_threadsafe(step)

    def start(self, main: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin a task; only from within the loop."""
        task = self._loop.create_task(main)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def close(self) -> None:
        """Cancel all tasks, and wait until they have cleaned up; not for ever."""
        with self._lock:
            closed, self._closed = self._closed, True
        if not closed:
            self._loop.call_soon_threadsafe(self._loop.stop)
        if threading.current_thread() is not self._thread:
            self._thread.join(_CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            with suppress(TimeoutError):
                self._loop.run_until_complete(self._cancel_all())
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            asyncio.set_event_loop(None)
            self._loop.close()

    async def _cancel_all(self) -> None:
        for task in self._tasks:
            if not task.cancelling():  # a second time would disturb its cleaning up
                task.cancel()
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await asyncio.gather(*self._tasks, return_exceptions=True)
        for _ in range(_LAST_TURNS):
            await asyncio.sleep(0)
