"""Sessions: the one task that runs a stream and a recogniser, how it ends, and what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

import numpy as np
import pytest

from asrctl.errors import DecodeError, ProviderError
from asrctl.events import Dropped, Event, Final, Finished, Partial, SpeechStarted
from asrctl.providers.base import DecodeOptions
from asrctl.providers.recognizer import Spoken, StreamRequest
from asrctl.streaming.session import Session
from asrctl.streaming.stream import StreamOptions
from asrctl_tests.scripted import speak
from tests.streaming.puppets import Decoder, Listener, Puppet, assert_accounted, windowed
from tests.streaming.rig import Rig
from tests.streaming.speech import LevelDetector, Samples, joined, silence, words
from tests.streaming.virtual import VIRTUAL, others, settle

PAUSE = silence(1)
UTTERANCE = joined(speak(range(10)), PAUSE)


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    """In virtual time."""
    return VIRTUAL


def session_over(puppet: Puppet, emit: Callable[[Event], None], **options: object) -> Session:
    return Session(LevelDetector(), StreamOptions(**options), puppet, emit)  # type: ignore[arg-type]


async def test_a_session() -> None:
    """Audio in small chunks becomes partials, a final, and the end, after which all is gone."""
    run = Rig(("windows",), StreamOptions(DecodeOptions(language="auto")))
    assert not run.session.ended and run.session.language == "auto"
    await run.play(UTTERANCE, chunk_samples=320)
    assert run.said.words == words(*range(10)) and run.said.of(Partial)
    assert not run.session.awaits_finals and run.session.waiting_sample is None
    assert run.session.committed_sample >= run.said.of(Final)[-1].end_sample
    await run.finish()
    assert_accounted(run.said.events, len(UTTERANCE))
    assert run.session.ended and run.session.failure is None and run.session.language == "en"
    assert run.session.account.received_samples == len(UTTERANCE) and run.session.pending_samples == 0
    assert not others()


async def test_it_says_what_is_pending() -> None:
    """What was fed and not looked at counts, and so does an utterance whose final has not come."""
    run = Rig(("windows",))
    run.session.feed(UTTERANCE)
    assert run.session.pending_samples == len(UTTERANCE) and run.session.awaits_finals
    await settle()
    assert 32_000 <= run.session.pending_samples < len(UTTERANCE)
    assert run.session.awaits_finals and run.session.waiting_sample is not None
    run.session.shed(10**9, "too late")
    await settle()
    assert [drop.reason for drop in run.said.of(Dropped)] == ["too late"]
    assert run.session.pending_samples < 16_000
    await run.session.close()


async def test_long_audio_leaves_others_their_turn() -> None:
    """A minute that is fed at once is looked at in pieces."""
    run, turns = Rig(("windows",)), 0
    run.session.feed(np.concatenate([UTTERANCE] * 20))
    while run.session.account.received_samples < 20 * len(UTTERANCE):
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 100
    await run.session.close()


async def test_flush_and_gaps() -> None:
    """Are done in the order in which they were asked for."""
    run = Rig(("windows",))
    run.session.feed(speak([1]))
    run.session.flush()
    run.session.skip(8000, "overflow")
    run.session.feed(speak([2]))
    run.fed_samples = 2 * 3200 + 8000
    await run.finish()
    kinds = [type(event) for event in run.said.events if isinstance(event, Final | Dropped)]
    assert kinds == [Final, Dropped, Final] and run.said.words == words(1, 2)
    assert_accounted(run.said.events, run.fed_samples)


async def test_faster_than_real_time() -> None:
    """A caller that waits for room loses nothing, however fast it feeds."""
    run = Rig(("windows",), StreamOptions(max_backlog_s=10.0))
    answering = asyncio.create_task(answer_for_ever(run.decoder))
    for _ in range(60):
        run.session.feed(UTTERANCE)
        await run.session.wait_pending_below(5 * 16_000)
    run.session.finish()
    await run.session.wait_ended()
    answering.cancel()
    assert len(run.said.words) == 600 and not run.said.of(Dropped)


async def answer_for_ever(decoder: Decoder) -> None:
    while True:
        await asyncio.sleep(0.05)
        for call in decoder.waiting:
            call.answer()


# How it ends


class Broken(LevelDetector):
    """A detector with a mistake in it."""

    def probabilities(self, samples: Samples) -> Samples:
        if len(samples) == 77:
            raise ZeroDivisionError("a bug")
        return super().probabilities(samples)


@pytest.mark.parametrize("where", ["detector", "emit", "recogniser"])
async def test_an_unforeseen_exception_ends_the_session(where: str) -> None:
    """Whoever waits for its end or for room is told; the recogniser's stream is closed, nothing is left."""
    puppet, events = Puppet(), list[Event]()

    def emit(event: Event) -> None:
        events.append(event)
        if where == "emit" and isinstance(event, SpeechStarted):
            raise ZeroDivisionError("a bug")

    session = Session(Broken(), StreamOptions(), puppet, emit)
    if where == "recogniser":
        puppet.stream.breaks_on, puppet.stream.error = "feed", ZeroDivisionError("a bug")
    room = asyncio.create_task(session.wait_pending_below(1))
    ended = asyncio.create_task(session.wait_ended())
    session.feed(UTTERANCE)
    session.feed(np.zeros(77, np.float32))
    await settle()
    with pytest.raises(ZeroDivisionError, match="a bug"):
        await ended
    await room
    assert session.ended and isinstance(session.failure, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        await session.wait_ended()
    assert not puppet.live and not others()
    count = len(events)
    session.feed(UTTERANCE)
    session.finish()
    await session.wait_pending_below(1)
    await session.close()
    assert len(events) == count
    gc.collect()
    await settle()


@pytest.mark.parametrize("state", ["new", "silent", "speaking", "waiting", "finishing", "finished", "failed"])
async def test_close_in_any_state(state: str) -> None:
    """Nothing is said afterwards, no stream or task is left, and it may be closed again."""
    run = Rig(("stream",))
    if state == "silent":
        await run.play(PAUSE)
    elif state == "speaking":
        await run.play(speak([1, 2]), answering=False)
    elif state in ("waiting", "finishing"):
        await run.play(UTTERANCE, answering=False)
        if state == "finishing":
            run.session.finish()
            await settle()
    elif state == "finished":
        await run.play(UTTERANCE)
        await run.finish()
    elif state == "failed":
        run.session._heard(None)  # type: ignore[arg-type]
        await settle()
        assert run.session.failure is not None
    count, streams = len(run.said.events), [*run.live]
    for stream in streams:
        stream.hear()
    await run.session.close()
    await run.session.close()
    run.session.feed(UTTERANCE)
    run.session.flush()
    run.session.finish()
    run.session.show_partials(2.0)
    await asyncio.sleep(100)
    assert run.session.ended and len(run.said.events) == count
    assert not run.live and not others()
    if state in ("new", "silent", "finished"):
        assert not run.session.awaits_finals
    if state != "failed":
        await run.session.wait_ended()
    await run.session.wait_pending_below(1)
    gc.collect()


async def test_waiting_for_a_session_that_is_stopped_at_once_ends() -> None:
    """Also if its task has not begun."""
    run = Rig(("stream",))
    run.session.feed(UTTERANCE)
    run.session.stop()
    await run.session.wait_pending_below(1)
    await run.session.wait_ended()
    assert run.session.ended and not run.said.events


async def test_whoever_takes_an_event_may_stop_the_session() -> None:
    """Nothing more is said, done, or started by then."""
    puppet, events = Puppet(), list[Event]()

    def emit(event: Event) -> None:
        events.append(event)
        session.stop()

    session = session_over(puppet, emit)
    session.feed(UTTERANCE)
    await session.wait_ended()
    await asyncio.sleep(10)
    assert [type(event) for event in events] == [SpeechStarted]
    assert not puppet.streams[0].fed_samples and not others()


async def test_as_a_context_manager_it_is_closed() -> None:
    """Whatever happens in the block."""
    puppet = Puppet()
    with pytest.raises(KeyError):
        async with session_over(puppet, lambda _: None) as session:
            session.feed(UTTERANCE)
            raise KeyError
    assert session.ended and not puppet.live


async def test_a_recogniser_that_cannot_be_opened_is_told_at_once() -> None:
    """There is no session then, and nothing is left of one."""
    with pytest.raises(ProviderError, match="not now"):
        session_over(Puppet(refusal=ProviderError("not now")), lambda _: None)
    assert not others()


async def test_a_recogniser_without_fail_over_that_is_lost() -> None:
    """All its speech is declared dropped, and the session comes to its end."""
    puppet, said = Puppet(), Listener()
    session = session_over(puppet, said)
    session.feed(UTTERANCE)
    await settle()
    puppet.stream.lose("the line is dead")
    session.feed(UTTERANCE)
    session.finish()
    await session.wait_ended()
    assert [drop.reason for drop in said.of(Dropped)] == ["the line is dead"] * 2
    assert_accounted(said.events, 2 * len(UTTERANCE))


async def test_what_is_shed_is_dropped_by_the_recogniser() -> None:
    """It need not go on with it."""
    run = Rig(("stream",), StreamOptions(max_backlog_s=1.0))
    for _ in range(3):
        await run.play(UTTERANCE, answering=False)
    assert run.puppets["stream"].stream.dropped == [0, 1]
    await run.finish()
    assert len(run.said.of(Dropped)) == 2


async def test_closing_aborts_its_decodes() -> None:
    """And takes no other session's."""
    decoder = Decoder()
    sessions = [
        Session(LevelDetector(), StreamOptions(pacing=None), windowed(decoder), lambda _: None, name=name)
        for name in ("one", "two")
    ]
    for session in sessions:
        session.feed(UTTERANCE)
    await settle()
    assert [call.ticket.session for call in decoder.waiting] == ["one", "two"]
    await sessions[0].close()
    assert [call.aborted for call in decoder.calls] == [True, False]
    await sessions[1].close()


async def test_a_session_passes_on_how_it_is_to_be_decoded() -> None:
    """Its name, whose audio it is, how often partials are made."""
    puppet = Puppet()
    asked: list[StreamRequest] = []
    opened = puppet.open

    def open_(request: StreamRequest, say: Callable[[Spoken], None]) -> object:
        asked.append(request)
        return opened(request, say)

    puppet.open = open_  # type: ignore[method-assign, assignment]
    options = StreamOptions(DecodeOptions(language="de"))
    session = Session(LevelDetector(), options, puppet, lambda _: None, name="s9")
    (request,) = asked
    assert (request.session, request.decode.language) == ("s9", "de") and request.pacing is options.pacing
    session.show_partials(4.0)
    assert puppet.stream.factor == 4.0
    await session.close()


async def test_a_failed_utterance_is_no_failed_session() -> None:
    """It is declared, and the end comes."""
    run = Rig(("windows",), StreamOptions(pacing=None))
    await run.play(UTTERANCE, answering=False)
    run.decoder.waiting[0].answer(DecodeError("no"))
    await run.finish()
    assert isinstance(run.said.events[-1], Finished) and run.session.failure is None
