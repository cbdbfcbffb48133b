"""Sessions through a server with asrctl's client, paced as audio comes from microphones."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from asrctl.engine.pool import WorkerPool

from asrctl.audio.vad import SileroVad, SileroWeights
from asrctl.bench.paced import CHUNK_SAMPLES, Heard, Talk
from asrctl.client import Client, ClientOptions, Phase, State
from asrctl.client import Event as ClientEvent
from asrctl.errors import ServerError
from asrctl.protocol import Done, Dropped, Final, Partial, SpeechStarted, Status
from asrctl.server.options import ServeOptions
from asrctl.streaming import events
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount, Segment
from benchmarks.common import CORPUS, Clip, Table, machine, note, read_manifest, save
from benchmarks.live import conversation, offline_texts
from benchmarks.serve_process import end_on_sigterm

_HEAD_START_S = 0.2
_SAME_S = 0.001
"""Times on the wire have three decimals."""
SHORTEST_CLIP_S = 1.5


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
        """Whether every sample that was fed is answered for: by the client's books, and by the server's."""
        sent, done = len(self.talk.samples), self.done
        if done is None or (self.account.received_samples, self.account.pending_samples) != (sent, 0):
            return False
        parts_s = (done.received_s, done.speech_s, done.silence_s, done.dropped_s)
        received, *parts = (round(part_s * SAMPLE_RATE_HZ) for part_s in parts_s)
        return done.audio_offset == sent and received == sum(parts)

    @property
    def heard(self) -> Heard:
        """The same as the engine's events, for what measures those."""
        ends_s = [final.to / SAMPLE_RATE_HZ for final in self.of(Final)]
        heard = Heard(self.started_s)
        for at_s, event in self.events:
            if (engine_event := _engine_event(event, ends_s)) is not None:
                heard.events.append((at_s - self.started_s, engine_event))
        return heard


def _engine_event(event: ClientEvent, ends_s: Sequence[float]) -> events.Event | None:
    if isinstance(event, SpeechStarted):
        start_s = min(ends_s, key=lambda end_s: abs(end_s - event.start_s), default=event.start_s)
        same = abs(start_s - event.start_s) <= _SAME_S  # one utterance was cut where this begins
        return events.SpeechStarted(event.utterance, start_s if same else event.start_s)
    if isinstance(event, Partial):
        return events.Partial(event.utterance, 0, event.start_s, event.end_s, event.stable, event.unstable)
    if isinstance(event, Final):
        segment = Segment(event.start_s, event.end_s, event.text, event.confidence, ())
        return events.Final(event.utterance, segment, event.from_, event.to)
    if isinstance(event, Dropped):
        return events.Dropped(event.utterance, event.from_, event.to, event.reason)
    return None


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


# What all these benchmarks share on their command lines


def parser(name: str, about: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all have, for a program that leaves no server behind."""
    end_on_sigterm()
    made = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=about)
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    made.add_argument("corpus", type=Path, nargs="?", default=CORPUS, help="a corpus directory")
    made.add_argument("--model", default="tiny.en-q8_0")
    made.add_argument("--output", metavar="NAME", help="keep the raw figures as results/NAME.json")
    return made


def keep(options: argparse.Namespace, result: dict[str, Any], *tables: Table) -> None:
    """Print tables, and save them with a result if that was asked for."""
    print(*tables, sep="\n\n")
    if options.output:
        note(str(save(options.output, {"machine": machine(), "model": options.model, **result}, *tables)))


def clips_of(corpus: Path) -> list[Clip]:
    """Real speech of some length."""
    return [
        clip for clip in read_manifest(corpus) if not clip.synthetic and clip.duration_s > SHORTEST_CLIP_S
    ]


def talks_of(corpus: Path, count: int, duration_s: float, seed: int = 0) -> list[Talk]:
    """So many different conversations, about as long as asked for."""
    clips = clips_of(corpus)
    return [conversation(corpus, clips, duration_s, seed + number) for number in range(count)]


def serve_options(model: str) -> ServeOptions:
    """What `asrctl serve --model` would run with on this machine."""
    from asrctl.cli.serve import options_of
    from asrctl.settings import load

    return options_of(load().settings.overridden(model=model))


def transcripts(options: ServeOptions, talks: Sequence[Talk]) -> list[str]:
    """The talks decoded as files, by the server's model; the pool ends with it."""
    with WorkerPool(options.models.main.spec, options.pool) as pool:
        pool.wait_ready()
        return offline_texts(pool, talks, SileroWeights.load())


def detector() -> SileroVad:
    """What finds speech in the server."""
    return SileroVad(SileroWeights.load())


def spread(values: Sequence[float]) -> str:
    """Median and p95, as "0.61 / 0.92"; "-" for none."""
    if not values:
        return "-"
    return f"{float(np.median(values)):.3f} / {float(np.percentile(values, 95)):.3f}"
