"""A network that cuts anywhere: the same words as without it, once each, and a full account."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from asrctl.protocol.messages import Dropped, Final
from asrctl.providers.base import ModelSpec
from benchmarks.faults.proxy import Kind, Plan, seeded_plans
from tests.proxies import proxy_in_a_thread

from .servers import Running, Talker, options_for, running, spoken

SESSIONS = 10


def check(talker: Talker, words: list[str]) -> None:
    """Every word once and in order, every frame answered for."""
    assert talker.words == words
    assert not talker.of(Dropped)
    finals = talker.of(Final)
    assert all(before.to <= after.from_ for before, after in pairwise(finals))
    numbers = [final.utterance for final in finals]
    assert numbers == sorted(set(numbers))
    account = talker.protocol.account
    assert account.received_samples == len(talker.audio) // 2
    assert account.pending_samples == account.dropped_samples == 0
    if talker.socket is not None:
        talker.socket.close()


class Weather:
    """Plans by a seed; those of connections that begin while it is calm do no harm."""

    def __init__(self, seed: int, mean_bytes: int) -> None:
        self._plans = seeded_plans(seed, mean_bytes, ("close", "reset", "lag"))
        self.calm = False

    def __iter__(self) -> Iterator[Plan]:
        while True:
            yield Plan() if self.calm else next(self._plans)


@pytest.mark.parametrize("mean_bytes", [3_000, 60_000])
def test_cuts_at_any_byte(shared: Running, mean_bytes: int) -> None:
    """Connections end after any number of bytes, by a close, a reset or after a stall."""
    weather = Weather(mean_bytes, mean_bytes)
    with proxy_in_a_thread(shared.url, weather) as proxy:
        for session in range(SESSIONS):
            words = [(session * 7 + n) % 4000 for n in range(4)]
            weather.calm = False
            talker = Talker(f"{proxy.url}/v1/stream", spoken(*words, pause_s=0.6))
            while proxy.harmed < 3 * (session + 1) and not talker.news:
                talker.try_connect()
            weather.calm = mean_bytes < 20_000  # else it would never end
            talker.persist()
            check(talker, [f"w{n}" for n in words])
        assert proxy.harmed >= SESSIONS


@pytest.mark.parametrize("kind", ["delay", "throttle", "fragment", "coalesce", "corrupt", "half-close"])
def test_networks_that_are_slow_or_wrong(shared: Running, kind: Kind) -> None:
    """Bytes that come late, in crumbs, all at once, or not as they were sent, cost no word."""
    with proxy_in_a_thread(shared.url, [Plan(kind, 1000), Plan(kind, 1001)]) as proxy:
        talker = Talker(f"{proxy.url}/v1/stream", spoken(1, 2, pause_s=0.6))
        talker.persist()
        check(talker, ["w1", "w2"])
        assert proxy.fates[kind]


def test_the_server_restarts(scripted: Callable[..., ModelSpec]) -> None:
    """A client whose server ends and comes back has every word once, with positions that go on."""
    words = [f"w{n}" for n in range(9)]
    talker = Talker("", spoken(*range(9), pause_s=0.6))
    for seconds in (1.7, 2.0, 1e9):
        with running(options_for(scripted())) as server:
            talker.url = server.url
            while talker.protocol.state != "open":
                talker.try_connect()
            talker.send(seconds)
            if seconds > 100:
                talker.persist()
                break
            talker.receive_until(Final)
            server.stop()
            while talker.receive():
                pass
            assert talker.close_code == 1012
    assert talker.sockets >= 3
    check(talker, words)
