"""Links that break anywhere, again and again: each word comes once, and nothing is heard twice."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from asrctl.providers.base import DecodeOptions
from asrctl.providers.remote.session import RemoteSession
from asrctl.providers.remote.windows import RemoteWindows
from asrctl.providers.scripted import speak
from benchmarks.serve_proxy import FaultyProxy, Kind, seeded_plans

from ..server.servers import options_for, running, script
from .remote_server import HttpServer, OpenAiBrain, RealtimeServer, VllmBrain, serving, serving_http
from .remote_streams import Ear, open_stream, options, talk

CUTS = 20
CUT: tuple[Kind, ...] = ("cut", "reset", "close", "lag")
SILENT: tuple[Kind, ...] = ("stall", "half-open")
"""Only a ping that is not answered tells."""
BRAINS = {
    "openai": OpenAiBrain,
    "openai, early deltas": partial(OpenAiBrain, early=True),
    "openai, backwards": partial(OpenAiBrain, 16_000, backwards=True),
    "vllm": VllmBrain,
}


@contextmanager
def broken_link(
    url: str, seed: int, mean_bytes: float, kinds: tuple[Kind, ...], dialect: str = "auto", **changes: Any
) -> Iterator[tuple[FaultyProxy, RemoteSession, Ear]]:
    """A stream to a server through a proxy that harms its connections."""
    with FaultyProxy(url, seeded_plans(seed, mean_bytes, kinds)).in_thread() as proxy:
        limits = {"keepalive_s": 0.2, "connect_timeout_s": 1.0, "first_event_timeout_s": 1.0}
        chosen = options(proxy.url, dialect, **(limits | changes))
        with open_stream(chosen) as (session, ear):
            yield proxy, session, ear


def check(ear: Ear, texts: list[str]) -> None:
    """Everything was said once; what was heard of an utterance is how its text begins."""
    assert ear.texts == texts
    for heard, text in zip(ear.heard, texts, strict=False):
        assert text.startswith(heard.strip())


@pytest.mark.parametrize("name", list(BRAINS))
def test_cuts_lose_nothing_and_repeat_nothing(name: str) -> None:
    """A realtime link that breaks at random bytes, in each way that links break."""
    with (
        serving(RealtimeServer(BRAINS[name])) as url,
        broken_link(url, 11, 50_000, CUT) as (proxy, session, ear),
    ):
        texts = talk(session, ear, random.Random(7), lambda: proxy.harmed >= CUTS)
        check(ear, texts)


@pytest.mark.parametrize("name", ["openai", "vllm"])
def test_links_that_fall_silent_lose_nothing(name: str) -> None:
    """The same for links that are not closed, over which nothing comes any more."""
    with (
        serving(RealtimeServer(BRAINS[name])) as url,
        broken_link(url, 3, 50_000, SILENT) as (proxy, session, ear),
    ):
        texts = talk(session, ear, random.Random(8), lambda: proxy.harmed >= 3)
        check(ear, texts)


def test_cuts_of_a_link_to_another_asrctl(tmp_path: Path) -> None:
    """The same for a server of our kind, with its real endpointing and its worker."""
    with (
        running(options_for(script(tmp_path / "plain.json"))) as server,
        broken_link(server.url, 5, 30_000, CUT, "asrctl", model="") as (proxy, session, ear),
    ):
        texts = talk(session, ear, random.Random(3), lambda: proxy.harmed >= CUTS)
        check(ear, texts)


def test_cuts_of_plain_requests() -> None:
    """A request that breaks is made again; each window gives its words."""
    chance = random.Random(4)
    with (
        serving_http(HttpServer()) as server,
        FaultyProxy(server.url, seeded_plans(2, 30_000, CUT)).in_thread() as proxy,
        RemoteWindows(options(proxy.url.replace("ws://", "http://"))) as model,
    ):
        while proxy.harmed < CUTS:
            numbers = [chance.randrange(200) for _ in range(chance.randint(1, 5))]
            heard = model.transcribe(speak(numbers), DecodeOptions(), lambda: False)
            assert heard.text == " ".join(f"w{number}" for number in numbers)
