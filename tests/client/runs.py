"""Runs of a client against a server with a script, and what must be true of them."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from asrctl.client import ClientOptions
from tests.client.clients import DEADLINE_S, Heard, hear, run
from tests.client.server import (
    Fault,
    ScriptedServer,
    words,
)

SAMPLES = 50_000
"""A little over three seconds: 32 words, the last one cut short."""


def transcribed(
    faults: list[Fault | None], samples: int = SAMPLES, options: ClientOptions | None = None, **server: int
) -> tuple[Heard, ScriptedServer]:
    """Run audio through a server with these faults."""

    async def main() -> tuple[Heard, ScriptedServer]:
        async with ScriptedServer(faults, **server).running() as scripted:  # type: ignore[arg-type]
            return await hear(scripted.url, samples, options), scripted

    return run(main())


def assert_all_heard(heard: Heard, samples: int = SAMPLES) -> None:
    """Every word once and in order, at its time, and an account that balances."""
    assert heard.error is None
    assert heard.words == words(samples)
    edges = [(final.from_, final.to) for final in heard.finals]
    assert edges[0][0] == 0 and edges[-1][1] == samples
    assert all(before[1] == after[0] for before, after in itertools.pairwise(edges))
    assert all(final.start_s == final.from_ / 16_000 for final in heard.finals)
    assert [final.utterance for final in heard.finals] == list(range(len(words(samples))))
    assert heard.client is not None
    account = heard.client.account
    assert (account.received_samples, account.pending_samples, account.dropped_samples) == (samples, 0, 0)


@contextmanager
def serving(server: ScriptedServer) -> Iterator[ScriptedServer]:
    """A server in a thread of its own, for clients that have no event loop, or one of their own."""
    loop, stop, started = asyncio.new_event_loop(), asyncio.Event(), threading.Event()

    async def main() -> None:
        async with server.running():
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    assert started.wait(DEADLINE_S)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(DEADLINE_S)
        loop.close()
