"""The worker pool: what happens to a job when its process crashes, hangs, refuses or is not wanted."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from asrctl.errors import (
    DecodeError,
    ModelError,
    ProviderError,
    QueueFull,
    Superseded,
    WorkerCrashed,
    WorkerTimeout,
)
from asrctl.policy.priority import Kind, Source, Ticket
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.transcript import Hypothesis
from asrctl.workers.job import Job
from asrctl.workers.options import HealthCheck, PoolOptions, SlotState
from asrctl.workers.pool import BATCH, WorkerPool
from asrctl.workers.process import CannotStart, WorkerProcess
from asrctl.workers.standby import Standby
from asrctl_tests.scripted import speak

from .conftest import PoolOf, Script

GREEDY = DecodeOptions()
PATIENCE_S = 30.0


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until `condition` holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0)


def decoding(pool: WorkerPool, *numbers: int, ticket: Ticket = BATCH) -> asyncio.Task[Hypothesis]:
    return asyncio.create_task(pool.decode(speak(numbers), GREEDY, ticket))


async def words(pool: WorkerPool, *numbers: int) -> str:
    async with asyncio.timeout(PATIENCE_S):
        return (await pool.decode(speak(numbers), GREEDY)).text


def at_work(pool: WorkerPool) -> bool:
    """Whether all workers have a job."""
    return all(slot.jobs for slot in pool.slots)


async def outcome(task: asyncio.Task[Hypothesis]) -> str:
    async with asyncio.timeout(PATIENCE_S):
        return (await task).text


async def test_decodes(script: Script, pool_of: PoolOf) -> None:
    """A window comes back as its words, whatever worker took it."""
    pool = pool_of(script(), workers=2)
    tasks = [decoding(pool, number, number + 1) for number in range(20)]
    assert [await outcome(task) for task in tasks] == [f"w{n} w{n + 1}" for n in range(20)]


async def test_empty_window(script: Script, pool_of: PoolOf) -> None:
    """No samples give no words."""
    assert await words(pool_of(script())) == ""


async def test_crash_is_tried_again(script: Script, pool_of: PoolOf) -> None:
    """A job whose worker is killed under it is decoded by the next one; the other jobs feel nothing."""
    pool = pool_of(script(crash_on=["w7"], crashes=2))
    tasks = [decoding(pool, number) for number in (6, 7, 8)]
    assert [await outcome(task) for task in tasks] == ["w6", "w7", "w8"]
    assert pool.restarts == 2


async def test_crash_for_good(script: Script, pool_of: PoolOf) -> None:
    """A job that kills every worker fails with an error that says so, and the pool goes on."""
    pool = pool_of(script(crash_on=["w7"]), attempts=3)
    doomed, next_one = decoding(pool, 7), decoding(pool, 8)
    with pytest.raises(WorkerCrashed, match="gave up after 3 attempts: killed by signal 9"):
        await outcome(doomed)
    assert await outcome(next_one) == "w8"


async def test_failover(script: Script, pool_of: PoolOf) -> None:
    """A job that kills every worker of the first model is decoded by the fallback."""
    assert await words(pool_of(script(crash_on=["w7"]), fallback=script(), attempts=2), 7) == "w7"


async def test_hang(script: Script, pool_of: PoolOf) -> None:
    """A worker that hangs is killed at its deadline and its job is tried again."""
    pool = pool_of(script(hang_on=["w7"], crashes=1), job_deadline_s=3.0, deadline_factor=0.0)
    assert await words(pool, 7) == "w7"
    assert pool.restarts == 1


async def test_hang_for_good(script: Script, pool_of: PoolOf) -> None:
    """A job that always hangs fails as a time-out."""
    pool = pool_of(script(hang_on=["w7"]), job_deadline_s=0.1, deadline_factor=0.0, attempts=2)
    with pytest.raises(WorkerTimeout, match="did not answer"):
        await words(pool, 7)


async def test_a_worker_that_hangs_is_given_up_long_before_the_deadline(
    script: Script, pool_of: PoolOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it is known what a decode takes, one that takes many times as long goes to another process."""
    monkeypatch.setattr("asrctl.workers.process._LOOK_S", 0.01)
    monkeypatch.setattr("asrctl.workers.slot._LEAST_PATIENCE_S", 0.5)
    pool = pool_of(script(hang_on=["w7"], crashes=1), job_deadline_s=1000.0)
    assert await words(pool, 1) == "w1"
    assert await words(pool, 7) == "w7"
    assert pool.restarts == 1


async def test_what_a_decode_takes_is_not_learned_from_silence(script: Script, pool_of: PoolOf) -> None:
    """It may be seen at once, so that the next decode would be taken for one that hangs."""
    pool = pool_of(script(together=3))
    jobs = [Job(0, ticket, np.zeros(16_000, np.float32), DecodeOptions()) for ticket in (BATCH, FILE)]
    assert await words(pool) == ""
    assert [pool.slots[0]._patience_s(job) for job in jobs] == [math.inf] * 2
    assert await words(pool, 1) == "w1"
    final_s, file_s = (pool.slots[0]._patience_s(job) for job in jobs)
    assert file_s == 3 * final_s < math.inf  # it may have to wait for others at the worker


async def test_a_job_that_took_long_once_has_the_whole_deadline(
    script: Script, pool_of: PoolOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a slow one: only its first worker was ended early."""
    monkeypatch.setattr("asrctl.workers.process._LOOK_S", 0.01)
    monkeypatch.setattr("asrctl.workers.slot._LEAST_PATIENCE_S", 0.5)
    pool = pool_of(script(hang_on=["w7"]), job_deadline_s=1.0, deadline_factor=0.0, attempts=2)
    assert await words(pool, 1) == "w1"
    with pytest.raises(WorkerTimeout, match="gave up after 2 attempts: the worker did not answer"):
        await words(pool, 7)


async def test_the_deadline_grows_with_the_audio(script: Script, pool_of: PoolOf) -> None:
    """A long window may take longer than a short one before its worker is taken for hung."""
    pool = pool_of(script(delay_s=0.6), job_deadline_s=0.1, deadline_factor=15.0, attempts=1)
    assert await words(pool, 1, 2) == "w1 w2"
    strict = pool_of(script(delay_s=0.6), job_deadline_s=0.1, deadline_factor=0.0, attempts=1)
    with pytest.raises(WorkerTimeout):
        await words(strict, 1, 2)


@pytest.mark.parametrize("seconds", [0.5, 16, 29])
async def test_the_deadline_covers_writing(script: Script, pool_of: PoolOf, seconds: float) -> None:
    """A worker that does not even read (SIGSTOP) is given up at the deadline, whatever the window's size."""
    pool = pool_of(script(), job_deadline_s=0.3, deadline_factor=0.0, attempts=1)
    await pool.wait_ready()
    os.kill(pool.pids()[0], signal.SIGSTOP)
    async with asyncio.timeout(5):
        with pytest.raises(WorkerTimeout):
            await pool.decode(np.zeros(round(16_000 * seconds), np.float32), GREEDY)


async def test_a_worker_that_does_not_read_blocks_nobody(script: Script, pool_of: PoolOf) -> None:
    """A final preempts a partial on a stopped worker without waiting for it, and is decoded by the next."""
    pool = pool_of(script(), job_deadline_s=0.5, deadline_factor=0.0, attempts=3)
    await pool.wait_ready()
    os.kill(pool.pids()[0], signal.SIGSTOP)
    samples = np.zeros(16_000 * 28, np.float32)
    partial = asyncio.create_task(pool.decode(samples, GREEDY, Ticket("a", Kind.PARTIAL)))
    await until(lambda: at_work(pool))
    final = decoding(pool, 1, ticket=Ticket("b", Kind.FINAL))
    with pytest.raises(Superseded):
        await partial
    assert pool.restarts == 0
    assert await outcome(final) == "w1"


async def test_refusal(script: Script, pool_of: PoolOf) -> None:
    """An error the recogniser reports fails its job alone, without a new process."""
    pool = pool_of(script(refuse_on=["w7"]))
    with pytest.raises(DecodeError, match="refused"):
        await words(pool, 7)
    assert await words(pool, 8) == "w8"
    assert pool.restarts == 0


async def test_abort_running(script: Script, pool_of: PoolOf) -> None:
    """Cancelling the caller stops a running decode; the worker lives."""
    pool = pool_of(script(hang_on=["w7"]))
    task = decoding(pool, 7)
    await until(lambda: at_work(pool))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await words(pool, 8) == "w8"
    assert pool.restarts == 0


async def test_abort_waiting(script: Script, pool_of: PoolOf) -> None:
    """Cancelling the caller of a waiting job takes it out of the queue; the running one goes on."""
    pool = pool_of(script(hang_on=["w7"], delay_s=0.01), queue_limit=1)
    running = decoding(pool, 7)
    await until(lambda: at_work(pool))
    waiting = decoding(pool, 8)
    await asyncio.sleep(0)
    with pytest.raises(QueueFull):
        await words(pool, 9)
    waiting.cancel()
    await asyncio.wait([waiting])
    another = decoding(pool, 10)
    await asyncio.sleep(0)
    assert not running.done()
    running.cancel()
    assert await outcome(another) == "w10"


async def test_abort_of_a_job_whose_worker_was_lost(script: Script, pool_of: PoolOf) -> None:
    """A job that was put back and waits for the next worker is not decoded once nobody waits for it."""
    pool = pool_of(script(crash_on=["w7"], crashes=1, refuse_on=["w7"]))
    await pool.wait_ready()
    task = decoding(pool, 7)
    await until(lambda: at_work(pool))
    os.kill(pool.pids()[0], signal.SIGKILL)
    await until(lambda: len(pool._queue))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(pool._queue) == 0
    assert await words(pool, 8) == "w8"


async def test_a_lost_job_that_was_aborted_is_not_put_back(script: Script, pool_of: PoolOf) -> None:
    """Nobody waits for it: the next worker does not take it up."""
    pool = pool_of(script(hang_on=["w7"]))
    await pool.wait_ready()
    task = decoding(pool, 7)
    await until(lambda: at_work(pool))
    pid = pool.pids()[0]
    os.kill(pid, signal.SIGSTOP)  # so that it hears of no abort
    task.cancel()
    await asyncio.wait([task])
    os.kill(pid, signal.SIGKILL)
    await until(lambda: pool.restarts == 1)
    assert len(pool._queue) == 0
    assert await words(pool, 8) == "w8"
    assert pool.restarts == 1


async def test_newest_partial_wins(script: Script, pool_of: PoolOf) -> None:
    """Of several partials of one utterance that wait, only the newest is decoded."""
    pool = pool_of(script(hang_on=["w0"]))
    blocker = decoding(pool, 0)
    await until(lambda: at_work(pool))
    ticket = Ticket("session", Kind.PARTIAL, utterance=1)
    old = decoding(pool, 1, ticket=ticket)
    await asyncio.sleep(0)
    new = decoding(pool, 1, 2, ticket=ticket)
    with pytest.raises(Superseded):
        await old
    blocker.cancel()
    assert await outcome(new) == "w1 w2"


async def test_a_final_takes_the_place_of_a_running_partial(script: Script, pool_of: PoolOf) -> None:
    """A partial gives its worker up to a final that would have to wait, at once."""
    pool = pool_of(script(hang_on=["w0"]))
    partial = decoding(pool, 0, ticket=Ticket("a", Kind.PARTIAL))
    await until(lambda: at_work(pool))
    assert await words(pool, 1) == "w1"
    with pytest.raises(Superseded, match="a final needs its worker"):
        await partial


async def test_the_youngest_partial_makes_way(script: Script, pool_of: PoolOf) -> None:
    """Of two running partials the one with the least work done goes; of system and mic the system's."""
    pool = pool_of(script(hang_on=["w0", "w1", "w2"]), workers=2)
    await pool.wait_ready()
    older = decoding(pool, 0, ticket=Ticket("a", Kind.PARTIAL))
    await until(lambda: any(slot.jobs for slot in pool.slots))
    younger = decoding(pool, 1, ticket=Ticket("b", Kind.PARTIAL))
    await until(lambda: at_work(pool))
    assert await words(pool, 5) == "w5"
    with pytest.raises(Superseded):
        await younger
    assert not older.done()
    system = decoding(pool, 2, ticket=Ticket("c", Kind.PARTIAL, Source.SYSTEM))
    await until(lambda: at_work(pool))
    older.cancel()
    await until(lambda: not at_work(pool))
    mic = decoding(pool, 1, ticket=Ticket("d", Kind.PARTIAL))
    await until(lambda: at_work(pool))
    assert await words(pool, 6) == "w6"
    with pytest.raises(Superseded):
        await system
    assert not mic.done()
    mic.cancel()


async def test_a_second_decode_makes_way_before_a_partial(script: Script, pool_of: PoolOf) -> None:
    """It is worth least, whoever began first; it does not stop a partial itself."""
    pool = pool_of(script(hang_on=["w0", "w1"]), workers=2)
    await pool.wait_ready()
    again = decoding(pool, 0, ticket=Ticket("a", Kind.AGAIN))
    await until(lambda: any(slot.jobs for slot in pool.slots))
    partial = decoding(pool, 1, ticket=Ticket("b", Kind.PARTIAL))
    await until(lambda: at_work(pool))
    another = decoding(pool, 2, ticket=Ticket("c", Kind.AGAIN))
    await asyncio.sleep(0)
    assert not again.done() and not partial.done()
    assert await words(pool, 5) == "w5"
    for each in (again, another):
        with pytest.raises(Superseded):
            await each
    assert not partial.done()
    partial.cancel()


async def test_a_second_decode_is_not_tried_again(script: Script, pool_of: PoolOf) -> None:
    """A job whose worker died goes first; this one has a text already, and finals wait."""
    pool = pool_of(script(crash_on=["w0"]))
    with pytest.raises(Superseded, match="its worker was lost"):
        await decoding(pool, 0, ticket=Ticket("a", Kind.AGAIN))
    assert await words(pool, 1) == "w1"
    assert pool.restarts == 1


async def test_a_final_does_not_stop_a_final(script: Script, pool_of: PoolOf) -> None:
    """Finals wait for their turn."""
    pool = pool_of(script(delay_s=0.1))
    first = decoding(pool, 0)
    await until(lambda: at_work(pool))
    assert await words(pool, 1) == "w1"
    assert await outcome(first) == "w0"


async def test_a_partial_is_left_alone_where_a_worker_is_free(script: Script, pool_of: PoolOf) -> None:
    """Nothing is stopped for a final that another worker can take at once."""
    pool = pool_of(script(delay_s=0.3), workers=2)
    await pool.wait_ready()
    partial = decoding(pool, 0, ticket=Ticket("a", Kind.PARTIAL))
    await until(lambda: any(slot.jobs for slot in pool.slots))
    assert await words(pool, 1) == "w1"
    assert await outcome(partial) == "w0"


async def test_bad_weights(script: Script, pool_of: PoolOf) -> None:
    """Weights that do not load fail every job with the loader's reason, cancelled ones left alone."""
    pool = pool_of(script(fail_load="these are no weights"))
    cancelled, waiting = decoding(pool, 1), decoding(pool, 2)
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(ModelError, match="these are no weights"):
        await outcome(waiting)
    with pytest.raises(ModelError, match="these are no weights"):
        await pool.wait_ready()
    with pytest.raises(ModelError, match="these are no weights"):
        await words(pool, 1)


async def test_weights_that_come_later(script: Script, pool_of: PoolOf) -> None:
    """A pool that failed tries again by itself, and takes jobs once it has loaded."""
    spec = script(fail_load="not yet")
    pool = pool_of(spec, retry_s=0.05)
    with pytest.raises(ModelError, match="not yet"):
        await pool.wait_ready()
    assert pool.slots[0].state is SlotState.FAILED
    spec.path.write_text("{}")
    await until(lambda: pool.slots[0].state is SlotState.READY)
    assert await words(pool, 3) == "w3"


async def test_weights_that_crash_the_loader(script: Script, pool_of: PoolOf) -> None:
    """Native code that aborts while it loads is an error with a name, not a crash of ours."""
    with pytest.raises(ModelError, match=r"loading it failed in scripted .*signal 6"):
        await pool_of(script(crash_load=True), attempts=2).wait_ready()


async def test_fallback_weights(script: Script, pool_of: PoolOf) -> None:
    """Weights that do not load are replaced by the fallback's."""
    assert await words(pool_of(script(fail_load="no"), fallback=script()), 1) == "w1"


async def test_missing_weights(tmp_path: Path, pool_of: PoolOf) -> None:
    """A path that is not there is named."""
    with pytest.raises(ModelError, match="nowhere: no such file"):
        await pool_of(ModelSpec("scripted", tmp_path / "nowhere")).wait_ready()


async def test_an_import_that_fails_in_the_worker(
    script: Script, pool_of: PoolOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A binding that cannot be imported is named with the child's own words."""
    (tmp_path / "_pywhispercpp.py").write_text("raise ImportError('version GLIBCXX_3.4.32 not found')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"x")
    with pytest.raises(ProviderError, match=r"GLIBCXX_3\.4\.32 not found"):
        await pool_of(ModelSpec("whisper_cpp", weights)).wait_ready()


async def test_health_check(script: Script, pool_of: PoolOf) -> None:
    """A worker is ready once it has understood known audio."""
    pool = pool_of(script(), health=HealthCheck(speak([5]), frozenset({"w5"}), GREEDY))
    await pool.wait_ready()
    assert pool.slots[0].state is SlotState.READY


async def test_full_warm_up(script: Script, pool_of: PoolOf) -> None:
    """A worker that is to decode a long window too is not ready before it has; failing at it is a failure."""
    health = HealthCheck(speak([1]), frozenset({"w1"}), GREEDY, long_samples=speak([2] * 60))
    pool = pool_of(script(), health=health)
    await pool.wait_ready()
    assert pool.slots[0].state is SlotState.READY
    with pytest.raises(ModelError, match=r"cannot decode its test speech .*refused"):
        await pool_of(script(refuse_on=["w2"]), health=health).wait_ready()


async def test_failed_health_check(script: Script, pool_of: PoolOf) -> None:
    """A worker that loads but hears something else is never ready."""
    pool = pool_of(script(), health=HealthCheck(speak([5]), frozenset({"monday"}), GREEDY))
    with pytest.raises(ModelError, match="does not understand"):
        await pool.wait_ready()


async def test_killed_idle(script: Script, pool_of: PoolOf) -> None:
    """A worker that is killed between jobs is replaced without waiting for one."""
    pool = pool_of(script())
    await pool.wait_ready()
    before = pool.pids()
    os.kill(before[0], signal.SIGKILL)
    await until(lambda: pool.restarts == 1 and pool.slots[0].state is SlotState.READY)
    assert pool.pids() != before
    assert await words(pool, 1) == "w1"


async def test_a_stopped_worker_is_replaced(script: Script, pool_of: PoolOf) -> None:
    """A process that was stopped is ended long before the deadline of its job, which another one takes."""
    pool = pool_of(script())
    await pool.wait_ready()
    os.kill(pool.pids()[0], signal.SIGSTOP)
    assert await words(pool, 7) == "w7"
    assert pool.restarts == 1


async def test_a_worker_that_is_stopped_for_a_moment_is_kept(
    script: Script, pool_of: PoolOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that runs again when it is looked at next, as after Ctrl-Z and `fg`, goes on."""
    seen = [psutil.STATUS_SLEEPING, psutil.STATUS_STOPPED] * 5
    monkeypatch.setattr("asrctl.workers.process._LOOK_S", 0.001)
    monkeypatch.setattr(psutil.Process, "status", lambda _: seen.pop() if seen else psutil.STATUS_SLEEPING)
    pool = pool_of(script())
    await pool.wait_ready()
    await until(lambda: not seen)
    assert await words(pool, 1) == "w1"
    assert pool.restarts == 0


async def test_jobs_wait_while_a_lost_worker_cannot_be_replaced(script: Script, pool_of: PoolOf) -> None:
    """A model that was ready and cannot be loaded again for a while fails no job meanwhile."""
    spec = script()
    pool = pool_of(spec, attempts=1, retry_s=60.0)
    await pool.wait_ready()
    spec.path.write_text('{"fail_load": "not now"}')
    os.kill(pool.pids()[0], signal.SIGKILL)
    await until(lambda: not pool.pids())
    task = decoding(pool, 1)
    await until(lambda: len(pool.pids()) == 1)  # it loads, to no avail
    await until(lambda: not pool.pids())
    assert not task.done()
    spec.path.write_text("{}")
    assert await outcome(task) == "w1"


async def test_jobs_wait_for_a_lost_worker_no_longer_than_their_deadline(
    script: Script, pool_of: PoolOf
) -> None:
    """A model that was ready and cannot be loaded any more fails the jobs that wait, with its reason."""
    spec = script()
    pool = pool_of(spec, job_deadline_s=0.2)
    await pool.wait_ready()
    spec.path.write_text('{"fail_load": "never again"}')
    os.kill(pool.pids()[0], signal.SIGKILL)
    await until(lambda: pool.slots[0].state is SlotState.LOADING)
    with pytest.raises(ModelError, match="never again"):
        await words(pool, 1)


async def test_killed_at_random(script: Script, pool_of: PoolOf) -> None:
    """Workers killed over and over lose no job."""
    pool = pool_of(script(delay_s=0.02), workers=2, attempts=50)
    tasks = [decoding(pool, number) for number in range(30)]
    while not all(task.done() for task in tasks):
        for slot in pool.slots:
            if pool.restarts < 10 and slot.state is SlotState.READY and slot.worker:
                slot.worker.kill()
        await asyncio.wait(tasks, timeout=0.05)
    assert [await outcome(task) for task in tasks] == [f"w{number}" for number in range(30)]


async def test_a_ready_worker_takes_jobs_while_another_loads(
    script: Script, pool_of: PoolOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who waits for all workers does not take a wake-up from the one that is ready."""
    real, number, gate = WorkerProcess.start, 0, asyncio.Event()

    async def start() -> WorkerProcess:
        nonlocal number
        number += 1
        if number == 2:
            await gate.wait()
        return await real()

    monkeypatch.setattr(WorkerProcess, "start", start)
    pool = pool_of(script(), workers=2)
    waiting = asyncio.create_task(pool.wait_ready())
    for job in range(3):
        assert await words(pool, job) == f"w{job}"
    assert not waiting.done()
    gate.set()
    await waiting


async def test_a_worker_that_cannot_be_started_once(
    script: Script, pool_of: PoolOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fork that fails while a lost worker is replaced costs a moment, no job and no slot."""
    pool = pool_of(script())
    await pool.wait_ready()
    real, refusals = WorkerProcess.start, [CannotStart("cannot start a worker process: out of processes")] * 2

    async def start() -> WorkerProcess:
        if refusals:
            raise refusals.pop()
        return await real()

    monkeypatch.setattr(WorkerProcess, "start", start)
    os.kill(pool.pids()[0], signal.SIGKILL)
    assert await words(pool, 1) == "w1"
    assert not refusals


async def test_a_process_that_ends_at_once(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process may be gone before it is asked anything: then it is a worker that died, as any other."""
    monkeypatch.setattr("asrctl.workers.process.COMMAND", ["false"])
    for _ in range(20):
        worker = await WorkerProcess.start()
        with pytest.raises(WorkerCrashed, match="exit code 1"):
            await worker.load(script(), PATIENCE_S)
        await worker.close()


async def test_an_error_that_nobody_foresaw_costs_no_slot(
    script: Script, pool_of: PoolOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever starting a worker raises is a failure as any other, with its name, and is tried again."""
    real, errors = WorkerProcess.start, [ValueError("I/O operation on closed file")]

    async def start() -> WorkerProcess:
        if errors:
            raise errors.pop()
        return await real()

    monkeypatch.setattr(WorkerProcess, "start", start)
    assert await words(pool_of(script()), 1) == "w1"
    errors += [ValueError("oops")]
    with pytest.raises(ProviderError, match="ValueError: oops"):
        await pool_of(script(), attempts=1).wait_ready()


async def test_no_worker_can_be_started(script: Script, pool_of: PoolOf) -> None:
    """The system's own reason reaches whoever waits, and the pool recovers when the system does."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_now = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 64
    pool = pool_of(script(), retry_s=0.05)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now, hard))
    try:
        with pytest.raises(ProviderError, match="cannot start a worker process: Too many open files"):
            await words(pool, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    await until(lambda: pool.slots[0].state is SlotState.READY)
    assert await words(pool, 1) == "w1"


async def test_close_leaves_nothing(script: Script, pool_of: PoolOf) -> None:
    """Closing a pool under load gives everybody an error and leaves no process behind."""
    pool = pool_of(script(hang_on=["w7"]), workers=2)
    tasks = [decoding(pool, 7) for _ in range(5)]
    await until(lambda: at_work(pool))
    pids = pool.pids()
    await pool.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    for task in tasks:
        with pytest.raises(ProviderError, match="closed"):
            await task
    with pytest.raises(ProviderError, match="closed"):
        await words(pool, 1)


async def test_close_while_a_lost_job_waits_for_a_worker(script: Script, pool_of: PoolOf) -> None:
    """A job between two workers gets its answer too."""
    pool = pool_of(script(delay_s=5.0))
    await pool.wait_ready()
    task = decoding(pool, 7)
    await until(lambda: at_work(pool))
    os.kill(pool.pids()[0], signal.SIGKILL)
    await until(lambda: len(pool._queue))
    await pool.close()
    with pytest.raises(ProviderError, match="closed"):
        await task


async def test_close_while_loading(script: Script, pool_of: PoolOf) -> None:
    """Whoever waits for a pool to be ready hears that it was closed."""
    pool = pool_of(script())
    waiting = asyncio.create_task(pool.wait_ready())
    await until(lambda: pool.pids())
    pids = pool.pids()
    await pool.close()
    with pytest.raises(ProviderError, match="closed"):
        await waiting
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_drain_finishes_what_was_asked(script: Script, pool_of: PoolOf) -> None:
    """A pool that drains decodes what waits, takes nothing new, and closes."""
    pool = pool_of(script(delay_s=0.05))
    tasks = [decoding(pool, number) for number in range(3)]
    await asyncio.sleep(0)
    await pool.drain()
    assert [await outcome(task) for task in tasks] == ["w0", "w1", "w2"]
    assert pool.slots[0].state is SlotState.CLOSED
    with pytest.raises(ProviderError, match="closed"):
        await words(pool, 1)


async def test_standby_becomes_the_first_worker(script: Script) -> None:
    """A process that was started before the model was known loads it, and is replaced when it dies."""
    standby = Standby()
    async with WorkerPool(script(crash_on=["w7"]), PoolOptions(attempts=1), standby=standby) as pool:
        await pool.wait_ready()
        assert standby.take() is None
        assert await words(pool, 6) == "w6"
        with pytest.raises(WorkerCrashed, match="killed by signal 9"):
            await words(pool, 7)
        assert await words(pool, 8) == "w8"


async def test_standby_that_nobody_wants() -> None:
    """It ends without a trace, and closing it twice is fine."""
    before = set(psutil.Process().children())
    standby = Standby()
    (child,) = set(psutil.Process().children()) - before
    standby.close()
    standby.close()
    assert not child.is_running()


async def test_standby_that_died(script: Script) -> None:
    """A dead process on standby is as good as none."""
    before = set(psutil.Process().children())
    standby = Standby()
    (child,) = set(psutil.Process().children()) - before
    child.kill()
    async with WorkerPool(script(), standby=standby) as pool:
        assert await words(pool, 8) == "w8"


async def test_the_worker_does_not_know_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """API keys are not in a worker's environment, where others of the same user could read them."""
    monkeypatch.setenv("ASRCTL_SERVE__API_KEY", "secret")
    worker = await WorkerProcess.start()
    try:
        assert "secret" not in psutil.Process(worker.pid).environ().values()
    finally:
        worker.kill()
        await worker.close()


async def test_parent_dies(script: Script) -> None:
    """A worker does not outlive a parent that is killed."""
    import sys

    program = f"""
import asyncio
from pathlib import Path
from asrctl.providers.base import ModelSpec
from asrctl.workers.process import WorkerProcess

async def main():
    worker = await WorkerProcess.start()
    await worker.load(ModelSpec("scripted", Path({str(script().path)!r})), 60)
    print(worker.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout
    worker = psutil.Process(int(await parent.stdout.readline()))
    parent.kill()
    await parent.wait()
    await until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)


FILE = Ticket("file", Kind.FINAL, Source.FILE)


async def test_a_window_of_a_file_makes_way_and_is_decoded_later(script: Script, pool_of: PoolOf) -> None:
    """A live final stops a running window of a file, has its worker, and the window is decoded after it."""
    pool = pool_of(script(delay_s=0.5))
    window = decoding(pool, 0, ticket=FILE)
    await until(lambda: at_work(pool))
    order = []
    live = decoding(pool, 1, ticket=Ticket("live", Kind.FINAL))
    for name, task in (("window", window), ("live", live)):
        task.add_done_callback(lambda _, name=name: order.append(name))
    assert [await outcome(live), await outcome(window)] == ["w1", "w0"]
    assert order == ["live", "window"]
    assert pool.restarts == 0


async def test_now_and_then_a_window_of_a_file_is_let(script: Script, pool_of: PoolOf) -> None:
    """Live finals stop a window again and again, until no file has got on for a while: then it runs to its
    end, and the next one has to wait as long."""
    pool = pool_of(script(delay_s=0.2), file_turn_s=1.5)
    done_s: list[float] = []
    windows = [decoding(pool, number, ticket=FILE) for number in (0, 1)]
    for window in windows:
        window.add_done_callback(lambda _: done_s.append(time.monotonic()))
    started_s, count = time.monotonic(), 0
    while len(done_s) < 2:
        await until(
            lambda: len(done_s) == 2 or any(job.ticket is FILE for slot in pool.slots for job in slot.jobs)
        )
        if len(done_s) < 2:
            count += 1
            assert await outcome(decoding(pool, count, ticket=Ticket("live", Kind.FINAL))) == f"w{count}"
    assert {await outcome(window) for window in windows} == {"w0", "w1"}
    assert count > 2
    assert done_s[0] - started_s >= 1.5
    assert done_s[1] - done_s[0] >= 1.5


async def test_a_window_that_made_way_may_be_given_up(script: Script, pool_of: PoolOf) -> None:
    """Cancelled while it is being stopped for a live final, a window is not decoded again."""
    pool = pool_of(script(delay_s=0.3))
    window = decoding(pool, 0, ticket=FILE)
    await until(lambda: at_work(pool))
    live = decoding(pool, 1, ticket=Ticket("live", Kind.FINAL))
    await asyncio.sleep(0)
    window.cancel()
    assert await outcome(live) == "w1"
    await until(lambda: all(slot.has_room for slot in pool.slots))
    assert window.cancelled()
    assert pool.inference_s < 0.6


async def test_files_do_not_stop_each_other(script: Script, pool_of: PoolOf) -> None:
    """A window of a file stops neither another file's nor a partial."""
    pool = pool_of(script(delay_s=0.1))
    partial = decoding(pool, 0, ticket=Ticket("a", Kind.PARTIAL))
    await until(lambda: at_work(pool))
    windows = [decoding(pool, number, ticket=FILE) for number in (1, 2)]
    assert await outcome(partial) == "w0"
    assert [await outcome(window) for window in windows] == ["w1", "w2"]


async def test_closing_a_worker_can_be_cancelled_at_its_very_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also at the moment when the process is gone: else its slot would go on, and closing the pool hang."""
    worker = await WorkerProcess.start()
    gone: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    waits, real = 0, worker._process.wait

    async def wait() -> int:
        nonlocal waits
        waits += 1
        return await (real() if waits == 1 else gone)

    monkeypatch.setattr(worker._process, "wait", wait)
    closing = asyncio.create_task(worker.close())
    await until(lambda: waits == 2)
    gone.set_result(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing


async def test_a_worker_decodes_several_windows_at_a_time(script: Script, pool_of: PoolOf) -> None:
    """As many as its model may, each answered as soon as it is done; more of them wait."""
    pool = pool_of(script(parallel=2, hang_on=["w0"]), workers=2)
    assert pool.width == 4
    await pool.wait_ready()
    hanging = [decoding(pool, 0) for _ in range(3)]
    await until(lambda: sorted(len(slot.jobs) for slot in pool.slots) == [1, 2])
    assert [await outcome(decoding(pool, number)) for number in (1, 2)] == ["w1", "w2"]
    hanging.append(decoding(pool, 0))
    await until(lambda: all(len(slot.jobs) == 2 for slot in pool.slots))
    waiting = decoding(pool, 3)
    await asyncio.sleep(0)
    assert len(pool._queue) == 1
    hanging[0].cancel()
    assert await outcome(waiting) == "w3"
    for task in hanging:
        task.cancel()


async def test_windows_that_ran_beside_one_that_kills_are_decoded(script: Script, pool_of: PoolOf) -> None:
    """All that ran are tried again, each by itself: only the one to blame fails, after its attempts."""
    pool = pool_of(script(parallel=4, crash_on=["w2"], delay_s=0.2), attempts=3)
    await pool.wait_ready()
    tasks = [decoding(pool, number) for number in (0, 1, 3, 2, 4, 5)]
    crowds = []
    while not all(task.done() for task in tasks):
        jobs = pool.slots[0].jobs
        crowds += [len(jobs)] * any(job.attempts > 1 for job in jobs)
        await asyncio.sleep(0)
    with pytest.raises(WorkerCrashed, match="gave up after 3 attempts"):
        await tasks[3]
    assert [await outcome(task) for task in (*tasks[:3], *tasks[4:])] == ["w0", "w1", "w3", "w4", "w5"]
    assert pool.restarts == 3
    assert set(crowds) == {1}


async def test_one_of_several_windows_hangs(script: Script, pool_of: PoolOf) -> None:
    """Its deadline ends the worker; what ran beside it is decoded, and it fails as a time-out."""
    spec = script(parallel=2, hang_on=["w2"])
    pool = pool_of(spec, job_deadline_s=1.0, deadline_factor=0.0, attempts=2)
    await pool.wait_ready()
    hanging, beside = decoding(pool, 2), decoding(pool, 2, 3)
    await until(lambda: len(pool.slots[0].jobs) == 2)
    waiting = decoding(pool, 4)
    for doomed in (hanging, beside):
        with pytest.raises(WorkerTimeout):
            await outcome(doomed)
    assert await outcome(waiting) == "w4"
    assert pool.restarts == 3


async def test_one_of_several_windows_is_given_up(script: Script, pool_of: PoolOf) -> None:
    """Nobody else notices."""
    pool = pool_of(script(parallel=2, hang_on=["w2"], delay_s=0.2))
    await pool.wait_ready()
    given_up, kept = decoding(pool, 2), decoding(pool, 3)
    await until(lambda: len(pool.slots[0].jobs) == 2)
    given_up.cancel()
    assert await outcome(kept) == "w3"
    await until(lambda: not pool.slots[0].jobs)
    assert pool.restarts == 0


async def test_a_live_final_stops_one_window_of_a_file(script: Script, pool_of: PoolOf) -> None:
    """The other one goes on."""
    pool = pool_of(script(parallel=2, delay_s=0.4))
    await pool.wait_ready()
    windows = [decoding(pool, number, ticket=FILE) for number in (0, 1)]
    await until(lambda: len(pool.slots[0].jobs) == 2)
    order = []
    live = decoding(pool, 9, ticket=Ticket("live", Kind.FINAL))
    for task in (*windows, live):
        task.add_done_callback(lambda task: order.append(task.result().text))
    await asyncio.gather(*windows, live)
    assert sorted(order[:2]) in (["w0", "w9"], ["w1", "w9"])


async def test_windows_of_files_are_taken_along(script: Script, pool_of: PoolOf) -> None:
    """A worker has as many as it can decode together, if all are of files; live audio is not kept waiting."""
    pool = pool_of(script(parallel=2, together=3, hang_on=["w0"]))
    assert pool.width == 6
    await pool.wait_ready()
    files = [decoding(pool, 0, ticket=FILE) for _ in range(8)]
    await until(lambda: len(pool.slots[0].jobs) == 6)
    assert len(pool._queue) == 2
    assert await outcome(decoding(pool, 9, ticket=Ticket("live", Kind.FINAL))) == "w9"
    await until(lambda: len(pool.slots[0].jobs) == 6)
    for task in files:
        task.cancel()
    await until(lambda: not pool.slots[0].jobs)
    live = [decoding(pool, 0, ticket=Ticket(f"live {number}", Kind.FINAL)) for number in range(3)]
    await until(lambda: len(pool.slots[0].jobs) == 2)
    await asyncio.sleep(0)
    assert len(pool.slots[0].jobs) == 2 and len(pool._queue) == 1
    assert pool.restarts == 0
    for task in live:
        task.cancel()


async def test_as_many_windows_make_way_as_finals_wait(script: Script, pool_of: PoolOf) -> None:
    """Two live finals that come at once have both a place, whichever worker they find it at."""
    for workers, parallel, together in ((1, 2, 3), (2, 1, 2), (1, 2, 1)):
        spec = script(parallel=parallel, together=together, hang_on=["w0"])
        pool = pool_of(spec, workers=workers, file_turn_s=60.0)
        await pool.wait_ready()
        files = [decoding(pool, 0, ticket=FILE) for _ in range(pool.width)]
        await until(lambda pool=pool: sum(len(slot.jobs) for slot in pool.slots) == pool.width)
        live = [decoding(pool, 0, ticket=Ticket(f"live {number}", Kind.FINAL)) for number in range(2)]
        await until(
            lambda pool=pool: [job.ticket.is_file for slot in pool.slots for job in slot.jobs] == [False] * 2
        )
        for task in (*files, *live):
            task.cancel()


async def test_a_window_that_runs_by_itself_makes_way(script: Script, pool_of: PoolOf) -> None:
    """One whose worker was lost holds all of the next one; a live final does not wait for it."""
    pool = pool_of(script(parallel=2, together=2, hang_on=["w0"]), file_turn_s=60.0)
    await pool.wait_ready()
    file = decoding(pool, 0, ticket=FILE)
    await until(lambda: len(pool.slots[0].jobs) == 1)
    os.kill(pool.pids()[0], signal.SIGKILL)
    await until(lambda: any(job.attempts == 2 for job in pool.slots[0].jobs))
    assert await outcome(decoding(pool, 9, ticket=Ticket("live", Kind.FINAL))) == "w9"
    assert not file.done()
    file.cancel()


async def test_a_file_has_its_turn_among_live_finals(script: Script, pool_of: PoolOf) -> None:
    """Of all windows that a worker took along, the first goes on if no file had a turn for long."""
    pool = pool_of(script(together=3, hang_on=["w0"]), file_turn_s=0.2)
    await pool.wait_ready()
    files = [decoding(pool, 0, ticket=FILE) for _ in range(3)]
    due_s = time.monotonic() + 0.3
    await until(lambda: time.monotonic() > due_s)
    assert [job.number for job in pool.slots[0].jobs] == [1, 2, 3]
    live = decoding(pool, 9, ticket=Ticket("live", Kind.FINAL))
    await until(lambda: len(pool.slots[0].jobs) == 1)
    assert [job.number for job in pool.slots[0].jobs] == [1]
    for task in files:
        task.cancel()
    assert await outcome(live) == "w9"


async def test_closing_ends_all_that_runs(script: Script, pool_of: PoolOf) -> None:
    """Whoever waits for one of several windows hears of it."""
    pool = pool_of(script(parallel=2, hang_on=["w0"]))
    await pool.wait_ready()
    tasks = [decoding(pool, 0) for _ in range(3)]
    await until(lambda: len(pool.slots[0].jobs) == 2)
    await pool.close()
    for task in tasks:
        with pytest.raises(ProviderError, match="was closed"):
            await outcome(task)
    assert not pool.pids()


async def test_whoever_waits_hears_of_what_nobody_foresaw(
    script: Script, pool_of: PoolOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug while a job runs is that job's error, and the worker goes on."""
    pool = pool_of(script())
    await pool.wait_ready()
    with monkeypatch.context() as patch:
        patch.setattr(WorkerProcess, "decode", lambda *_: 1 / 0)
        with pytest.raises(ProviderError, match="ZeroDivisionError: division by zero"):
            await words(pool, 1)
    assert await words(pool, 2) == "w2"
    assert pool.restarts == 0
