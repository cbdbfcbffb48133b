"""Links that break anywhere, again and again: each word comes once, and nothing is heard twice."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults.proxy import FaultyProxy, Kind, seeded_plans
from tests.proxies import proxy_in_a_thread

from ..server.servers import options_for, running, script
from .brains import OpenAiBrain, OwnTurnsBrain, VllmBrain
from .ears import Stream, in_loop
from .http_server import HttpServer, serving_http
from .remote_server import RealtimeServer, serving
from .remote_streams import open_stream, settings, talk
from .test_remote_windows import decode, decoder

CUTS = 20
CUT: tuple[Kind, ...] = ("cut", "reset", "close", "lag")
SILENT: tuple[Kind, ...] = ("stall", "half-open")
"""Only a ping that is not answered tells."""
BRAINS = {
    "openai": OpenAiBrain,
    "openai, early deltas": partial(OpenAiBrain, early=True),
    "openai, backwards": partial(OpenAiBrain, 16_000, backwards=True),
    "openai, ends utterances": OwnTurnsBrain,
    "vllm": VllmBrain,
}


@asynccontextmanager
async def broken_link(
    url: str, seed: int, mean_bytes: float, kinds: tuple[Kind, ...], dialect: str = "auto", **changes: Any
) -> AsyncIterator[tuple[FaultyProxy, Stream]]:
    """A stream to a server through a proxy that harms its connections."""
    with proxy_in_a_thread(url, seeded_plans(seed, mean_bytes, kinds)) as proxy:
        limits = {"keepalive_s": 0.2, "connect_timeout_s": 1.0, "first_event_timeout_s": 1.0}
        async with open_stream(settings(proxy.url, dialect, **(limits | changes))) as stream:
            yield proxy, stream


def check(stream: Stream, texts: list[str]) -> None:
    """Everything was said once; what was heard of an utterance is how its text begins."""
    assert stream.ear.texts == texts
    for number, text in enumerate(texts):
        assert text.startswith(stream.ear.last_heard(number))


@pytest.mark.parametrize("name", list(BRAINS))
@in_loop
async def test_cuts_lose_nothing_and_repeat_nothing(name: str) -> None:
    """A realtime link that breaks at random bytes, in each way that links break."""
    mean_bytes = 400_000 if "ends" in name else 50_000  # of which the silence behind each utterance is most
    async with (
        serving(RealtimeServer(BRAINS[name])) as url,
        broken_link(url, 11, mean_bytes, CUT) as (proxy, stream),
    ):
        texts = await talk(stream, random.Random(7), lambda: proxy.harmed >= CUTS)
        check(stream, texts)


@pytest.mark.parametrize("name", ["openai", "vllm"])
@in_loop
async def test_links_that_fall_silent_lose_nothing(name: str) -> None:
    """The same for links that are not closed, over which nothing comes any more."""
    async with (
        serving(RealtimeServer(BRAINS[name])) as url,
        broken_link(url, 3, 250_000, SILENT) as (proxy, stream),
    ):
        texts = await talk(stream, random.Random(8), lambda: proxy.harmed >= 3)
        check(stream, texts)


@in_loop
async def test_cuts_of_a_link_to_another_asrctl(tmp_path: Path) -> None:
    """The same for a server of our kind, with its real endpointing and its worker."""
    with running(options_for(script(tmp_path / "plain.json"))) as server:
        async with broken_link(server.url, 5, 30_000, CUT, "asrctl", model="") as (proxy, stream):
            texts = await talk(stream, random.Random(3), lambda: proxy.harmed >= CUTS)
            check(stream, texts)


@in_loop
async def test_cuts_of_plain_requests() -> None:
    """A request that breaks is made again; each window gives its words."""
    chance = random.Random(4)
    with (
        serving_http(HttpServer()) as server,
        proxy_in_a_thread(server.url, seeded_plans(2, 30_000, CUT)) as proxy,
    ):
        async with decoder(settings(proxy.url.replace("ws://", "http://"))) as windows:
            while proxy.harmed < CUTS:
                numbers = [chance.randrange(200) for _ in range(chance.randint(1, 5))]
                heard = await decode(windows, *numbers)
                assert heard.text == " ".join(f"w{number}" for number in numbers)
