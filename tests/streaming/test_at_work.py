"""Live sessions over real workers: crashes, weights that do not load, full queues, shared pools."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable

import pytest

from asrctl.events import Dropped, Final, Partial, ProviderChanged
from asrctl.policy.chain import ChainOptions
from asrctl.providers.recognizer import Recognizer
from asrctl.streaming.fallback import Fallback
from asrctl.streaming.pooled import Pool, PooledRecognizer
from asrctl.streaming.session import Session
from asrctl.streaming.stream import StreamOptions
from asrctl.workers.slot import SlotState
from asrctl_tests.scripted import speak
from tests.streaming.puppets import Listener, assert_accounted
from tests.streaming.speech import PATIENCE_S, LevelDetector, joined, silence, until, words
from tests.workers.conftest import PoolOf, Script

SOON = ChainOptions(retry_s=0.01, growth=1.0, max_retry_s=0.01)
UTTERANCE = joined(speak(range(10)), silence(1))


class Work:
    """A session over these recognisers, and what it says."""

    def __init__(self, *members: Recognizer, **options: object) -> None:
        self.said = Listener()
        self.fed_samples = 0
        self.session = Session(
            LevelDetector(), StreamOptions(**options), Fallback(members, SOON), self.said, name="s"
        )

    def feed(self, *pieces: object) -> None:
        audio = joined(*pieces)  # type: ignore[arg-type]
        self.fed_samples += len(audio)
        self.session.feed(audio)

    async def finish(self) -> None:
        self.session.finish()
        async with asyncio.timeout(PATIENCE_S):
            await self.session.wait_ended()
        assert_accounted(self.said.events, self.fed_samples)


def pooled(pool: Pool, name: str = "pool") -> PooledRecognizer:
    return PooledRecognizer(name, "scripted", pool, lambda: "here")


@pytest.fixture
async def work() -> AsyncIterator[Callable[..., Work]]:
    """Makes sessions that are closed at the end of the test."""
    made: list[Work] = []

    def make(*members: Recognizer, **options: object) -> Work:
        made.append(Work(*members, **options))
        return made[-1]

    yield make
    for each in made:
        await each.session.close()


WorkOf = Callable[..., Work]


async def test_a_killed_worker_loses_nothing(script: Script, pool_of: PoolOf, work: WorkOf) -> None:
    """`kill -9` in the middle of an utterance: the final still comes, whole."""
    pool = pool_of(script(delay_s=0.05))
    run = work(pooled(pool))
    for number in range(3):
        partials = len(run.said.of(Partial))
        await until(lambda: pool.slots[0].state is SlotState.READY)
        run.feed(speak(range(10)))
        await run.said.wait_for(Partial, partials + 1)
        run.feed(silence(0.6))
        for pid in pool.pids():
            os.kill(pid, signal.SIGKILL)
        await run.said.wait_for(Final, number + 1)
    await run.finish()
    assert run.said.words == words(*range(10)) * 3 and not run.said.of(Dropped)


async def test_a_window_that_kills_every_worker_is_declared(
    script: Script, pool_of: PoolOf, work: WorkOf
) -> None:
    """After the last attempt its audio is a drop with the reason; the next utterance comes as usual."""
    run = work(pooled(pool_of(script(crash_on=["w7"]), attempts=2)), pacing=None)
    run.feed(speak([7]), silence(1), speak([8]), silence(1))
    await run.finish()
    (dropped,) = run.said.of(Dropped)
    assert "killed by signal 9" in dropped.reason
    assert run.said.words == words(8)


async def test_weights_that_do_not_load_are_declared(script: Script, pool_of: PoolOf, work: WorkOf) -> None:
    """The session ends with all speech declared dropped, for the reason the pool gave."""
    run = work(pooled(pool_of(script(fail_load="no such weights"))))
    run.feed(UTTERANCE)
    await run.finish()
    assert [drop.reason for drop in run.said.of(Dropped)] == ["no such weights"]


async def test_a_full_queue_is_declared(script: Script, pool_of: PoolOf, work: WorkOf) -> None:
    """Finals that the pool's queue refuses are drops, not losses."""
    pool = pool_of(script(hang_on=["w0"]), queue_limit=1, job_deadline_s=2.0, deadline_factor=0.0, attempts=1)
    run = work(pooled(pool), pacing=None)
    for number in range(5):
        run.feed(speak([number]), silence(1))
    await run.finish()
    outcomes = [event for event in run.said.events if isinstance(event, Final | Dropped)]
    assert [event.utterance for event in outcomes] == list(range(5))
    assert any("as many decodes wait as may" in drop.reason for drop in run.said.of(Dropped))


async def test_ten_sessions_share_a_worker(script: Script, pool_of: PoolOf, work: WorkOf) -> None:
    """Each gets its own words, all of them."""
    recognizer = pooled(pool_of(script(delay_s=0.01)))
    runs = [work(recognizer) for _ in range(10)]
    for at in range(0, 48_000, 1600):
        for number, run in enumerate(runs):
            audio = joined(speak(range(number * 20, number * 20 + 10)), silence(1))
            run.feed(audio[at : at + 1600])
    for number, run in enumerate(runs):
        await run.finish()
        assert run.said.words == words(*range(number * 20, number * 20 + 10))


async def test_closing_frees_the_worker(script: Script, pool_of: PoolOf, work: WorkOf) -> None:
    """A session that is closed leaves no decode behind that holds one."""
    recognizer = pooled(pool_of(script(hang_on=["w0"])))
    stuck, other = work(recognizer, pacing=None), work(recognizer, pacing=None)
    stuck.feed(speak([0]), silence(1))
    while not stuck.session.awaits_finals:
        await asyncio.sleep(0)
    await stuck.session.close()
    other.feed(speak([5]), silence(1))
    await other.finish()
    assert other.said.words == words(5)


async def test_a_pool_whose_worker_dies_each_time_hands_on(
    script: Script, pool_of: PoolOf, work: WorkOf
) -> None:
    """The window that kills its workers goes to the next provider, and the next window not."""
    deadly = pooled(pool_of(script(crash_on=["w7"]), attempts=2), "deadly")
    run = work(deadly, pooled(pool_of(script())), pacing=None)
    run.feed(speak([7]), silence(1))
    assert (await run.said.wait_for(ProviderChanged)).provider == "pool"
    await run.session.wait_pending_below(8_000)
    run.feed(speak([8]), silence(1))
    await run.finish()
    assert run.said.words == words(7, 8)
    assert [final.provider for final in run.said.of(Final)] == ["pool", "deadly"]
