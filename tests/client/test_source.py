"""Audio that can wait: the client reads it itself, holds little of it, and leaves no copy of it anywhere."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from asrctl.client import Client, ClientOptions
from asrctl.client.source import AHEAD_SAMPLES, HELD_SAMPLES, Source
from asrctl.errors import AudioError, ServerError
from asrctl.protocol.messages import Final
from benchmarks.faults.proxy import FaultyProxy, Plan
from tests.client.clients import Heard, run
from tests.client.liar import READY, saying
from tests.client.runs import SAMPLES, assert_all_heard
from tests.client.server import (
    Cut,
    Fault,
    Mute,
    Refuse,
    Restart,
    ScriptedServer,
    Stall,
    always,
    pcm,
    sound,
    words,
)


def floats(samples: int = SAMPLES, chunk: int = 1000) -> Iterator[object]:
    for at in range(0, samples, chunk):
        yield sound(at, min(samples, at + chunk))


def raw(samples: int = SAMPLES, chunk: int = 1000) -> Iterator[bytes]:
    for at in range(0, samples, chunk):
        yield pcm(at, min(samples, at + chunk)).tobytes()


async def awaited(samples: int = SAMPLES) -> AsyncIterator[bytes]:
    for chunk in raw(samples):
        await asyncio.sleep(0)
        yield chunk


async def listen(url: str, source: Source, options: ClientOptions | None = None) -> Heard:
    """Have a source transcribed."""
    heard = Heard()
    client = Client(url, options, source=source, clock=heard.time, sleep=heard.time.sleep)
    heard.client = client
    async with client:
        try:
            async for event in client:
                heard.events.append(event)
        except ServerError as error:
            heard.error = error
    return heard


def through(source: Source, *faults: Fault | None, window: int = 160_000) -> Heard:
    """The same, through a server with these faults."""

    async def main() -> Heard:
        async with ScriptedServer(faults, window=window).running() as server:
            return await listen(server.url, source)

    return run(main())


@pytest.mark.parametrize("source", [floats, raw, awaited, lambda: list(raw()), lambda: [sound(0, SAMPLES)]])
def test_kinds_of_sources(source: object) -> None:
    """Floats or PCM, in chunks of any length, at once or awaited: read to the end, which ends the session."""
    assert_all_heard(through(source()))  # type: ignore[operator]


def test_cuts_and_restarts() -> None:
    """What was read is sent again from memory, wherever the link breaks."""
    heard = through(raw(), Cut(20_000), Restart(30_000), Refuse(503), Cut(1), window=8_000)
    assert_all_heard(heard)


def test_nothing_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is given up leaves no file behind: the source has the audio still."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    heard = through(raw(), Restart(20_000), Refuse(404))
    assert heard.error is not None and heard.client is not None
    answered_s = heard.client.account.received_samples / 16_000
    assert str(heard.error).endswith(f"; transcribed up to {answered_s:.1f} s")
    assert 0 < answered_s < SAMPLES / 16_000
    assert not list(tmp_path.iterdir())


def test_a_source_that_has_it_no_more(tmp_path: Path) -> None:
    """What comes through a pipe can be had saved, as far as it was read."""

    async def main() -> Heard:
        async with ScriptedServer([Restart(20_000), Refuse(404)]).running() as server:
            return await listen(server.url, raw(), ClientOptions(salvage=True, salvage_dir=tmp_path))

    heard = run(main())
    (saved,) = tmp_path.iterdir()
    assert str(saved) in str(heard.error)
    assert saved.stat().st_mode & 0o777 == 0o600


def test_an_empty_source() -> None:
    """It is a stream like any other."""
    heard = through([])
    assert (heard.error, heard.words) == (None, [])


def test_read_only_as_far_as_needed() -> None:
    """A server that takes nothing keeps the source waiting, a few seconds in."""

    async def main() -> int:
        read = 0

        def counted() -> Iterator[bytes]:
            nonlocal read
            for chunk in raw(4 * AHEAD_SAMPLES):
                read += len(chunk) // 2
                yield chunk

        server = ScriptedServer(always(Mute()))
        async with server.running(), Client(server.url, source=counted()) as client:
            while client.fed_samples < AHEAD_SAMPLES:
                await asyncio.sleep(0)
            await asyncio.sleep(0.05)
            return read

    assert AHEAD_SAMPLES <= run(main()) <= AHEAD_SAMPLES + 2000


def test_what_is_held_is_bounded() -> None:
    """A server that takes everything and answers for nothing gets no more than fits into memory."""

    ready = replace(READY, window_samples=1 << 40)

    async def main() -> tuple[int, int]:
        source = raw(HELD_SAMPLES + 10 * AHEAD_SAMPLES, chunk=160_000)
        async with saying(ready=ready) as url, Client(url, source=source) as client:
            while client.fed_samples < HELD_SAMPLES or client.unsent_samples:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.05)
            return client.fed_samples, client.account.dropped_samples

    fed, dropped = run(main())
    assert fed <= HELD_SAMPLES + 16_000
    assert dropped == 0


def test_a_source_that_breaks() -> None:
    """What it gave before is transcribed, then its error is raised."""

    def broken() -> Iterator[bytes]:
        yield from raw(16_000)
        raise AudioError("it is cut short")

    async def main() -> list[str]:
        said = []
        async with ScriptedServer().running() as server, Client(server.url, source=broken()) as client:
            with pytest.raises(AudioError, match="cut short"):
                async for event in client:
                    if isinstance(event, Final):
                        said.append(event.text)
        return said

    assert run(main()) == words(16_000)


def test_a_source_that_breaks_when_it_is_stopped() -> None:
    """Being stopped may be what breaks it: that makes no second end."""
    stopped = asyncio.Event()

    async def broken() -> AsyncIterator[bytes]:
        yield pcm(0, 3200).tobytes()
        await stopped.wait()
        raise AudioError("the device is gone")

    async def main() -> int:
        async with ScriptedServer().running() as server, Client(server.url, source=broken()) as client:
            with suppress(AudioError):
                async for event in client:
                    if isinstance(event, Final) and not stopped.is_set():
                        client.finish()
                        stopped.set()
                        await asyncio.sleep(0)
            return client.account.received_samples

    assert run(main()) == 3200


def test_half_a_sample() -> None:
    """PCM that is cut inside a sample is refused, and not heard shifted."""

    async def main() -> None:
        async with ScriptedServer().running() as server, Client(server.url, source=[b"123"]) as client:
            with pytest.raises(ValueError, match="whole samples"):
                async for _ in client:
                    pass

    run(main())


def test_stopped_early() -> None:
    """`finish` stops a source where it is; what was read is transcribed."""

    async def endless() -> AsyncIterator[bytes]:
        for chunk in raw(1 << 40):
            await asyncio.sleep(0)
            yield chunk

    async def main() -> tuple[int, int]:
        async with ScriptedServer().running() as server, Client(server.url, source=endless()) as client:
            async for event in client:
                if isinstance(event, Final) and event.text == "w3":
                    client.finish()
            return client.account.received_samples, client.fed_samples

    received, fed = run(main())
    assert 4 * 1600 <= received == fed


def test_leaving_ends_the_reading() -> None:
    """A client that is left waits for the step that its source is in, and reads no further."""
    entered, go_on = threading.Event(), threading.Event()
    steps = 0

    def blocking() -> Iterator[bytes]:
        nonlocal steps
        while True:
            steps += 1
            entered.set()
            go_on.wait(10)
            yield bytes(200)

    async def main() -> None:
        async with ScriptedServer().running() as server, Client(server.url, source=blocking()):
            await asyncio.to_thread(entered.wait, 10)
        go_on.set()

    run(main())
    assert steps == 1


@pytest.mark.parametrize(
    "plan", [Plan("stall", 30_000), Plan("half-open", 30_000), Plan("stall", 10), Plan()]
)
def test_time_for_leaving(plan: Plan) -> None:
    """Whatever network and server do, the block is left within seconds, also with much unsent."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        async with (
            ScriptedServer(always(Stall(20_000))).running() as server,
            FaultyProxy(server.url, [plan]).running() as proxy,
        ):
            async with Client(proxy.url) as client:
                for chunk in raw(10_000_000, 1 << 20):
                    client.feed(chunk)
                await asyncio.sleep(0.5)
                began_s = loop.time()
            return loop.time() - began_s

    assert run(main()) < 3.0
