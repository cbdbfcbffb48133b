"""The worker pool: what happens to a job when its process crashes, hangs, refuses or is not wanted."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, wait
from pathlib import Path

import psutil
import pytest

from asrctl.engine.pool import WorkerPool
from asrctl.engine.process import Standby
from asrctl.engine.slot import HealthCheck, PoolOptions, SlotState
from asrctl.errors import DecodeError, ModelError, WorkerCrashed, WorkerTimeout
from asrctl.policy.priority import Kind, Ticket
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.providers.scripted import speak
from asrctl.transcript import Hypothesis

from .conftest import Script

PoolOf = Callable[..., WorkerPool]
GREEDY = DecodeOptions()
PATIENCE_S = 30


def text_of(future: Future[Hypothesis]) -> str:
    return future.result(PATIENCE_S).text


def until(condition: Callable[[], object]) -> None:
    """Spin until `condition` holds; the test's own time limit is the only clock."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0)


def test_decodes(script: Script, pool_of: PoolOf) -> None:
    """A window comes back as its words, whatever worker took it."""
    pool = pool_of(script(), workers=2)
    futures = [pool.submit(speak([number, number + 1]), GREEDY) for number in range(20)]
    assert [text_of(future) for future in futures] == [f"w{n} w{n + 1}" for n in range(20)]


def test_empty_window(script: Script, pool_of: PoolOf) -> None:
    """No samples give no words."""
    assert text_of(pool_of(script()).submit(speak([]), GREEDY)) == ""


def test_crash_is_tried_again(script: Script, pool_of: PoolOf) -> None:
    """A job whose worker is killed under it is decoded by the next one; the other jobs feel nothing."""
    pool = pool_of(script(crash_on=["w7"], crashes=2))
    futures = [pool.submit(speak([number]), GREEDY) for number in (6, 7, 8)]
    assert [text_of(future) for future in futures] == ["w6", "w7", "w8"]
    assert pool.restarts == 2


def test_crash_for_good(script: Script, pool_of: PoolOf) -> None:
    """A job that kills every worker fails with an error that says so, and the pool goes on."""
    pool = pool_of(script(crash_on=["w7"]), attempts=3)
    doomed, next_one = pool.submit(speak([7]), GREEDY), pool.submit(speak([8]), GREEDY)
    with pytest.raises(WorkerCrashed, match="gave up after 3 attempts: killed by signal 9"):
        doomed.result(PATIENCE_S)
    assert text_of(next_one) == "w8"


def test_failover(script: Script, pool_of: PoolOf) -> None:
    """A job that kills every worker of the first model is decoded by the fallback."""
    pool = pool_of(script(crash_on=["w7"]), fallback=script(), attempts=2)
    assert text_of(pool.submit(speak([7]), GREEDY)) == "w7"


def test_hang(script: Script, pool_of: PoolOf) -> None:
    """A worker that hangs is killed at its deadline and its job is tried again."""
    pool = pool_of(script(hang_on=["w7"], crashes=1), job_deadline_s=1.0, deadline_factor=0.0)
    assert text_of(pool.submit(speak([7]), GREEDY)) == "w7"
    assert pool.restarts == 1


def test_hang_for_good(script: Script, pool_of: PoolOf) -> None:
    """A job that always hangs fails as a time-out."""
    pool = pool_of(script(hang_on=["w7"]), job_deadline_s=0.1, deadline_factor=0.0, attempts=2)
    with pytest.raises(WorkerTimeout, match="did not answer"):
        pool.submit(speak([7]), GREEDY).result(PATIENCE_S)


def test_refusal(script: Script, pool_of: PoolOf) -> None:
    """An error the recogniser reports fails its job alone, without a new process."""
    pool = pool_of(script(refuse_on=["w7"]))
    with pytest.raises(DecodeError, match="refused"):
        pool.submit(speak([7]), GREEDY).result(PATIENCE_S)
    assert text_of(pool.submit(speak([8]), GREEDY)) == "w8"
    assert pool.restarts == 0


def test_abort_running(script: Script, pool_of: PoolOf) -> None:
    """A running job can be stopped: its future is cancelled, the worker lives."""
    pool = pool_of(script(hang_on=["w7"]))
    future = pool.submit(speak([7]), GREEDY)
    until(future.running)
    until(lambda: pool.slots[0].worker is not None)
    while not future.done():
        pool.abort(future)
    with pytest.raises(CancelledError):
        future.result(PATIENCE_S)
    assert text_of(pool.submit(speak([8]), GREEDY)) == "w8"
    assert pool.restarts == 0


def test_abort_waiting(script: Script, pool_of: PoolOf) -> None:
    """A waiting job can be stopped: it never runs."""
    pool = pool_of(script(hang_on=["w7"]))
    running, waiting = pool.submit(speak([7]), GREEDY), pool.submit(speak([8]), GREEDY)
    pool.abort(waiting)
    assert waiting.cancelled()
    assert not running.done()


def test_newest_partial_wins(script: Script, pool_of: PoolOf) -> None:
    """Of several partials of one utterance that wait, only the newest is decoded."""
    pool = pool_of(script(hang_on=["w0"]))
    blocker = pool.submit(speak([0]), GREEDY)
    until(blocker.running)
    ticket = Ticket("session", Kind.PARTIAL, utterance=1)
    old, new = pool.submit(speak([1]), GREEDY, ticket), pool.submit(speak([1, 2]), GREEDY, ticket)
    while not blocker.done():
        pool.abort(blocker)
    assert text_of(new) == "w1 w2"
    assert old.cancelled()


def test_a_final_takes_the_place_of_a_running_partial(script: Script, pool_of: PoolOf) -> None:
    """A partial gives its worker up to a final that would have to wait; a final does not."""
    pool = pool_of(script(hang_on=["w0"]))
    partial = pool.submit(speak([0]), GREEDY, Ticket("a", Kind.PARTIAL))
    until(partial.running)
    until(lambda: any(job.worker for job in pool._running.values()))
    assert text_of(pool.submit(speak([1]), GREEDY, Ticket("b", Kind.FINAL))) == "w1"
    with pytest.raises(CancelledError):
        partial.result(PATIENCE_S)


def test_a_partial_is_left_alone_where_a_worker_is_free(script: Script, pool_of: PoolOf) -> None:
    """Nothing is stopped for a final that another worker can take at once."""
    pool = pool_of(script(delay_s=0.3), workers=2)
    pool.wait_ready()
    partial = pool.submit(speak([0]), GREEDY, Ticket("a", Kind.PARTIAL))
    until(partial.running)
    assert text_of(pool.submit(speak([1]), GREEDY, Ticket("b", Kind.FINAL))) == "w1"
    assert text_of(partial) == "w0"


def test_bad_weights(script: Script, pool_of: PoolOf) -> None:
    """Weights that do not load fail every job with the loader's reason."""
    pool = pool_of(script(fail_load="these are no weights"))
    with pytest.raises(ModelError, match="these are no weights"):
        pool.submit(speak([1]), GREEDY).result(PATIENCE_S)
    with pytest.raises(ModelError, match="these are no weights"):
        pool.wait_ready()
    with pytest.raises(ModelError, match="these are no weights"):
        pool.submit(speak([1]), GREEDY).result(PATIENCE_S)


def test_weights_that_crash_the_loader(script: Script, pool_of: PoolOf) -> None:
    """Native code that aborts while it loads is an error with a name, not a crash of ours."""
    with pytest.raises(ModelError, match=r"loading it failed in scripted .*signal 6"):
        pool_of(script(crash_load=True)).wait_ready()


def test_fallback_weights(script: Script, pool_of: PoolOf) -> None:
    """Weights that do not load are replaced by the fallback's."""
    pool = pool_of(script(fail_load="no"), fallback=script())
    assert text_of(pool.submit(speak([1]), GREEDY)) == "w1"


def test_missing_weights(tmp_path: Path, pool_of: PoolOf) -> None:
    """A path that is not there is named."""
    with pytest.raises(ModelError, match="nowhere: no such file"):
        pool_of(ModelSpec("scripted", tmp_path / "nowhere")).wait_ready()


def test_health_check(script: Script, pool_of: PoolOf) -> None:
    """A worker is ready once it has understood known audio."""
    pool = pool_of(script(), health=HealthCheck(speak([5]), frozenset({"w5"}), GREEDY))
    pool.wait_ready()
    assert pool.slots[0].state is SlotState.READY


def test_full_warm_up(script: Script, pool_of: PoolOf) -> None:
    """A worker that is to decode a long window too is not ready before it has; failing at it is a failure."""
    health = HealthCheck(speak([1]), frozenset({"w1"}), GREEDY, long_samples=speak([2] * 60))
    pool = pool_of(script(), health=health)
    pool.wait_ready()
    assert pool.state is SlotState.READY
    with pytest.raises(DecodeError, match="refused"):
        pool_of(script(refuse_on=["w2"]), health=health).wait_ready()


def test_failed_health_check(script: Script, pool_of: PoolOf) -> None:
    """A worker that loads but hears something else is never ready."""
    pool = pool_of(script(), health=HealthCheck(speak([5]), frozenset({"monday"}), GREEDY))
    with pytest.raises(ModelError, match="does not understand"):
        pool.wait_ready()


def test_killed_idle(script: Script, pool_of: PoolOf) -> None:
    """A worker that is killed between jobs is replaced when the next job comes."""
    pool = pool_of(script())
    pool.wait_ready()
    os.kill(pool.pids()[0], signal.SIGKILL)
    assert text_of(pool.submit(speak([1]), GREEDY)) == "w1"


def test_killed_at_random(script: Script, pool_of: PoolOf) -> None:
    """Workers killed over and over lose no job."""
    pool = pool_of(script(delay_s=0.02), workers=2, attempts=50)
    futures = [pool.submit(speak([number]), GREEDY) for number in range(30)]
    while not all(future.done() for future in futures):
        for slot in pool.slots:
            if pool.restarts < 10 and slot.state is SlotState.READY and (worker := slot.worker):
                worker.kill()
        wait(futures, timeout=0.05)
    assert [text_of(future) for future in futures] == [f"w{number}" for number in range(30)]


def test_close_leaves_nothing(script: Script, pool_of: PoolOf) -> None:
    """Closing a pool under load cancels the jobs and leaves no process behind."""
    pool = pool_of(script(hang_on=["w7"]), workers=2)
    futures = [pool.submit(speak([7]), GREEDY) for _ in range(5)]
    until(lambda: sum(future.running() for future in futures) == 2)
    pids = pool.pids()
    pool.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    for future in futures:
        with pytest.raises(CancelledError):
            future.result(PATIENCE_S)
    assert pool.submit(speak([1]), GREEDY).cancelled()


def test_recycling(script: Script, pool_of: PoolOf) -> None:
    """A worker larger than its bound is replaced after its job."""
    pool = pool_of(script(), max_rss_bytes=1)
    pool.wait_ready()
    before = pool.pids()
    assert text_of(pool.submit(speak([1]), GREEDY)) == "w1"
    assert text_of(pool.submit(speak([2]), GREEDY)) == "w2"
    assert before != pool.pids()


def test_standby_becomes_the_first_worker(script: Script) -> None:
    """A process that was started before the model was known loads it, and is replaced when it dies."""
    standby = Standby()
    with WorkerPool(script(crash_on=["w7"]), PoolOptions(attempts=1), standby=standby) as pool:
        pool.wait_ready()
        assert standby.take() is None
        with pytest.raises(WorkerCrashed):
            pool.submit(speak([7]), GREEDY).result(PATIENCE_S)
        assert text_of(pool.submit(speak([8]), GREEDY)) == "w8"


def test_standby_that_nobody_wants(script: Script) -> None:
    """It ends without a trace, and closing it twice is fine."""
    before = set(psutil.Process().children())
    standby = Standby()
    (child,) = set(psutil.Process().children()) - before
    standby.close()
    standby.close()
    assert not child.is_running()


def test_standby_that_died(script: Script) -> None:
    """A dead process on standby is as good as none."""
    before = set(psutil.Process().children())
    standby = Standby()
    (child,) = set(psutil.Process().children()) - before
    child.kill()
    with WorkerPool(script(), standby=standby) as pool:
        assert text_of(pool.submit(speak([8]), GREEDY)) == "w8"


def test_parent_dies(script: Script, tmp_path: Path) -> None:
    """A worker does not outlive a parent that is killed."""
    import subprocess
    import sys

    program = (
        "import sys, time; from pathlib import Path; from asrctl.engine.process import WorkerProcess;"
        "from asrctl.providers.base import ModelSpec;"
        f"w = WorkerProcess(ModelSpec('scripted', Path({str(script().path)!r}))); w.wait_loaded(60);"
        "print(w.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        worker.wait(PATIENCE_S)
    assert not worker.is_running()
