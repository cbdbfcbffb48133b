"""The client through a proxy that harms connections by a seed: at any byte, also of handshakes."""

from __future__ import annotations

import asyncio
from itertools import islice, pairwise

import pytest

from asrctl.client import ClientOptions
from asrctl.policy.backoff import BackoffOptions
from asrctl.protocol.codes import CloseCode
from benchmarks.faults.proxy import FaultyProxy, Plan, seeded_plans
from tests.client.clients import Heard, hear, run
from tests.client.server import ScriptedServer, words

SAMPLES = 80_000
PATIENT = ClientOptions(backoff=BackoffOptions(max_attempts=60))
"""These links never last half a minute, so that no attempt is forgiven."""


@pytest.mark.parametrize("seed", range(20))
def test_words_once_in_order_none_missing(seed: int) -> None:
    """However often the connection is cut, the result is that of a good one, and the account balances."""

    async def main() -> tuple[Heard, int]:
        plans = islice(seeded_plans(seed), 12)
        async with (
            ScriptedServer(window=20_000).running() as server,
            FaultyProxy(server.url, plans).running() as proxy,
        ):
            return await hear(proxy.url, SAMPLES + seed, PATIENT, seed=seed), proxy.harmed

    heard, harmed = run(main())
    assert heard.error is None
    assert heard.words == words(SAMPLES + seed)
    assert all(before.to == after.from_ for before, after in pairwise(heard.finals))
    assert heard.client is not None
    account = heard.client.account
    assert (account.received_samples, account.speech_samples) == (SAMPLES + seed, SAMPLES + seed)
    assert harmed == sum(bool(state.reason) and state.wait_s > 0 for state in heard.states)


def test_plans_come_from_the_seed() -> None:
    """The same seed harms the same connections at the same bytes."""
    assert list(islice(seeded_plans(3), 50)) == list(islice(seeded_plans(3), 50))
    assert list(islice(seeded_plans(3), 50)) != list(islice(seeded_plans(4), 50))


def test_a_proxy_without_plans_is_a_wire() -> None:
    """Nothing is harmed that was not planned."""

    async def main() -> tuple[Heard, int]:
        async with (
            ScriptedServer().running() as server,
            FaultyProxy(server.url, [Plan()]).running() as proxy,
        ):
            return await hear(proxy.url, SAMPLES), proxy.harmed

    heard, harmed = run(main())
    assert (heard.words, harmed, heard.time.slept_s) == (words(SAMPLES), 0, [])


def test_another_client_takes_the_session() -> None:
    """Who loses the session to a newer socket takes it back, and still hears each word once."""

    async def main() -> Heard:
        server = ScriptedServer()

        async def usurp() -> None:
            while not server.sessions or not next(iter(server.sessions.values())).state.received:
                await asyncio.sleep(0)
            session = next(iter(server.sessions.values()))
            assert session.socket is not None
            await session.socket.close(CloseCode.REPLACED)

        async with server.running():
            usurper = asyncio.create_task(usurp())
            heard = await hear(server.url, SAMPLES)
            await usurper
            return heard

    heard = run(main())
    assert heard.words == words(SAMPLES)
    assert any("took the session over" in state.reason for state in heard.states)
