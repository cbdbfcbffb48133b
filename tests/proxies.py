"""The fault proxy of the benchmarks, for tests that have no event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from benchmarks.faults.proxy import FaultyProxy, Plan

_START_S = 30.0


@contextmanager
def proxy_in_a_thread(target_url: str, plans: Iterable[Plan]) -> Iterator[FaultyProxy]:
    """Run a proxy in an event loop of its own."""
    proxy = FaultyProxy(target_url, plans)
    ready, ended = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with proxy.running():
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(_START_S)
        yield proxy
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
