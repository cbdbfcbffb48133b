"""Live sessions over streaming providers at work: threads, losses at any moment, and who stands in."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from asrctl.engine.lineup import Lineup, Member
from asrctl.engine.pool import WorkerPool
from asrctl.engine.session import Session
from asrctl.engine.stream import Stream, StreamOptions
from asrctl.policy.chain import ChainOptions
from asrctl.providers.scripted_stream import ScriptedStream, StreamScript
from asrctl.stream.events import Dropped, Final, Partial, ProviderChanged
from tests.engine.conftest import Script
from tests.engine.streams import LevelDetector, silence, speak
from tests.engine.test_session import PATIENCE_S, Listener

PoolOf = Callable[..., WorkerPool]
SOON = ChainOptions(retry_s=0.01, growth=1.0, max_retry_s=0.01)


@pytest.fixture
def listener() -> Listener:
    """Fresh for each test."""
    return Listener()


@pytest.fixture
def session_of(listener: Listener) -> Iterator[Callable[..., Session]]:
    """Makes sessions that are closed at the end of the test."""
    sessions: list[Session] = []

    def make(
        *members: Member, clock: Callable[[], float] | None = None, options: StreamOptions | None = None
    ) -> Session:
        stream, lineup = Stream(LevelDetector(), options), Lineup(members, SOON)
        more = {} if clock is None else {"clock": clock}
        sessions.append(Session(stream, lineup, listener, **more))
        return sessions[-1]

    yield make
    for session in sessions:
        session.close()


SessionOf = Callable[..., Session]


def test_one_stream_serves_a_whole_session(session_of: SessionOf, listener: Listener) -> None:
    """It is opened with the first utterance, and closed with the session."""
    with ScriptedStream() as model:
        session = session_of(Member("stream", None, model))
        assert model.opened == 0
        first = listener.next(Partial)
        for number in range(5):
            session.feed(np.concatenate([speak([number, number + 1]), silence(1)]))
        assert first.result(PATIENCE_S)
        session.finish()
        assert session.wait_finished(PATIENCE_S)
        assert (model.opened, model.streams) == (1, 0)
    assert listener.text == "w0 w1 w1 w2 w2 w3 w3 w4 w4 w5"


@pytest.mark.parametrize("seed", range(4))
def test_streams_that_break_at_any_moment(
    seed: int, session_of: SessionOf, listener: Listener, script: Script, pool_of: PoolOf
) -> None:
    """Two streaming providers that break again and again, with a pool behind: every word comes once."""
    dice = random.Random(seed)
    breaks = [tuple(dice.uniform(0.1, 3.0) for _ in range(30)) for _ in range(2)]
    with ScriptedStream(StreamScript(breaks[0])) as one, ScriptedStream(StreamScript(breaks[1])) as two:
        pool = Member("pool", pool_of(script()))
        session = session_of(Member("one", None, one), Member("two", None, two), pool)
        spoken: list[str] = []
        for number in range(20):
            numbers = range(20 * number, 20 * number + dice.randint(1, 15))
            spoken += [f"w{each}" for each in numbers]
            session.feed(np.concatenate([speak(numbers), silence(0.7)]))
            session.wait_pending_below(20_000)
        session.finish()
        assert session.wait_finished(PATIENCE_S)
        assert one.opened > 2
    assert listener.text.split() == spoken
    assert not any(isinstance(event, Dropped) for event in listener.events)
    assert any(isinstance(event, ProviderChanged) for event in listener.events)


def test_an_utterance_is_taken_up_without_more_audio(session_of: SessionOf, listener: Listener) -> None:
    """A provider that is not there yet is asked again until it is."""
    with ScriptedStream(StreamScript(refusals=3)) as model:
        session = session_of(Member("stream", None, model))
        session.feed(np.concatenate([speak([1, 2]), silence(1)]))
        session.finish()
        assert session.wait_finished(PATIENCE_S)
    assert listener.text == "w1 w2"


def test_patience_ends(session_of: SessionOf, listener: Listener) -> None:
    """What nobody takes is declared dropped in the end, with the reason."""
    hours = itertools.count(0, 3600)
    with ScriptedStream() as model:
        model.refusal = "it never loads"
        session = session_of(Member("stream", None, model), clock=lambda: float(next(hours)))
        session.feed(np.concatenate([speak([1, 2]), silence(1)]))
        session.finish()
        assert session.wait_finished(PATIENCE_S)
    (dropped,) = [event for event in listener.events if isinstance(event, Dropped)]
    assert dropped.reason == "stream: it never loads"
    assert session.account.pending_samples == 0


def test_a_pool_whose_worker_dies_each_time_hands_on(
    session_of: SessionOf, listener: Listener, script: Script, pool_of: PoolOf
) -> None:
    """The window that kills its workers goes to the next provider, and the next window not."""
    deadly = pool_of(script(crash_on=["w7"]), attempts=2)
    session = session_of(
        Member("deadly", deadly),
        Member("pool", pool_of(script())),
        options=StreamOptions(pacing=None),
    )
    assert session.provider == "deadly"
    session.feed(np.concatenate([speak([7]), silence(1)]))
    changed = listener.next(ProviderChanged)
    assert getattr(changed.result(PATIENCE_S), "provider", "") == "pool"
    session.wait_pending_below(8_000)
    session.feed(np.concatenate([speak([8]), silence(1)]))
    session.finish()
    assert session.wait_finished(PATIENCE_S)
    assert listener.text == "w7 w8" and session.provider == "deadly"
    assert len([event for event in listener.events if isinstance(event, Final)]) == 2
