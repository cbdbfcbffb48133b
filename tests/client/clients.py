"""Time that passes only when a client sleeps, and runs of a client against a server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from asrctl.client import Client, ClientOptions, Event, Phase, State
from asrctl.errors import ServerError
from asrctl.protocol.messages import Dropped, Final
from tests.client.server import sound

T = TypeVar("T")
DEADLINE_S = 60.0
"""Longest that anything in a test may take."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine, not for ever."""

    async def bounded() -> T:
        async with asyncio.timeout(DEADLINE_S):
            return await main

    return asyncio.run(bounded())


class Time:
    """A clock that sleeping moves on, without waiting."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept_s: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, duration_s: float) -> None:
        self.slept_s.append(duration_s)
        self.now_s += duration_s
        await asyncio.sleep(0)


@dataclass
class Heard:
    """What a run of a client gave."""

    events: list[Event] = field(default_factory=list)
    error: ServerError | None = None
    time: Time = field(default_factory=Time)
    client: Client | None = None

    @property
    def finals(self) -> list[Final]:
        return [event for event in self.events if isinstance(event, Final)]

    @property
    def words(self) -> list[str]:
        return [final.text for final in self.finals]

    @property
    def drops(self) -> list[Dropped]:
        return [event for event in self.events if isinstance(event, Dropped)]

    @property
    def states(self) -> list[State]:
        return [event for event in self.events if isinstance(event, State)]

    @property
    def phases(self) -> list[Phase]:
        phases: list[Phase] = []
        for state in self.states:
            if not phases or phases[-1] is not state.phase:
                phases.append(state.phase)
        return phases


async def hear(
    url: str,
    samples: int,
    options: ClientOptions | None = None,
    feed: Callable[[Client], Coroutine[Any, Any, None]] | None = None,
    seed: int = 1,
    time: Time | None = None,
) -> Heard:
    """Feed a client so much audio, or whatever `feed` does, and listen to the end."""
    time = time or Time()
    heard = Heard(time=time)
    client = Client(url, options, clock=time, sleep=time.sleep, random=random.Random(seed).random)
    heard.client = client
    async with client:
        feeding = asyncio.create_task(feed(client) if feed else feed_all(client, samples))
        try:
            async for event in client:
                heard.events.append(event)
        except ServerError as error:
            heard.error = error
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
    return heard


async def feed_all(client: Client, samples: int, chunk: int = 1000) -> None:
    for at in range(0, samples, chunk):
        client.feed(sound(at, min(samples, at + chunk)))
        await client.wait_unsent_below(16_000)
    client.finish()
