"""What every provider keeps, whatever is behind it: events in order, words once, books that balance."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray

from asrctl.engine.lineup import Lineup, Member
from asrctl.engine.pool import WorkerPool
from asrctl.engine.session import Session
from asrctl.engine.stream import Stream, StreamOptions
from asrctl.stream.events import Event, Final, Finished, Partial, ProviderChanged, SpeechStarted
from asrctl.transcript import SAMPLE_RATE_HZ

from ..engine.streams import silence, speak
from ..server.servers import script
from .contestants import CONTESTANTS, DEAD, Contestant, parameters, words_of

PATIENCE_S = 60.0
CHUNK = 320


Kind = TypeVar("Kind")


class Ear:
    """Keeps events, checks what must hold for each, and lets the test wait."""

    def __init__(self, sure: Callable[[list[str]], list[str]]) -> None:
        self._sure = sure
        self.events: list[Event] = []
        self._changed = threading.Condition(threading.RLock())

    def __call__(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def wait(self, condition: Callable[[], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE_S), self.events

    def of(self, kind: type[Kind]) -> list[Kind]:
        with self._changed:
            return [event for event in self.events if isinstance(event, kind)]

    @property
    def texts(self) -> list[list[str]]:
        return [self._sure(words_of(final.segment.text)) for final in self.of(Final)]


def check(events: list[Event]) -> None:
    """Each utterance begins, may be shown, and ends once, in order; what is shown as stable only grows."""
    began, ended, end_sample = -1, -1, 0
    stable = dict[int, str]()
    for event in events[:-1]:
        if isinstance(event, SpeechStarted):
            assert event.utterance == began + 1
            began = event.utterance
        elif isinstance(event, Partial):
            assert ended < event.utterance <= began
            assert event.stable.startswith(stable.get(event.utterance, ""))
            stable[event.utterance] = event.stable
        elif isinstance(event, Final):
            assert event.utterance == ended + 1 <= began
            assert end_sample <= event.start_sample < event.end_sample
            assert event.start_sample / SAMPLE_RATE_HZ - 0.1 <= event.segment.start_s <= event.segment.end_s
            assert event.segment.end_s <= event.end_sample / SAMPLE_RATE_HZ + 0.5
            assert 0 <= event.segment.confidence <= 1
            ended, end_sample = event.utterance, event.end_sample
        else:
            assert isinstance(event, ProviderChanged), event
    assert isinstance(events[-1], Finished) and began == ended
    account = events[-1].account
    assert account.pending_samples == account.dropped_samples == 0


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closed at the end of the test."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(params=list(parameters()))
def contestant(request: pytest.FixtureRequest, stack: ExitStack, tmp_path: Path) -> Contestant:
    """A provider at work."""
    return CONTESTANTS[request.param](stack, tmp_path, request)


@pytest.fixture(params=list(parameters()))
def dead(request: pytest.FixtureRequest, stack: ExitStack, tmp_path: Path) -> Contestant:
    """A provider that is of no use."""
    return DEAD[request.param](stack, tmp_path, request)


def session_of(stack: ExitStack, contestant: Contestant, *reserves: Member) -> tuple[Session, Ear]:
    """A session with one provider, or with others behind it."""
    ear = Ear(contestant.sure)
    stream = Stream(contestant.detector(), StreamOptions())
    session = Session(stream, Lineup([contestant.member, *reserves]), ear)
    stack.callback(session.close)
    return session, ear


def feed(session: Session, *pieces: NDArray[np.float32]) -> None:
    samples = np.concatenate(pieces)
    for at in range(0, len(samples), CHUNK):
        session.feed(samples[at : at + CHUNK])


def test_utterances_become_finals(contestant: Contestant, stack: ExitStack) -> None:
    """The same audio gives the same events in the same order, with all its words, each once."""
    session, ear = session_of(stack, contestant)
    for utterance in contestant.utterances:
        feed(session, utterance, silence(1))
    session.finish()
    assert session.wait_finished(PATIENCE_S)
    check(ear.events)
    assert ear.texts == contestant.texts
    assert not ear.of(ProviderChanged)


def test_silence_is_asked_of_nobody(contestant: Contestant, stack: ExitStack) -> None:
    """It is all judged silence."""
    session, ear = session_of(stack, contestant)
    feed(session, silence(2))
    session.finish()
    assert session.wait_finished(PATIENCE_S)
    check(ear.events)
    assert len(ear.events) == 1 and session.account.silence_samples == 32_000


def test_flush_gives_what_was_said(contestant: Contestant, stack: ExitStack) -> None:
    """The final comes without more audio, and the stream goes on."""
    session, ear = session_of(stack, contestant)
    first, second = contestant.utterances
    feed(session, first)
    session.flush()
    ear.wait(lambda: ear.of(Final))
    assert session.account.pending_samples == 0
    feed(session, silence(0.3), second)
    session.finish()
    assert session.wait_finished(PATIENCE_S)
    check(ear.events)
    assert ear.texts == contestant.texts


def test_close_ends_it_at_once(contestant: Contestant, stack: ExitStack) -> None:
    """In the middle of an utterance: nothing is said any more, and the next session is not held up."""
    session, ear = session_of(stack, contestant)
    first, second = contestant.utterances
    feed(session, first, silence(1), second[: len(second) // 2])
    ear.wait(lambda: ear.of(SpeechStarted))
    session.close()
    said = len(ear.events)
    again, other = session_of(stack, contestant)
    feed(again, first, silence(1))
    again.finish()
    assert again.wait_finished(PATIENCE_S)
    assert other.texts == contestant.texts[:1]
    assert len(ear.events) == said


def test_two_sessions_at_once(contestant: Contestant, stack: ExitStack) -> None:
    """Each gets its own words."""
    sessions = [session_of(stack, contestant) for _ in range(2)]
    for (session, _), utterance in zip(sessions, contestant.utterances, strict=True):
        feed(session, utterance, silence(1))
        session.finish()
    for (session, ear), text in zip(sessions, contestant.texts, strict=True):
        assert session.wait_finished(PATIENCE_S)
        check(ear.events)
        assert ear.texts == [text]


def test_harm_in_the_middle_of_an_utterance(contestant: Contestant, stack: ExitStack) -> None:
    """It is taken up again, by nobody but the same provider: all words come, each once."""
    session, ear = session_of(stack, contestant)
    first, second = contestant.utterances
    half = len(first) // 2
    feed(session, first[:half])
    ear.wait(lambda: ear.of(SpeechStarted))
    contestant.harm()
    feed(session, first[half:], silence(1), second, silence(1))
    session.finish()
    assert session.wait_finished(PATIENCE_S)
    check(ear.events)
    assert ear.texts == contestant.texts


def test_a_provider_of_no_use_is_replaced(dead: Contestant, stack: ExitStack, tmp_path: Path) -> None:
    """The next in the chain has every utterance, whole, and that is said, with the reason."""
    reserve = stack.enter_context(WorkerPool(script(tmp_path / "reserve.json")))
    session, ear = session_of(stack, Contestant(dead.member), Member("reserve", reserve))
    feed(session, speak([1, 2, 3]), silence(1), speak([4]), silence(1))
    session.finish()
    assert session.wait_finished(PATIENCE_S)
    check(ear.events)
    assert ear.texts == [["w1", "w2", "w3"], ["w4"]]
    changed = ear.of(ProviderChanged)[0]
    assert changed.provider == "reserve" and changed.reason
