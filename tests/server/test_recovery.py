"""What a server survives: workers that cannot be started, sessions that raise, providers that are gone."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from asrctl.errors import QueueFull
from asrctl.policy.priority import Kind, Ticket
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.server.engine import Engine
from asrctl.server.session import LiveSession
from asrctl.workers.options import PoolOptions
from asrctl_tests.scripted import speak

from .servers import HEALTH, Running, Talker, check_account, options_for, running, spoken, until

Scripted = Callable[..., ModelSpec]


def kill_workers(server: Running) -> None:
    """End them as the kernel does when memory is short."""
    for pid in server.server.engine.pids():
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("failures", [1, 2, 9])
def test_a_worker_that_cannot_be_started(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    """A system that starts no process for a while (EAGAIN, EMFILE) costs nothing but that while."""
    real, left = asyncio.create_subprocess_exec, [failures]

    async def start(*args: Any, **options: Any) -> asyncio.subprocess.Process:
        if left[0]:
            left[0] -= 1
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return await real(*args, **options)

    options = options_for(scripted(), pool=PoolOptions(health=HEALTH, retry_s=0.2))
    with running(options) as server, Talker(server.url, spoken(1, 2, 3)) as talker:
        talker.send(0.7)
        monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
        kill_workers(server)
        until(lambda: server.get("/ready")[0] == 503)
        server.wait_ready()
        assert left == [0]
        done = talker.finish()
        check_account(done)
        assert (talker.words, done.dropped_s) == (["w1", "w2", "w3"], 0)
        with Talker(server.url, spoken(4)) as other:
            other.finish()
        assert other.words == ["w4"]


def test_an_idle_worker_that_dies(scripted: Scripted) -> None:
    """It is replaced at once, and not when somebody needs it."""
    with running(options_for(scripted())) as server:
        kill_workers(server)
        until(lambda: server.metric("asrctl_worker_restarts_total") == 1)
        server.wait_ready()
        assert len(psutil.Process().children()) == 1
        until(lambda: "workers.replaced count=1" in server.log.getvalue())


def test_a_slow_load_is_left_alone(scripted: Scripted) -> None:
    """A worker that takes longer to load than a decode may is not killed for it, and speech waits."""
    main = scripted(delay_s=0.0)
    options = options_for(main, watchdog_s=1.0)
    with running(options) as server, Talker(server.url, spoken(1)) as talker:
        main.path.write_text('{"delay_s": 2.5}')  # for the test speech of the next one, and what it decodes
        kill_workers(server)
        until(lambda: server.metric("asrctl_worker_restarts_total") == 1)
        talker.send()
        options_pool = server.server.engine._pool
        assert (options_pool.job_deadline_s, options_pool.deadline_factor) == (1.0, 2.0)
        until(lambda: server.get("/ready")[0] == 503)
        assert "nothing is decoded" not in server.log.getvalue()


@pytest.mark.parametrize("method", ["report", "catch_up", "bound_lag"])
def test_a_session_that_raises_ends_alone(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """What goes wrong with one session closes it with 1011 and is in the log; the others go on."""
    with (
        running(options_for(scripted())) as server,
        Talker(server.url, spoken(1, 2)) as bad,
        Talker(server.url, spoken(3, 4)) as good,
    ):
        good.send(0.5)
        doomed = server.server.hub.find(bad.protocol.session_id or "")
        real = getattr(LiveSession, method)

        def broken(session: LiveSession, *args: Any, **options: Any) -> Any:
            if session is doomed:
                raise RuntimeError("no luck")
            return real(session, *args, **options)

        monkeypatch.setattr(LiveSession, method, broken)
        while bad.receive():
            pass
        assert bad.close_code == 1011
        until(lambda: "event=session.lost session=" in server.log.getvalue())
        assert 'reason="RuntimeError: no luck"' in server.log.getvalue()
        good.finish()
        assert good.words == ["w3", "w4"]


def test_a_session_whose_task_dies_is_lost(scripted: Scripted) -> None:
    """Its socket is closed with 1011, the log has `session.lost`; its client starts again without a loss."""
    with running(options_for(scripted())) as server, Talker(server.url, spoken(1, 2)) as talker:
        session = server.session._session

        def explode() -> None:
            session._put(lambda: [][0])  # what a mistake of ours would do

        server.call(explode)
        while talker.receive():
            pass
        assert talker.close_code == 1011
        until(lambda: "event=session.lost" in server.log.getvalue())
        assert "IndexError" in server.log.getvalue()
        talker.connect()
        while talker.receive():
            pass
        assert talker.close_code == 4410
        talker.connect()
        talker.finish()
        assert talker.words == ["w1", "w2"]


async def test_nothing_is_left_of_a_cancelled_decode(scripted: Scripted) -> None:
    """Whoever gives up a decode leaves no entry in the meter or in the bound of its session."""
    engine = Engine(options_for(scripted(hang_on=["w7"]), window_s=1.0, hold_s=1.0))
    try:
        await engine.wait_ready()
        ticket = Ticket("s", Kind.FINAL)

        def decode(number: int) -> asyncio.Task[object]:
            return asyncio.create_task(engine.decoder.decode(speak([number]), DecodeOptions(), ticket))

        tasks = [decode(7) for _ in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFull, match="too much was waiting"):
            await decode(8)
        partial = asyncio.create_task(
            engine.decoder.decode(speak([7]), DecodeOptions(), Ticket("s", Kind.PARTIAL))
        )
        await asyncio.sleep(0)
        for task in (*tasks, partial):
            task.cancel()
        await asyncio.gather(*tasks, partial, return_exceptions=True)
        load = engine.meter.load()
        assert (load.finals, load.partials, engine.meter.stalled_s, engine.meter.failures) == (0, 0, 0, 0)
        assert (await engine.decoder.decode(speak([8]), DecodeOptions(), ticket)).text == "w8"
    finally:
        await engine.close()
