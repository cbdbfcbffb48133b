"""Live sessions over a real pool: threads, processes, crashes; the state machine has its own tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest

from asrctl.engine.pool import WorkerPool
from asrctl.engine.session import Session
from asrctl.engine.slot import SlotState
from asrctl.engine.stream import Stream, StreamOptions
from asrctl.engine.switch import ModelSwitch
from asrctl.errors import ModelError
from asrctl.providers.base import DecodeOptions
from asrctl.stream.events import Dropped, Event, Final, Finished, Partial
from tests.engine.conftest import Script
from tests.engine.streams import LevelDetector, silence, speak

PoolOf = Callable[..., WorkerPool]
PATIENCE_S = 30.0
UTTERANCE = np.concatenate([speak(range(10)), silence(1)])


class Listener:
    """Keeps events, and lets the test wait for one."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._wanted: list[tuple[type[Event], Future[Event]]] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        for kind, future in self._wanted:
            if isinstance(event, kind) and not future.done():
                future.set_result(event)

    def next(self, kind: type[Event]) -> Future[Event]:
        """The next event of a kind; ask before it can come."""
        future: Future[Event] = Future()
        self._wanted.append((kind, future))
        return future

    @property
    def text(self) -> str:
        return " ".join(event.segment.text for event in self.events if isinstance(event, Final))


@pytest.fixture
def listener() -> Listener:
    """Fresh for each test."""
    return Listener()


@pytest.fixture
def session_of(listener: Listener) -> Iterator[Callable[..., Session]]:
    """Makes sessions that are closed at the end of the test."""
    sessions: list[Session] = []

    def make(pool: Any, **options: Any) -> Session:
        name = f"s{len(sessions)}"
        stream = Stream(LevelDetector(), StreamOptions(**options))
        sessions.append(Session(stream, pool, listener, name=name))
        return sessions[-1]

    yield make
    for session in sessions:
        session.close()


SessionOf = Callable[..., Session]


def test_a_session(script: Script, pool_of: PoolOf, session_of: SessionOf, listener: Listener) -> None:
    """Audio in small chunks becomes partials, a final, and the end with balanced books."""
    session = session_of(pool_of(script()))
    first = listener.next(Partial)
    for at in range(0, 20_000, 320):
        session.feed(UTTERANCE[at : at + 320])
    assert first.result(PATIENCE_S)
    session.feed(UTTERANCE[20_160:])
    session.finish()
    assert session.wait_finished(PATIENCE_S)
    assert listener.text == " ".join(f"w{n}" for n in range(10))
    end = listener.events[-1]
    assert isinstance(end, Finished) and end.account.pending_samples == 0
    assert end.account.received_samples == len(UTTERANCE)


def test_a_killed_worker_loses_nothing(
    script: Script, pool_of: PoolOf, session_of: SessionOf, listener: Listener
) -> None:
    """`kill -9` in the middle of an utterance: the final still comes, whole."""
    pool = pool_of(script(delay_s=0.05))
    session = session_of(pool)
    for round_ in range(5):
        partial, final = listener.next(Partial), listener.next(Final)
        session.feed(speak(range(10)))
        assert partial.result(PATIENCE_S)
        session.feed(silence(0.6))
        for pid in pool.pids():
            os.kill(pid, signal.SIGKILL)
        assert final.result(PATIENCE_S), round_
    session.finish()
    assert session.wait_finished(PATIENCE_S)
    assert listener.text == " ".join([" ".join(f"w{n}" for n in range(10))] * 5)
    assert not any(isinstance(event, Dropped) for event in listener.events)


def test_a_window_that_kills_every_worker_is_declared(
    script: Script, pool_of: PoolOf, session_of: SessionOf, listener: Listener
) -> None:
    """After the last attempt its audio is a drop with the reason; the next utterance comes as usual."""
    session = session_of(pool_of(script(crash_on=["w7"]), attempts=2), pacing=None)
    session.feed(np.concatenate([speak([7]), silence(1), speak([8]), silence(1)]))
    session.finish()
    assert session.wait_finished(PATIENCE_S)
    (dropped,) = [event for event in listener.events if isinstance(event, Dropped)]
    assert "killed by signal 9" in dropped.reason
    assert listener.text == "w8"


def test_weights_that_do_not_load_are_declared(
    script: Script, pool_of: PoolOf, session_of: SessionOf, listener: Listener
) -> None:
    """The session ends with all speech declared dropped, for the reason the pool gave."""
    session = session_of(pool_of(script(fail_load="no such weights")))
    session.feed(UTTERANCE)
    session.finish()
    assert session.wait_finished(PATIENCE_S)
    (dropped,) = [event for event in listener.events if isinstance(event, Dropped)]
    assert dropped.reason == "no such weights"


def test_a_full_queue_is_declared(
    script: Script, pool_of: PoolOf, session_of: SessionOf, listener: Listener
) -> None:
    """Finals that the pool's queue refuses are drops, not losses."""
    pool = pool_of(script(hang_on=["w0"]), queue_limit=1, job_deadline_s=2.0, deadline_factor=0.0, attempts=1)
    session = session_of(pool, pacing=None)
    for number in range(5):
        session.feed(np.concatenate([speak([number]), silence(1)]))
    session.finish()
    assert session.wait_finished(PATIENCE_S)
    outcomes = [event for event in listener.events if isinstance(event, Final | Dropped)]
    assert [event.utterance for event in outcomes] == list(range(5))
    assert any(isinstance(event, Dropped) and "too much was waiting" in event.reason for event in outcomes)


def test_ten_sessions_share_a_worker(script: Script, pool_of: PoolOf) -> None:
    """Each gets its own words, all of them."""
    pool, listeners = pool_of(script(delay_s=0.01)), [Listener() for _ in range(10)]
    sessions = [
        Session(Stream(LevelDetector()), pool, listener, name=str(number))
        for number, listener in enumerate(listeners)
    ]
    for at in range(0, 48_000, 1600):
        for number, session in enumerate(sessions):
            words = np.concatenate([speak(range(number * 20, number * 20 + 10)), silence(1)])
            session.feed(words[at : at + 1600])
    for number, (session, listener) in enumerate(zip(sessions, listeners, strict=True)):
        session.finish()
        assert session.wait_finished(PATIENCE_S)
        assert listener.text == " ".join(f"w{n}" for n in range(number * 20, number * 20 + 10))
        session.close()


def test_closing_aborts(script: Script, pool_of: PoolOf, session_of: SessionOf, listener: Listener) -> None:
    """A session that is closed leaves no decode behind that holds a worker."""
    pool = pool_of(script(hang_on=["w0"]))
    session = session_of(pool, pacing=None)
    session.feed(np.concatenate([speak([0]), silence(1)]))
    session.flush()
    session.close()
    assert pool.submit(speak([5]), DecodeOptions()).result(PATIENCE_S).text == "w5"


def test_faster_than_real_time(
    script: Script, pool_of: PoolOf, session_of: SessionOf, listener: Listener
) -> None:
    """A caller that waits for the session to catch up loses nothing, however fast it feeds."""
    session = session_of(pool_of(script(delay_s=0.005)), max_backlog_s=10.0)
    for _ in range(60):
        session.feed(UTTERANCE)
        session.wait_pending_below(5 * 16_000)
    session.finish()
    assert session.wait_finished(PATIENCE_S)
    assert len(listener.text.split()) == 600
    assert not any(isinstance(event, Dropped) for event in listener.events)


def test_switching_models_loses_nothing(script: Script, session_of: SessionOf, listener: Listener) -> None:
    """Utterances before, during and after the switch all come, and the old model's worker is gone."""
    first, second = script(delay_s=0.02), script()
    with ModelSwitch(first) as switch:
        switch.wait_ready()
        (old_pid,) = switch.pids()
        session = session_of(switch, pacing=None)
        session.feed(UTTERANCE)
        switched = switch.switch(second)
        while not switched.done():
            session.feed(UTTERANCE)
            session.wait_pending_below(10_000)
        session.feed(UTTERANCE)
        session.finish()
        assert session.wait_finished(PATIENCE_S)
        assert switch.spec == second and old_pid not in switch.pids()
    spoken = session.account.speech_samples
    assert len(listener.text.split()) == 10 * sum(isinstance(event, Final) for event in listener.events)
    assert spoken > 0 and not any(isinstance(event, Dropped) for event in listener.events)


def test_a_switch_forgets_no_lost_worker(script: Script) -> None:
    """What was counted of a model that is gone stays counted, and more comes on top."""
    first, second = (script(crash_on=["w7"], crashes=1) for _ in range(2))
    with ModelSwitch(first) as switch:
        switch.submit(speak([7]), DecodeOptions()).result(PATIENCE_S)
        assert switch.restarts == 1
        switch.switch(second).result(PATIENCE_S)
        assert switch.restarts == 1
        switch.submit(speak([7]), DecodeOptions()).result(PATIENCE_S)
        assert switch.restarts == 2


def test_a_switch_that_fails_changes_nothing(
    script: Script, session_of: SessionOf, listener: Listener
) -> None:
    """The error is told, and the old model goes on."""
    first = script()
    with ModelSwitch(first) as switch:
        session = session_of(switch)
        with pytest.raises(ModelError, match="broken"):
            switch.switch(script(fail_load="broken")).result(PATIENCE_S)
        assert switch.spec == first
        session.feed(UTTERANCE)
        session.finish()
        assert session.wait_finished(PATIENCE_S)
    assert len(listener.text.split()) == 10


def test_draining_finishes_what_was_submitted(script: Script, pool_of: PoolOf) -> None:
    """A pool that drains does its work, takes no more, and its processes end."""
    pool = pool_of(script(delay_s=0.02))
    futures = [pool.submit(speak([number]), DecodeOptions()) for number in range(5)]
    pool.drain()
    assert [future.result(0).text for future in futures] == [f"w{n}" for n in range(5)]
    assert pool.submit(speak([9]), DecodeOptions()).cancelled()
    assert pool.state is SlotState.CLOSED and not pool.pids()
