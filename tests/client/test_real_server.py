"""The client against asrctl's own server, over a network that breaks: the same words as over a good one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from asrctl.client import Client, ClientOptions, Phase
from asrctl.policy.admission import AdmissionOptions
from asrctl.policy.backoff import BackoffOptions
from asrctl.policy.breaker import BreakerOptions
from asrctl.protocol.messages import Dropped, Final
from asrctl_tests.scripted import speak
from benchmarks.faults.proxy import FaultyProxy, Kind, seeded_plans
from tests.client.clients import Heard, run
from tests.server.servers import Running, options_for, running, script
from tests.streaming.speech import silence

WORDS = 12
IMPATIENT = ClientOptions(
    backoff=BackoffOptions(first_s=0.02, max_s=0.05, max_attempts=100),
    breaker=BreakerOptions(open_s=0.05),
    keepalive_s=0.5,
)
"""Waits in milliseconds: against a real server time is real."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server over the scripted recogniser."""
    with running(options_for(script(tmp_path_factory.mktemp("script") / "plain.json"))) as server:
        yield server


def speech() -> NDArray[np.float32]:
    """Words one by one, with pauses."""
    pieces = [np.concatenate((speak([number]), silence(0.7))) for number in range(WORDS)]
    return np.concatenate((silence(0.3), *pieces))


async def talk(url: str, samples: NDArray[np.float32], options: ClientOptions = IMPATIENT) -> Heard:
    """Have audio transcribed, in the chunks of a microphone."""
    heard = Heard()
    async with Client(url, options) as client:
        heard.client = client
        for at in range(0, len(samples), 800):
            client.feed(samples[at : at + 800])
        client.finish()
        async for event in client:
            heard.events.append(event)
    return heard


def assert_whole(heard: Heard, samples: NDArray[np.float32]) -> None:
    """Each word once and in order; finals that do not overlap; an account that balances."""
    assert [word for text in heard.words for word in text.split()] == [f"w{n}" for n in range(WORDS)]
    assert all(before.to <= after.from_ for before, after in pairwise(heard.finals))
    assert heard.client is not None
    account = heard.client.account
    assert (account.received_samples, account.dropped_samples) == (len(samples), 0)
    assert account.speech_samples == sum(final.to - final.from_ for final in heard.finals)


def test_a_good_network(server: Running) -> None:
    """The client's account is the server's."""
    samples = speech()
    heard = run(talk(server.url, samples))
    assert_whole(heard, samples)
    assert heard.client is not None and heard.client.done is not None
    done, account = heard.client.done, heard.client.account
    assert round(done.speech_s * 16_000) == account.speech_samples
    assert round(done.silence_s * 16_000) == account.silence_samples


@pytest.mark.parametrize("seed", range(6))
def test_cuts_at_any_byte(server: Running, seed: int) -> None:
    """Connections are reset at bytes drawn by the seed; nothing of it is heard."""
    samples = speech()

    async def main() -> tuple[Heard, int]:
        plans = islice(seeded_plans(seed, mean_bytes=40_000, kinds=("cut",)), 20)
        async with FaultyProxy(server.url, plans).running() as proxy:
            return await talk(proxy.url, samples), proxy.harmed

    heard, harmed = run(main())
    assert_whole(heard, samples)
    assert harmed > 0


@pytest.mark.parametrize("kind", ["stall", "half-open"])
def test_silence_on_the_line(server: Running, kind: Kind) -> None:
    """A connection that says nothing any more is noticed by its missing pongs."""
    samples = speech()

    async def main() -> Heard:
        plans = islice(seeded_plans(5, mean_bytes=100_000, kinds=(kind,)), 2)
        async with FaultyProxy(server.url, plans).running() as proxy:
            return await talk(proxy.url, samples)

    assert_whole(run(main()), samples)


def test_the_server_restarts(tmp_path: Path) -> None:
    """A new process knows nothing of the session: it goes on where the old one had got to."""
    samples = speech()
    options = options_for(script(tmp_path / "plain.json"))

    async def main(stack: ExitStack) -> Heard:
        first = stack.enter_context(running(options))
        port = first.server.port
        heard = Heard()
        async with Client(first.url, IMPATIENT) as client:
            heard.client = client
            half = len(samples) // 2
            client.feed(samples[:half])
            async for event in client:
                heard.events.append(event)
                if len(heard.finals) == 3:
                    break
            await asyncio.to_thread(first.stop)
            assert client.state.phase is not Phase.GAVE_UP
            await asyncio.to_thread(stack.enter_context, running(replace(options, port=port)))
            client.feed(samples[half:])
            client.finish()
            async for event in client:
                heard.events.append(event)
        return heard

    with ExitStack() as stack:
        heard = run(main(stack))
    assert_whole(heard, samples)
    assert [final.start_s for final in heard.finals] == sorted(final.start_s for final in heard.finals)


def test_losses_are_declared(server: Running) -> None:
    """What the source lost is in the server's account, and in the client's, at its place."""

    async def main() -> Heard:
        heard = Heard()
        async with Client(server.url, IMPATIENT) as client:
            heard.client = client
            client.feed(np.concatenate((silence(0.3), speak([1]), silence(0.8))))
            client.skip(8000, "overflow")
            client.feed(np.concatenate((silence(0.3), speak([2]), silence(0.8))))
            client.finish()
            async for event in client:
                heard.events.append(event)
        return heard

    heard = run(main())
    assert heard.words == ["w1", "w2"]
    assert sum(drop.to - drop.from_ for drop in heard.drops) == 8000
    assert heard.client is not None and heard.client.account.dropped_samples == 8000


def test_a_full_server(tmp_path: Path) -> None:
    """Who finds no place waits as long as the server says, and is served then."""
    samples = speech()
    options = options_for(
        script(tmp_path / "plain.json"), admission=AdmissionOptions(max_sessions=1, max_retry_after_s=1)
    )

    async def main(url: str) -> tuple[Heard, Heard]:
        async with Client(url, IMPATIENT) as first:
            async for event in first:
                if getattr(event, "phase", None) is Phase.LIVE:
                    break
            second = asyncio.create_task(talk(url, samples))
            heard = Heard(client=first)
            first.feed(samples)
            first.finish()
            async for event in first:
                heard.events.append(event)
        return heard, await second

    with running(options) as small:
        for heard in run(main(small.url)):
            assert_whole(heard, samples)


def test_many_at_once(server: Running) -> None:
    """Sessions that are cut, each at its own bytes, hear their own words and nobody else's."""
    chance = random.Random(7)
    spoken = [[chance.randrange(40) for _ in range(6)] for _ in range(5)]

    async def one(numbers: list[int], seed: int) -> Heard:
        pieces = [np.concatenate((speak([number]), silence(0.7))) for number in numbers]
        plans = islice(seeded_plans(seed, mean_bytes=40_000), 6)
        async with FaultyProxy(server.url, plans).running() as proxy:
            return await talk(proxy.url, np.concatenate((silence(0.3), *pieces)))

    async def main() -> list[Heard]:
        return list(await asyncio.gather(*(one(numbers, seed) for seed, numbers in enumerate(spoken))))

    for numbers, heard in zip(spoken, run(main()), strict=True):
        assert [word for text in heard.words for word in text.split()] == [f"w{n}" for n in numbers]
        assert not any(isinstance(event, Dropped) for event in heard.events)
        assert all(isinstance(event, Final) for event in heard.finals)
