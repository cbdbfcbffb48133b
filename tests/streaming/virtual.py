"""An event loop whose time passes at once when nothing else is left to do.

So a test that sleeps for a minute takes no time, timers fire in a fixed order, and a test in which nothing
can happen any more fails instead of waiting for ever. For tests without threads, processes and sockets.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class _Selector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Lets time pass instead of waiting."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if timeout is None and not ready:
            raise RuntimeError("everybody waits, and nothing will happen any more")
        self.now_s += max(0.0, timeout or 0.0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module's docstring."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now_s


VIRTUAL = ("asyncio", {"loop_factory": VirtualLoop})
"""What the fixture `anyio_backend` returns in a module whose tests run in virtual time."""


async def settle() -> None:
    """Let everything happen that can happen without time passing."""
    await asyncio.sleep(0.001)


def others() -> list[asyncio.Task[Any]]:
    """Tasks of this loop beside those that run the test."""
    mine = asyncio.current_task()
    tasks = [task for task in asyncio.all_tasks() if task is not mine and not task.done()]
    return [task for task in tasks if "TestRunner" not in repr(task.get_coro())]
