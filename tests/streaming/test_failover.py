"""Fail-over: what happens to utterances when a provider's stream is lost, refuses, fails or misbehaves."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.errors import DecodeError, ModelError, ProviderError, QueueFull, StreamRefused, WorkerCrashed
from asrctl.events import Dropped, Event, Final, Finished, Partial, SpeechEnded, SpeechStarted
from asrctl.policy.chain import ChainOptions
from asrctl.policy.endpointing import EndpointerOptions
from asrctl.policy.pacing import PacingOptions
from asrctl.providers.base import DecodeOptions
from asrctl.providers.recognizer import Completed, Failed, Heard, Lost, Spoken, StreamRequest, Switched
from asrctl.streaming.failover import FailoverStream
from asrctl.streaming.fallback import Fallback
from asrctl.streaming.session import Session
from asrctl.streaming.stream import StreamOptions
from asrctl_tests.scripted import speak
from asrctl_tests.scripted_stream import ScriptedStream, StreamScript
from tests.streaming.puppets import Decoder, Listener, Puppet, assert_accounted, windowed
from tests.streaming.rig import Rig
from tests.streaming.speech import LevelDetector, heard_in, joined, silence, words
from tests.streaming.virtual import VIRTUAL, others, settle

SHORT = StreamOptions(endpointing=EndpointerOptions(overlong_s=4.0, max_utterance_s=8.0))
FINALS_ONLY = StreamOptions(pacing=None)
PAUSE = silence(1)
RigOf = Callable[..., Rig]


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    """In virtual time."""
    return VIRTUAL


@pytest.fixture
async def rig() -> AsyncIterator[RigOf]:
    """Makes rigs, and checks that they leave nothing behind."""
    made: list[Rig] = []

    def make(*arguments: object, **options: object) -> Rig:
        made.append(Rig(*arguments, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        await check_closed(each)


async def check_closed(run: Rig) -> None:
    """After close no stream is open, no task or timer is left, and nothing is said any more."""
    said = len(run.said.events)
    await run.session.close()
    await asyncio.sleep(1000)
    assert not run.live and len(run.said.events) == said
    assert not [fault for decoder in run.decoders.values() for fault in decoder.faults]
    assert not others()


# Losses


async def test_one_stream_serves_a_whole_session(rig: RigOf) -> None:
    """It is opened with the first utterance, fed what is spoken, told of pauses, closed with the session."""
    run = rig(("stream",))
    await run.play(silence(1))
    assert not run.puppets["stream"].streams
    for number in range(5):
        await run.play(joined(speak([number, number + 1]), PAUSE))
    await run.finish()
    (stream,) = run.puppets["stream"].streams
    assert stream.closed and stream.pauses_s
    assert stream.fed_samples == sum(final.end_sample - final.start_sample for final in run.said.of(Final))
    assert run.said.words == words(0, 1, 1, 2, 2, 3, 3, 4, 4, 5)
    assert {final.provider for final in run.said.of(Final)} == {"stream"}
    assert not run.said.changes


async def test_a_lost_stream_is_taken_up_by_windows(rig: RigOf) -> None:
    """In the middle of an utterance: the whole of it is decoded, what was shown stays, the change is said."""
    run = rig()
    await run.play(speak(range(10)))
    shown = run.said.of(Partial)[-1].stable
    assert len(shown.split()) > 5
    await run.lose("stream", "the process died")
    assert run.said.changes == [("windows", "the process died")]
    await run.play(joined(speak(range(10, 15)), PAUSE))
    await run.finish()
    assert run.said.words == words(*range(15)) and len(run.said.of(Final)) == 1
    assert run.said.of(Final)[0].provider == "windows"


async def test_a_lost_stream_is_taken_up_by_another(rig: RigOf) -> None:
    """It is fed the utterances again that were not completed, from their first samples."""
    run = rig(("one", "two"))
    await run.play(joined(speak([1, 2]), PAUSE, speak([3, 4]), PAUSE, speak([5])), answering=False)
    lost = run.puppets["one"].stream
    lost.complete()
    await run.lose("one")
    assert lost.closed and run.puppets["two"].stream.waiting == [0]
    await run.play(joined(speak([6]), PAUSE))
    await run.finish()
    assert run.said.words == words(1, 2, 3, 4, 5, 6)
    assert run.said.changes == [("two", "broken")]


async def test_what_a_lost_stream_says_late_is_ignored(rig: RigOf) -> None:
    """Whatever it is."""
    run = rig()
    await run.play(speak([1]), answering=False)
    lost = run.puppets["stream"].stream
    await run.lose("stream")
    for spoken in (Heard(0, ("late",), (), 5), Completed(0, heard_in(speak([9]))), Lost(ProviderError("x"))):
        lost.say(spoken)
    await run.play(PAUSE)
    await run.finish()
    assert run.said.words == words(1) and len(run.said.changes) == 1
    assert not [partial for partial in run.said.of(Partial) if "late" in partial.stable]


async def test_a_stream_that_is_refused_is_not_opened_again(rig: RigOf) -> None:
    """Its utterances fail at once, as do those that come later: it would be refused again."""
    run = rig(("stream",))
    await run.play(joined(speak([1]), PAUSE, speak([2]), PAUSE), answering=False)
    run.puppets["stream"].stream.say(Lost(StreamRefused("no German here"), 0))
    await settle()
    assert len(run.said.of(Dropped)) == 2
    await run.play(joined(speak([3]), PAUSE))
    assert ["no German here" in each.reason for each in run.said.of(Dropped)] == [True] * 3
    assert len(run.puppets["stream"].streams) == 1
    await run.finish()


async def test_a_lone_stream_that_is_lost_is_opened_again(rig: RigOf) -> None:
    """Where nobody stands in, another stream of the same provider takes the utterance up, a moment later."""
    run = rig(("stream",))
    await run.play(speak(range(5)))
    await run.lose("stream")
    assert not run.live
    await run.play(speak(range(5, 8)))
    assert len(run.live) == 1
    await run.play(PAUSE)
    await run.finish()
    assert run.said.words == words(*range(8)) and not run.said.changes
    assert len(run.puppets["stream"].streams) == 2


@pytest.mark.parametrize("ended", [True, False])
async def test_an_utterance_that_breaks_every_stream_is_declared(rig: RigOf, ended: bool) -> None:
    """After so many attempts its audio is a drop with the reason, also where it had not ended by then; the
    next comes as usual."""
    run = rig(("stream",))
    await run.play(joined(speak([1]), PAUSE if ended else silence(0)), answering=False)
    for number in range(3):
        await run.lose("stream", f"broken {number}")
        await asyncio.sleep(2)
    assert not run.live and bool(run.said.of(Dropped)) is ended
    await run.play(joined(PAUSE, speak([2]), PAUSE))
    await run.finish()
    (dropped,) = run.said.of(Dropped)
    assert dropped.reason == "broken 2" and run.said.words == words(2)
    assert_accounted(run.said.events, run.fed_samples)


async def test_one_utterance_that_cannot_be_finished_costs_one(rig: RigOf) -> None:
    """Those behind it in the same stream are not charged with its failures."""
    run = rig(("stream",))
    await run.play(joined(*(part for n in range(6) for part in (speak([n]), PAUSE))), answering=False)
    for _ in range(3):
        stream = run.puppets["stream"].stream
        assert len(stream.waiting) == 6
        await run.lose("stream", "cannot finish w0", stream.waiting[0])
        await asyncio.sleep(10)
    await run.answer_all()
    await run.finish()
    (dropped,) = run.said.of(Dropped)
    assert (dropped.utterance, dropped.reason) == (0, "cannot finish w0")
    assert run.said.words == words(1, 2, 3, 4, 5)


@pytest.mark.parametrize("number", [None, 0, 2, 99, -1])
async def test_the_utterance_that_a_loss_names_is_charged(rig: RigOf, number: int | None) -> None:
    """The oldest where it names none, or one that it has not got."""
    run = rig(("stream",))
    await run.play(joined(*(part for n in range(3) for part in (speak([n]), PAUSE))), answering=False)
    for _ in range(3):
        await run.lose("stream", "broken", number)
        await asyncio.sleep(10)
    await run.finish()
    (dropped,) = run.said.of(Dropped)
    assert dropped.utterance == (2 if number == 2 else 0)


async def test_a_stream_lost_between_utterances_is_replaced(rig: RigOf) -> None:
    """Nothing was lost with it, nothing is said, and no other is opened before the next utterance."""
    run = rig(("stream",))
    await run.play(joined(speak([1]), PAUSE))
    await run.lose("stream")
    await asyncio.sleep(60)
    assert not run.live
    await run.play(joined(speak([2]), PAUSE))
    await run.finish()
    assert run.said.words == words(1, 2) and len(run.puppets["stream"].streams) == 2


async def test_a_lone_provider_that_is_always_lost_is_left_alone_longer_and_longer(rig: RigOf) -> None:
    """Its streams are opened less and less often, and what waits for it is given up with the reason."""
    run = rig(("stream",))
    started_s, opened_s = asyncio.get_running_loop().time(), list[float]()
    for number in range(8):
        await run.play(joined(speak([number]), PAUSE), answering=False)
    for _ in range(60_000):
        if run.live:
            opened_s.append(asyncio.get_running_loop().time() - started_s)
            await run.lose("stream", f"loss {len(opened_s)}")
        if not run.session.pending_samples > 8000:
            break
        await asyncio.sleep(0.01)
    gaps_s = [later - sooner for sooner, later in pairwise(opened_s)]
    assert len(opened_s) == 3 * 8  # as many as each may break
    assert gaps_s[:6] == sorted(gaps_s[:6]) and max(gaps_s) < 8.5 and min(gaps_s[6:]) > 7.5
    await run.finish()
    assert len(run.said.of(Dropped)) == 8 and not run.said.of(Final)


async def test_an_utterance_that_is_completed_makes_losses_forgotten() -> None:
    """The next loss of a lone provider is waited out for as short a time as the first."""
    puppet = Puppet()
    alone = Alone(puppet)
    for _ in range(5):
        alone.utterance(1)
        for _ in range(2):
            puppet.stream.lose("broken", 0)
            await settle()
            assert not puppet.live
            await asyncio.sleep(0.8)
        puppet.stream.complete()
        await settle()
    assert len(alone.said) == 5 and len(puppet.streams) == 5 * 2 + 1
    alone.stream.close()


async def test_losses_without_end_while_idle_cost_nothing() -> None:
    """However often: no utterance is charged, and each next one is taken up."""
    puppet = Puppet()
    alone = Alone(puppet)
    for number in range(1100):
        alone.stream.feed(speak([1]))
        if puppet.live:
            puppet.stream.lose("idle", None)
            await settle()
        alone.stream.drop(number)
        alone.stream.end()
        alone.stream.drop(number)
        await asyncio.sleep(9)
    alone.utterance(2)
    await asyncio.sleep(9)
    puppet.stream.complete()
    await settle()
    assert [spoken.utterance for spoken in alone.said if isinstance(spoken, Completed)] == [1100]
    alone.stream.close()


# Providers that have nothing to offer


async def test_an_utterance_waits_where_nobody_can_take_it_yet(rig: RigOf) -> None:
    """It is taken up, from its first sample and without more audio, when somebody is there."""
    run = rig(("stream",))
    run.puppets["stream"].refusal = ProviderError("still loading")
    await run.play(joined(speak([1]), PAUSE, speak([2])))
    await asyncio.sleep(100)
    asked = run.puppets["stream"].asked
    assert not run.live and asked < 100 * 4 * 2 + 50
    run.puppets["stream"].refusal = None
    await asyncio.sleep(0.3)
    assert len(run.live) == 1
    await run.play(PAUSE)
    await run.finish()
    assert run.said.words == words(1, 2) and not run.said.changes


async def test_patience_ends(rig: RigOf) -> None:
    """What nobody takes is declared dropped in the end, with the reason; what is open not before it ends."""
    run = rig(("stream",))
    run.puppets["stream"].refusal = ProviderError("it never loads")
    await run.play(joined(speak([1, 2]), PAUSE, speak([3])), answering=False)
    await asyncio.sleep(100)
    assert not run.said.of(Dropped)
    await asyncio.sleep(30)
    assert [drop.reason for drop in run.said.of(Dropped)] == ["stream: it never loads"]
    run.session.finish()
    await asyncio.sleep(1)
    assert [drop.reason for drop in run.said.of(Dropped)] == ["stream: it never loads"] * 2
    assert isinstance(run.said.events[-1], Finished)


async def test_patience_is_shorter_after_a_failure(rig: RigOf) -> None:
    """Who waits since a stream broke is told of that after half a minute."""
    run = rig(("stream",))
    await run.play(joined(speak([1, 2]), PAUSE), answering=False)
    run.puppets["stream"].refusal = ProviderError("gone")
    await run.lose("stream", "it broke")
    await asyncio.sleep(29)
    assert not run.said.of(Dropped)
    await asyncio.sleep(2)
    assert [drop.reason for drop in run.said.of(Dropped)] == ["it broke"]


async def test_waiting_utterances_are_shed_too(rig: RigOf) -> None:
    """Nobody may keep more audio waiting than the bound."""
    run = rig(("stream",), StreamOptions(max_backlog_s=3.0))
    run.puppets["stream"].refusal = ProviderError("still loading")
    for number in range(10):
        await run.play(joined(speak([number] * 5), PAUSE))
    assert 0 < len(run.said.of(Dropped)) < 10
    run.puppets["stream"].refusal = None
    await run.finish()
    assert len(run.said.of(Dropped)) + len(run.said.of(Final)) == 10
    assert run.said.words[-5:] == ["w9"] * 5


async def test_who_says_not_now_is_asked_again_for_the_next_utterance(rig: RigOf) -> None:
    """That is no loss: the next in the chain has this utterance, and only this one."""
    run = rig()
    run.puppets["stream"].refusal = ProviderError("no process is warm")
    await run.play(joined(speak([1]), PAUSE))
    run.puppets["stream"].refusal = None
    await run.play(joined(speak([2]), PAUSE))
    await run.finish()
    assert run.said.changes == [("windows", "stream: no process is warm"), ("stream", "provider recovered")]
    assert run.said.words == words(1, 2)


@pytest.mark.parametrize("error", [ModelError("no weights"), ZeroDivisionError("a bug")])
async def test_who_cannot_be_opened_for_another_reason_rests(rig: RigOf, error: Exception) -> None:
    """It is a failure like any other, and ends no session; after the rest it is asked again."""
    run = rig()
    run.puppets["stream"].refusal = error
    await run.play(joined(speak([1]), PAUSE))
    await run.play(joined(speak([2]), PAUSE))
    assert run.puppets["stream"].asked == 1
    run.puppets["stream"].refusal = None
    await asyncio.sleep(31)
    await run.play(joined(speak([3]), PAUSE))
    await run.finish()
    assert run.said.words == words(1, 2, 3)
    assert [name for name, _ in run.said.changes] == ["windows", "stream"]
    assert str(error) in run.said.changes[0][1]


async def test_a_stream_that_breaks_as_it_is_opened_is_lost(rig: RigOf) -> None:
    """The next has the utterance."""
    run = rig()
    puppet = run.puppets["stream"]
    opened = puppet.open

    def broken(request: StreamRequest, say: Callable[[Spoken], None]) -> object:
        stream = opened(request, say)
        stream.breaks_on = "want_partials"
        return stream

    puppet.open = broken  # type: ignore[method-assign, assignment]
    await run.play(joined(speak([1]), PAUSE))
    await run.finish()
    assert run.said.words == words(1) and puppet.streams[0].closed
    assert run.said.changes == [("windows", "stream: the pipe is full")]


# Coming back


async def test_who_was_lost_comes_back_with_an_utterance_when_it_has_rested(rig: RigOf) -> None:
    """Not in the middle of one."""
    run = rig()
    await run.play(speak([1]))
    await run.lose("stream")
    await run.play(joined(PAUSE, speak([2]), PAUSE, speak([3])))
    await asyncio.sleep(60)
    await run.play(joined(speak([4]), PAUSE))
    assert run.said.changes == [("windows", "broken")]
    await run.play(joined(speak([5]), PAUSE))
    assert run.said.changes[1:] == [("stream", "provider recovered")]
    await run.finish()
    assert run.said.words == words(1, 2, 3, 4, 5)


async def test_an_idle_stream_of_one_who_stood_in_is_closed(rig: RigOf) -> None:
    """When the better one is back; what it still had to complete is completed first."""
    run = rig(("one", "two"))
    run.puppets["one"].refusal = ProviderError("not now")
    await run.play(joined(speak([1]), PAUSE), answering=False)
    run.puppets["one"].refusal = None
    await run.play(joined(speak([2]), PAUSE), answering=False)
    assert len(run.puppets["two"].live) == 1
    await run.answer_all()
    await run.play(joined(speak([3]), PAUSE))
    assert not run.puppets["two"].live
    await run.finish()
    assert run.said.words == words(1, 2, 3)


async def test_of_three_the_best_that_is_well_takes_over(rig: RigOf) -> None:
    """With the reason of the change, whoever it is from."""
    run = rig(("one", "two", "three"))
    await run.play(speak([1]), answering=False)
    await run.lose("one", "one broke")
    await run.lose("two", "two broke")
    await run.play(joined(speak([2]), PAUSE))
    assert run.said.changes == [("two", "one broke"), ("three", "two broke")]
    await run.play(joined(speak([3]), PAUSE))
    assert len(run.said.changes) == 2
    await asyncio.sleep(30)
    run.puppets["one"].refusal = ProviderError("one is busy")
    await run.play(joined(speak([4]), PAUSE))
    assert run.said.changes[2:] == [("two", "one: one is busy")]
    await run.finish()
    assert run.said.words == words(1, 2, 3, 4)


# Failures of one utterance


async def test_a_window_that_fails_goes_to_the_next(rig: RigOf) -> None:
    """Before it is declared dropped; an error about this audio alone does not keep others from the first."""
    run = rig(("windows", "stream"), FINALS_ONLY)
    await run.play(joined(speak([1]), PAUSE), answering=False)
    run.decoder.waiting[0].answer(WorkerCrashed("gave up after 3 attempts"))
    await settle()
    assert run.said.changes == [("stream", "gave up after 3 attempts")]
    await run.play(joined(speak([2]), PAUSE), answering=False)
    assert run.said.changes[1:] == [("windows", "provider recovered")]
    await run.finish()
    assert run.said.words == words(1, 2) and not run.said.of(Dropped)


async def test_a_provider_that_cannot_run_is_left_alone(rig: RigOf) -> None:
    """Weights that do not load are not tried for each utterance."""
    run = rig(("windows", "stream"), FINALS_ONLY)
    await run.play(joined(speak([1]), PAUSE), answering=False)
    run.decoder.waiting[0].answer(ModelError("no such weights"))
    await settle()
    await run.play(joined(speak([2]), PAUSE))
    await run.finish()
    assert run.said.words == words(1, 2) and len(run.said.changes) == 1


async def test_an_utterance_that_everybody_fails_with_is_declared(rig: RigOf) -> None:
    """With the last reason; the stream that said so goes on."""
    run = rig(("windows", "stream"), FINALS_ONLY)
    await run.play(joined(speak([1]), PAUSE), answering=False)
    run.decoder.waiting[0].answer(DecodeError("refused"))
    await settle()
    stream = run.puppets["stream"].stream
    for number in range(3):
        stream.fail(DecodeError(f"no {number}"))
        await settle()
    await run.finish()
    assert [drop.reason for drop in run.said.of(Dropped)] == ["no 2"]
    assert len(run.puppets["stream"].streams) == 1


@pytest.mark.parametrize("error", [DecodeError("refused"), QueueFull("too much"), KeyError("a bug")])
async def test_a_lone_window_that_fails_is_declared_at_once(rig: RigOf, error: Exception) -> None:
    """Since its pool has tried again by itself; the next utterance is asked of it as usual."""
    run = rig(("windows",), FINALS_ONLY)
    await run.play(joined(speak([1]), PAUSE, speak([2]), PAUSE), answering=False)
    run.decoder.waiting[0].answer(error)
    await run.finish()
    assert [drop.reason for drop in run.said.of(Dropped)] == [str(error)]
    assert run.said.words == words(2)


async def test_a_failed_window_waits_for_the_stream_that_hears_another_utterance(rig: RigOf) -> None:
    """Its audio is not fed into the middle of that one."""
    run = rig(("stream", "windows"), FINALS_ONLY)
    run.puppets["stream"].refusal = ProviderError("not now")
    await run.play(joined(speak([1]), PAUSE), answering=False)
    run.puppets["stream"].refusal = None
    await run.play(speak([2]), answering=False)
    run.decoder.waiting[0].answer(DecodeError("refused"))
    await settle()
    assert not run.puppets["stream"].stream.waiting
    await run.play(joined(speak([3]), PAUSE), answering=False)
    assert len(run.puppets["stream"].stream.waiting) == 2
    await run.finish()
    assert run.said.words == words(1, 2, 3)


# Streams that misbehave


@pytest.mark.parametrize("kind", [Completed, Failed])
async def test_a_stream_that_answers_for_an_open_utterance_is_lost(rig: RigOf, kind: type) -> None:
    """It is closed, and the utterance taken up by another."""
    run = rig()
    await run.play(speak([1]), answering=False)
    stream = run.puppets["stream"].stream
    stream.say(kind(0, heard_in(silence(0)) if kind is Completed else DecodeError("no")))
    await settle()
    assert stream.closed
    assert run.said.changes == [("windows", "it completed an utterance that had not ended")]
    await run.play(PAUSE)
    await run.finish()
    assert run.said.words == words(1)


async def test_what_it_says_of_unknown_utterances_is_ignored(rig: RigOf) -> None:
    """So is a change of provider that only a fail-over can say."""
    run = rig()
    await run.play(joined(speak([1]), PAUSE), answering=False)
    stream = run.puppets["stream"].stream
    stream.complete()
    for number in (-1, 0, 99):
        stream.say(Heard(number, ("w",), (), 1))
        stream.say(Completed(number, heard_in(speak([9]))))
    stream.say(Switched("somebody", "why not"))
    await run.finish()
    assert run.said.words == words(1) and not run.said.of(Partial) and not run.said.changes


@pytest.mark.parametrize("method", ["feed", "pause", "end", "close"])
@pytest.mark.parametrize("error", [ProviderError("the pipe is full"), OSError("gone")])
async def test_a_stream_whose_methods_raise_is_lost(rig: RigOf, method: str, error: Exception) -> None:
    """Whatever it raises, and where: others take the utterance up, and the session goes on."""
    run = rig()
    await run.play(speak([1]), answering=False)
    stream = run.puppets["stream"].stream
    stream.breaks_on, stream.error = method, error
    if method == "close":
        await run.lose("stream", str(error))
    await run.play(joined(speak([2]), PAUSE))
    await run.finish()
    assert stream.closed and run.said.words == words(1, 2)
    assert str(error) in run.said.changes[0][1] and len(run.said.changes) == 1


async def test_streams_that_raise_one_after_the_other(rig: RigOf) -> None:
    """Of all providers, within one call: the utterances wait, each once, and nobody is asked in a loop."""
    run = rig(("one", "two"))
    for puppet in run.puppets.values():
        puppet.open = breaking(puppet)  # type: ignore[method-assign]
    audio = joined(speak([1]), PAUSE, speak([2]), PAUSE)
    run.session.feed(audio)
    await settle()
    assert [puppet.asked for puppet in run.puppets.values()] == [1, 1] and not run.live
    for puppet in run.puppets.values():
        del puppet.open
    await run.finish()
    assert run.said.words == words(1, 2)


def breaking(puppet: Puppet) -> Callable[..., object]:
    opened = puppet.open

    def open_(request: StreamRequest, say: Callable[[Spoken], None]) -> object:
        stream = opened(request, say)
        stream.breaks_on = "feed"
        return stream

    return open_


# What is passed on


async def test_partials_are_as_frequent_as_wanted_whoever_is_asked(rig: RigOf) -> None:
    """What is wanted is told to streams that are open, and to those that are opened later."""
    run = rig(("one", "two"))
    await run.play(speak([1]))
    assert run.puppets["one"].stream.factor == 1.0
    run.session.show_partials(2.0)
    assert run.puppets["one"].stream.factor == 2.0
    await run.lose("one")
    assert run.puppets["two"].stream.factor == 2.0
    run.session.show_partials(None)
    assert run.puppets["two"].stream.factor is None


async def test_where_finals_only_are_asked_for_no_partials_are_wanted(rig: RigOf) -> None:
    """Whatever is said later."""
    run = rig(("stream",), FINALS_ONLY)
    run.session.show_partials(1.0)
    await run.play(speak([1]))
    assert run.puppets["stream"].stream.factor is None
    run.session.show_partials(2.0)
    assert run.puppets["stream"].stream.factor is None


async def test_a_stream_that_cannot_be_told_how_often_is_lost(rig: RigOf) -> None:
    """And the session goes on with another."""
    run = rig()
    await run.play(speak([1]))
    run.puppets["stream"].stream.breaks_on = "want_partials"
    run.session.show_partials(2.0)
    await run.play(joined(speak([2]), PAUSE))
    await run.finish()
    assert run.said.words == words(1, 2) and run.said.changes == [("windows", "the pipe is full")]


@pytest.mark.parametrize("seed", range(4))
async def test_streams_at_work_that_break_at_any_moment(seed: int) -> None:
    """Two streaming providers that break again and again, with windows behind: every word comes once."""
    dice, said, spoken = random.Random(seed), Listener(), list[str]()
    one, two = (
        ScriptedStream(StreamScript(tuple(dice.uniform(0.1, 3.0) for _ in range(30)))) for _ in range(2)
    )
    two.name = "two"
    clock = asyncio.get_running_loop().time
    soon = ChainOptions(retry_s=0.01, growth=1.0, max_retry_s=0.01)
    fallback = Fallback([one, two, windowed(Decoder(answering=True))], soon, clock)
    session, fed_samples = Session(LevelDetector(), StreamOptions(), fallback, said), 0
    for number in range(20):
        numbers = range(20 * number, 20 * number + dice.randint(1, 15))
        spoken += words(*numbers)
        audio = joined(speak(numbers), silence(0.7))
        fed_samples += len(audio)
        for at in range(0, len(audio), 1600):
            session.feed(audio[at : at + 1600])
            await asyncio.sleep(0.1)
    session.finish()
    await session.wait_ended()
    assert one.opened > 2 and two.opened > 2 and (one.streams, two.streams) == (0, 0)
    assert said.words == spoken and not said.of(Dropped) and said.changes
    assert_accounted(said.events, fed_samples)
    await fallback.close()
    assert not others()


# The stream by itself


class Alone:
    """A fail-over stream without a session."""

    def __init__(self, *puppets: Puppet) -> None:
        self.said: list[Spoken] = []
        self.fallback = Fallback(puppets, clock=asyncio.get_running_loop().time)
        request = StreamRequest(DecodeOptions(), pacing=PacingOptions())
        self.stream = FailoverStream(self.fallback, request, self.said.append)

    def utterance(self, *numbers: int) -> None:
        if numbers:
            self.stream.feed(speak(numbers))
        self.stream.end()


async def test_an_utterance_without_audio_is_completed() -> None:
    """It has a number like any other."""
    puppet = Puppet()
    alone = Alone(puppet)
    alone.utterance()
    alone.utterance(1)
    puppet.stream.complete()
    puppet.stream.complete()
    await settle()
    assert [spoken.utterance for spoken in alone.said if isinstance(spoken, Completed)] == [0, 1]
    alone.stream.close()


async def test_a_pause_where_nothing_was_fed_is_nothing() -> None:
    """Nobody is opened for it, nor told of it while an utterance waits."""
    puppet = Puppet(refusal=ProviderError("not now"))
    alone = Alone(puppet)
    alone.stream.pause(1.0)
    assert not puppet.asked
    alone.stream.feed(speak([1]))
    alone.stream.pause(1.0)
    puppet.refusal = None
    await asyncio.sleep(1)
    assert not puppet.stream.pauses_s
    alone.stream.close()


async def test_what_is_dropped_is_forgotten() -> None:
    """Whether a stream has it, by its own number there, or it waits; nothing is said of it."""
    puppet = Puppet()
    alone = Alone(puppet)
    for number in range(3):
        alone.utterance(number)
    puppet.stream.lose("broken", 0)
    await settle()
    alone.stream.drop(1)
    await asyncio.sleep(1)
    alone.stream.drop(1)
    alone.stream.drop(77)
    assert puppet.stream.waiting == [0, 1]
    alone.stream.drop(2)
    assert puppet.stream.dropped == [1]
    puppet.stream.complete(0)
    await settle()
    assert [spoken.utterance for spoken in alone.said if isinstance(spoken, Completed)] == [0]
    alone.stream.close()


async def test_a_stream_whose_drop_raises_is_lost() -> None:
    """The others of its utterances are taken up again."""
    puppet = Puppet()
    alone = Alone(puppet)
    alone.utterance(1)
    alone.utterance(2)
    puppet.stream.breaks_on = "drop"
    alone.stream.drop(0)
    await asyncio.sleep(1)
    assert len(puppet.streams) == 2 and puppet.stream.waiting == [0]
    alone.stream.close()


async def test_who_waits_is_served_before_the_next_utterance() -> None:
    """As soon as anything is done with the stream, not only when it is time to ask again."""
    puppet = Puppet(refusal=ProviderError("not now"))
    alone = Alone(puppet)
    alone.utterance(1)
    puppet.refusal = None
    alone.stream.feed(speak([2]))
    assert puppet.stream.waiting == [0] and len(puppet.stream.audio(1))
    alone.stream.close()


async def test_who_waits_for_a_busy_stream_is_served_at_its_next_end() -> None:
    """Without time passing."""
    puppet = Puppet()
    alone = Alone(puppet)
    alone.utterance(1)
    alone.stream.feed(speak([2]))
    puppet.stream.fail(DecodeError("once more"))
    await settle()
    assert not puppet.stream.waiting
    alone.stream.end()
    assert puppet.stream.waiting == [1, 2]
    alone.stream.close()


async def test_a_stream_that_breaks_in_the_middle_of_a_replay_is_given_no_more() -> None:
    """Of what had waited for it."""
    puppet = Puppet(refusal=ProviderError("not now"))
    alone = Alone(puppet)
    for number in range(3):
        alone.stream.feed(speak([number]))
    puppet.refusal, opened = None, puppet.open
    puppet.open = breaking(puppet)  # type: ignore[method-assign]
    alone.stream.end()
    assert [stream.closed for stream in puppet.streams] == [True]
    puppet.open = opened  # type: ignore[method-assign]
    await asyncio.sleep(1)
    assert puppet.stream.waiting == [0] and len(puppet.stream.audio(0)) == 3 * 3200
    alone.stream.close()


async def test_nobody_is_asked_after_close() -> None:
    """For what had waited until then."""
    puppet = Puppet(refusal=ProviderError("not now"))
    alone = Alone(puppet)
    alone.utterance(1)
    alone.stream.close()
    puppet.refusal, asked = None, puppet.asked
    await asyncio.sleep(10)
    assert puppet.asked == asked and not puppet.streams


async def test_who_waits_behind_a_loss_is_told_of_it() -> None:
    """If it ends there, although its own provider never failed with it."""
    puppet = Puppet()
    alone = Alone(puppet)
    alone.utterance(1)
    alone.utterance(2)
    puppet.stream.lose("it broke", 0)
    await settle()
    await alone.fallback.close()
    await asyncio.sleep(1)
    assert [str(spoken.error) for spoken in alone.said] == ["it broke", "stream: it broke"]  # type: ignore[union-attr]
    alone.stream.close()


async def test_nothing_is_said_from_within_a_call() -> None:
    """Nor after close, not even what was to be said in that moment."""
    puppet = Puppet()
    alone = Alone(puppet)
    alone.utterance(1)
    stream = puppet.stream
    stream.complete()
    assert not alone.said
    await settle()
    assert len(alone.said) == 1
    alone.utterance(2)
    stream.complete()
    alone.stream.close()
    alone.stream.close()
    await settle()
    assert len(alone.said) == 1 and stream.closed


async def test_after_the_providers_are_closed_everything_fails() -> None:
    """What waits then and what comes later is told so; nobody is opened."""
    puppet = Puppet(refusal=ProviderError("still loading"))
    alone = Alone(puppet)
    alone.utterance(1)
    await alone.fallback.close()
    await asyncio.sleep(1)
    asked = puppet.asked
    alone.utterance(2)
    await settle()
    assert [type(spoken) for spoken in alone.said] == [Failed, Failed] and puppet.asked == asked
    assert str(alone.said[0].error) == "stream: still loading"  # type: ignore[union-attr]
    alone.stream.close()


async def test_the_reason_of_a_wait_does_not_grow() -> None:
    """However often a provider that was just lost is asked again."""
    puppet = Puppet()
    alone = Alone(puppet)
    for _ in range(8):
        alone.utterance(1)
        await asyncio.sleep(10)
        puppet.stream.lose("it broke", 0)
        await settle()
    puppet.refusal = ProviderError("gone")
    alone.utterance(2)
    await asyncio.sleep(200)
    reasons = {str(spoken.error) for spoken in alone.said if isinstance(spoken, Failed)}
    assert reasons <= {"it broke", "stream: gone"}
    alone.stream.close()


# Whatever happens

ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("speak"), st.integers(1, 25)),
        st.tuples(st.just("silence"), st.integers(1, 1500)),
        st.tuples(st.just("burst"), st.integers(1, 25)),
        st.tuples(st.just("flush"), st.just(0)),
        st.tuples(st.just("skip"), st.integers(1, 20_000)),
        st.tuples(st.just("wait"), st.integers(1, 60)),
        st.tuples(st.just("refuse"), st.integers(0, 3)),
        st.tuples(st.just("fail"), st.integers(0, 3)),
        st.tuples(st.just("load"), st.sampled_from([0, 1, 2])),
    ),
    max_size=14,
)
NAMES = [
    ("stream",),
    ("windows",),
    ("stream", "windows"),
    ("one", "two"),
    ("windows", "stream"),
    ("one", "windows", "two"),
]


@given(actions=ACTIONS, seed=st.integers(0, 2**32), names=st.sampled_from(NAMES))
async def test_the_account_balances_and_no_word_is_lost(
    actions: list[tuple[str, int]], seed: int, names: tuple[str, ...]
) -> None:
    """Whatever the chunks, who is lost, fails or refuses when, and the order in which providers say things.

    The account balances in any case; words are lost only where that is declared, after each provider had its
    attempts; no word is shown twice.
    """
    dice, run = random.Random(seed), Rig(names, SHORT)
    spoken, unspoken = list[str](), set(range(4096))
    for action, amount in actions:
        if action in ("speak", "burst"):
            numbers = dice.sample(sorted(unspoken), amount)
            unspoken -= set(numbers)
            spoken += words(*numbers)
            if action == "speak":
                await run.play_at_random(speak(numbers), dice)
            else:  # an utterance, and the pause that ends it, at once
                await run.play(joined(PAUSE, speak(numbers), PAUSE), answering=False, chunk_samples=400_000)
        elif action == "silence":
            await run.play_at_random(silence(amount / 1000), dice)
        elif action == "flush":
            run.session.flush()
        elif action == "skip":
            run.session.skip(amount, "lost")
            run.fed_samples += amount
        elif action == "wait":
            await asyncio.sleep(amount)
        elif action == "refuse":
            for number, puppet in enumerate(run.puppets.values()):
                puppet.refusal = ProviderError("not now") if amount >> number & 1 else None
        elif action == "load":
            run.session.show_partials([None, 1.0, 2.0][amount])
        else:
            fail_at_random(run, dice)
    for puppet in run.puppets.values():
        puppet.refusal = None
    await run.finish()
    assert_accounted(run.said.events, run.fed_samples)
    if not any(drop.utterance is not None for drop in run.said.of(Dropped)):
        assert run.said.words == spoken
    check_events(run.said.events)
    await check_closed(run)


def fail_at_random(run: Rig, dice: random.Random) -> None:
    """Somebody fails with an utterance."""
    error = dice.choice([DecodeError("no"), ProviderError("cannot run"), QueueFull("full")])
    for decoder in run.decoders.values():
        if decoder.waiting:
            dice.choice(decoder.waiting).answer(error)
    for stream in run.live:
        if stream.waiting:
            stream.fail(error)


def check_events(events: list[Event]) -> None:
    """Each utterance starts, ends and is answered once, and no word is shown twice."""
    for kinds in ((SpeechStarted,), (SpeechEnded,), (Final, Dropped)):
        numbers = [event.utterance for event in events if isinstance(event, kinds)]  # type: ignore[union-attr]
        told = [number for number in numbers if number is not None]
        assert told == list(range(len(told)))
    for event in events:
        if isinstance(event, Partial):
            shown = event.stable.split()
            assert len(set(shown)) == len(shown)
