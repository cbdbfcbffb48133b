"""Blocking sources, such as files, pipes and microphones, read in a thread for an event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, Self, TypeVar

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")

_AHEAD = 4
"""Items that the thread may be ahead of the loop."""
_CLOSE_GRACE_S = 1.0
"""How long a source may take to end before its thread is left to the end of the process."""


class Source(Protocol[T_co]):
    """What is iterated over once, in a thread of its own."""

    def __iter__(self) -> Iterator[T_co]: ...
    def close(self) -> None:
        """Let go of what it holds; called in the thread, when the iteration is over."""
        ...


class Reader(Generic[T]):
    """An asynchronous iterator over a blocking source.

    The thread is a daemon: one that is stuck in a read that never returns does not keep the process alive.
    """

    def __init__(self, source: Source[T], ahead: int = _AHEAD) -> None:
        """Start to read, for the running event loop; the source is closed at the end."""
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._items: deque[T] = deque()
        self._arrived = asyncio.Event()
        self._ended = asyncio.Event()
        self._failure: BaseException | None = None
        self._room = threading.Semaphore(ahead)
        self._closing = False
        threading.Thread(target=self._run, name="reader", daemon=True).start()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """The next item.

        Raises:
            Exception: What the source raised, after all that it gave before.
        """
        while not self._items:
            if self._ended.is_set():
                if self._failure is not None:
                    failure, self._failure = self._failure, None
                    raise failure
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        self._room.release()
        return self._items.popleft()

    def stop(self) -> bool:
        """End the source after what it has given up to now, if it can; whether it can."""
        if (stop := getattr(self._source, "stop", None)) is None:
            return False
        stop()
        return True

    async def close(self) -> None:
        """Stop reading, and wait until the source is closed, unless that takes too long.

        A source that can be stopped gives what it has until then, if somebody still takes it.
        """
        if self.stop():
            await self._wait_for_the_end()
        self._closing = True
        self._room.release()
        await self._wait_for_the_end()
        if not self._ended.is_set():  # it is stuck, and whoever waits for its next item would be too
            self._end(None)

    async def _wait_for_the_end(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_GRACE_S):
                await self._ended.wait()

    # In the thread

    def _run(self) -> None:
        failure: BaseException | None = None
        try:
            with contextlib.closing(self._source):
                for item in self._source:
                    self._room.acquire()
                    if self._closing:
                        break
                    self._call(self._take, item)
        except BaseException as error:  # the loop would wait for ever
            failure = error
        self._call(self._end, failure)

    def _call(self, function: object, argument: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(function, argument)  # type: ignore[arg-type]

    # In the loop

    def _take(self, item: T) -> None:
        self._items.append(item)
        self._arrived.set()

    def _end(self, failure: BaseException | None) -> None:
        self._failure = failure
        self._ended.set()
        self._arrived.set()


async def in_thread(function: Callable[[], T]) -> T:
    """Call a function that blocks in a daemon thread, which nobody waits for when the process ends.

    Raises:
        Exception: What the function raised.
    """
    outcome: concurrent.futures.Future[T] = concurrent.futures.Future()

    def run() -> None:
        if not outcome.set_running_or_notify_cancel():
            return
        try:
            outcome.set_result(function())
        except BaseException as error:  # whoever waits would wait for ever
            outcome.set_exception(error)

    threading.Thread(target=run, name="blocking", daemon=True).start()
    return await asyncio.wrap_future(outcome)
