"""Sessions through a server with asrctl's client, paced as audio comes from microphones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from asrctl.bench.paced import CHUNK_SAMPLES, Heard, Talk
from asrctl.client import Client, ClientOptions, Phase, State
from asrctl.client import Event as ClientEvent
from asrctl.errors import ServerError
from asrctl.protocol.messages import Done, Final, Status
from asrctl.remote_events import event_of
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount

_HEAD_START_S = 0.2


@dataclass(slots=True)
class Listened:
    """What one session's client heard; times by the monotonic clock.

    Attributes:
        talk: What was fed.
        started_s: When its first sample was due.
        events: All events, each with when it came.
        account: The client's, over all sessions.
        error: Why the server was given up; empty if it was not.
    """

    talk: Talk
    started_s: float = 0.0
    events: list[tuple[float, ClientEvent]] = field(default_factory=list)
    account: AudioAccount = field(default_factory=AudioAccount)
    error: str = ""

    def of(self, kind: Any) -> list[Any]:
        """Events of a kind."""
        return [event for _, event in self.events if isinstance(event, kind)]

    @property
    def text(self) -> str:
        """All finals."""
        return " ".join(final.text for final in self.of(Final) if final.text)

    @property
    def done(self) -> Done | None:
        """The server's account of the last session."""
        return next(iter(self.of(Done)), None)

    @property
    def balances(self) -> bool:
        """Whether every sample that was fed is answered for: by the client's account, and by the server's."""
        sent, done = len(self.talk.samples), self.done
        if done is None or (self.account.received_samples, self.account.pending_samples) != (sent, 0):
            return False
        parts_s = (done.received_s, done.speech_s, done.silence_s, done.dropped_s)
        received, *parts = (round(part_s * SAMPLE_RATE_HZ) for part_s in parts_s)
        return done.audio_offset == sent and received == sum(parts)

    @property
    def heard(self) -> Heard:
        """The same as the engine's events, for what measures those."""
        heard = Heard(self.started_s)
        for at_s, event in self.events:
            if (known := event_of(event)) is not None:
                heard.events.append((at_s - self.started_s, known))
        return heard


async def listen(client: Client, listened: Listened) -> None:
    """Take all events to the end; an end that is none is noted."""
    try:
        async for event in client:
            listened.events.append((time.monotonic(), event))
    except ServerError as error:
        listened.error = str(error)
    listened.account = client.account


async def wait_live(client: Client) -> None:
    """Wait until the server is ready for this client, or was given up."""
    while client.ready is None and client.state.phase is not Phase.GAVE_UP:
        await asyncio.sleep(0.005)


async def play(
    url: str,
    talks: Sequence[Talk],
    options: ClientOptions,
    sources: Sequence[str] = (),
    look: Callable[[], object] = lambda: None,
) -> list[Listened]:
    """All talks at once at real time, each through a client of its own.

    Args:
        url: Of the server.
        talks: One for each session.
        options: For each.
        sources: "mic" or "system" for each; those of the options if empty.
        look: Called, in a thread, when all are about to begin, and when all audio was fed.
    """
    listened = [Listened(talk) for talk in talks]
    chosen = [replace(options, source=source) for source in sources] or [options] * len(talks)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(url, each)) for each in chosen]
        listeners = [asyncio.create_task(listen(*pair)) for pair in zip(clients, listened, strict=True)]
        await asyncio.gather(*map(wait_live, clients))
        await asyncio.to_thread(look)
        await _feed(clients, listened)
        await asyncio.to_thread(look)
        await asyncio.gather(*listeners)
    return listened


async def _feed(clients: Sequence[Client], listened: Sequence[Listened]) -> None:
    started_s = time.monotonic() + _HEAD_START_S
    for each in listened:
        each.started_s = started_s
    for at in range(0, max(len(each.talk.samples) for each in listened), CHUNK_SAMPLES):
        await asyncio.sleep(started_s + (at + CHUNK_SAMPLES) / SAMPLE_RATE_HZ - time.monotonic())
        for client, each in zip(clients, listened, strict=True):
            if len(chunk := each.talk.samples[at : at + CHUNK_SAMPLES]):
                client.feed(chunk)
                if at + CHUNK_SAMPLES >= len(each.talk.samples):
                    client.finish()


async def feed_paced(client: Client, talk: Talk) -> None:
    """All audio of a talk at real time, whatever the client does meanwhile."""
    started_s = time.monotonic()
    for at in range(0, len(talk.samples), CHUNK_SAMPLES):
        await asyncio.sleep(started_s + (at + CHUNK_SAMPLES) / SAMPLE_RATE_HZ - time.monotonic())
        client.feed(talk.samples[at : at + CHUNK_SAMPLES])
    client.finish()


def levels(listened: Sequence[Listened]) -> list[tuple[float, int]]:
    """Steps on the ladder as the first session was told of them: seconds since its start, and the rung."""
    first = listened[0]
    return [
        (at_s - first.started_s, event.level) for at_s, event in first.events if isinstance(event, Status)
    ]


def failures(listened: Sequence[Listened]) -> list[str]:
    """How connections were lost, of all sessions."""
    return [state.reason for each in listened for state in each.of(State) if state.reason and state.wait_s]
