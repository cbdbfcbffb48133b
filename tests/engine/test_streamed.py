"""The live stream over streaming providers: what is fed, what is said, and what happens when one is lost."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrctl.engine.stream import StreamOptions
from asrctl.engine.streamed import Alone
from asrctl.errors import DecodeError, ModelError, ProviderError, WorkerCrashed
from asrctl.policy.endpointing import FRAME_SAMPLES, EndpointerOptions
from asrctl.providers.base import Completed, DecodeOptions, Heard
from asrctl.stream.events import Dropped, Event, Final, Partial, ProviderChanged, SpeechStarted
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis
from tests.engine.streams import silence, speak
from tests.engine.voices import VoiceRig, voice_rig

SHORT = StreamOptions(endpointing=EndpointerOptions(overlong_s=4.0, max_utterance_s=8.0))
PAUSE = silence(1)


def words(*numbers: int) -> list[str]:
    return [f"w{number}" for number in numbers]


def changes(run: VoiceRig) -> list[tuple[str, str]]:
    return [(event.provider, event.reason) for event in run.events if isinstance(event, ProviderChanged)]


def finals(run: VoiceRig) -> list[Final]:
    return cast("list[Final]", run.of(Final))


def partials(run: VoiceRig) -> list[Partial]:
    return cast("list[Partial]", run.of(Partial))


def kinds(run: VoiceRig) -> list[type[Event]]:
    return [type(event) for event in run.events]


# What is fed and said


def test_an_utterance_is_fed_as_it_is_spoken() -> None:
    """Samples go to the session frame by frame from the onset on, padding too, and partials come back."""
    run = voice_rig()
    run.play(np.concatenate([silence(1), speak(range(10))]), 320)
    session = run.puppets["stream"].session
    assert 32_000 - 512 - 320 <= session.fed_samples - 7 * FRAME_SAMPLES <= 32_000
    assert kinds(run)[0] is SpeechStarted and not run.waiting
    stable = partials(run)[-1].stable.split()
    assert len(stable) >= 8 and stable == words(*range(len(stable)))
    run.play(PAUSE)
    run.finish()
    assert run.words == words(*range(10))
    (final,) = finals(run)
    assert abs(final.segment.start_s - 1.0) < 0.05 and abs(final.segment.end_s - 2.98) < 0.05


def test_exactly_the_utterances_are_fed() -> None:
    """Neither the silence between them nor the rest of the pause that ends one: each sample at most once."""
    run = voice_rig()
    run.play(np.concatenate([silence(3), speak(range(5)), silence(3), speak(range(5, 8)), silence(3)]), 160)
    run.finish()
    spans = [(final.start_sample, final.end_sample) for final in finals(run)]
    assert len(spans) == 2
    assert run.puppets["stream"].sessions[0].fed_samples == sum(end - start for start, end in spans)
    assert len(run.puppets["stream"].sessions) == 1


def test_a_short_pause_is_fed_when_speech_goes_on() -> None:
    """What was held back in a pause that ends nothing is not lost."""
    run = voice_rig()
    run.play(np.concatenate([speak(range(5)), silence(0.4), speak(range(5, 10)), PAUSE]), 160)
    run.finish()
    assert run.words == words(*range(10)) and len(finals(run)) == 1


def test_a_word_is_settled_when_something_follows_it() -> None:
    """Its letters are shown as they come, but may be finished by another provider until then."""
    run = voice_rig()
    run.play(speak(range(10)), answering=False)
    session = run.puppets["stream"].session
    for piece in (" w", "0 ", "w1", " w", "2"):
        session.say(Heard(piece))
    run.listen_to_all()
    shown = [(event.stable, event.unstable) for event in partials(run)]
    assert shown == [("", "w"), ("w0", ""), ("w0", "w1"), ("w0 w1", "w"), ("w0 w1", "w2")]


def test_partials_can_be_switched_off() -> None:
    """Then nothing but finals is said."""
    run = voice_rig()
    run.stream.partials = False
    run.play(np.concatenate([speak(range(10)), PAUSE]))
    run.finish()
    assert run.words == words(*range(10)) and not partials(run)


@pytest.mark.parametrize(("factor", "interval_s"), [(2.0, 2.0), (4.0, 4.0)])
def test_partials_are_rarer_on_a_rung(factor: float, interval_s: float) -> None:
    """As rare as those that windows are decoded for, with all that was heard; the final has every word."""
    run, usual = voice_rig(), voice_rig()
    run.stream.pacer.factor = factor
    audio = np.concatenate([speak(range(60)), PAUSE])
    for each in (run, usual):
        each.play(audio)
        each.finish()
        assert each.words == words(*range(60))
    ends_s = [partial.end_s for partial in partials(run)]
    assert ends_s[0] - partials(run)[0].start_s >= 0.7 * factor
    assert all(later - sooner >= interval_s for sooner, later in pairwise(ends_s))
    assert len(ends_s) == pytest.approx(12 / interval_s, abs=1)
    assert len(partials(usual)) > 5 * len(ends_s)
    said = {partial.end_s: f"{partial.stable} {partial.unstable}".split() for partial in partials(usual)}
    for partial in partials(run):
        assert f"{partial.stable} {partial.unstable}".split() == said[partial.end_s]
    assert finals(run) == finals(usual) and run.stream.account == usual.stream.account


def test_partials_are_frequent_again_when_the_load_is_over() -> None:
    """From the next word on, in the middle of an utterance."""
    run = voice_rig()
    run.stream.pacer.factor = 4.0
    run.play(speak(range(10)))
    assert not partials(run)
    run.stream.pacer.factor = 1.0
    run.play(speak(range(10, 12)))
    assert len(partials(run)) >= 2


def test_the_next_utterance_does_not_wait_for_the_last_ones_words() -> None:
    """Several may wait to be completed; their finals come in order."""
    run = voice_rig()
    run.play(np.concatenate([speak([1]), PAUSE, speak([2]), PAUSE, speak([3])]), answering=False)
    session = run.puppets["stream"].session
    assert len(session.ended) == 2 and not finals(run)
    session.hear()
    run.listen_to_all()
    assert not partials(run)  # a newer utterance is open: what is shown would jump back
    session.finish()
    run.listen_to_all()
    assert run.words == ["w1"]
    run.finish()
    assert run.words == ["w1", "w2", "w3"]


def test_an_overlong_utterance_is_cut_where_it_is_quiet() -> None:
    """No word is lost, doubled or torn where speech goes on without a pause, and each sample is fed once."""
    run = voice_rig(options=SHORT)
    run.play(np.concatenate([speak(range(200)), PAUSE]), 512)
    run.finish()
    assert run.words == words(*range(200))
    lengths_s = [(final.end_sample - final.start_sample) / SAMPLE_RATE_HZ for final in finals(run)]
    assert len(lengths_s) > 4 and max(lengths_s) <= 8 and min(lengths_s[:-1]) >= 4
    fed = run.puppets["stream"].sessions[0].fed_samples
    assert fed == sum(final.end_sample - final.start_sample for final in finals(run))


def test_flush_completes_what_is_open() -> None:
    """The final comes without more audio."""
    run = voice_rig()
    run.play(speak([1, 2, 3]))
    run.take(run.stream.flush())
    run.answer_all()
    assert run.words == words(1, 2, 3) and run.stream.account.pending_samples == 0


def test_a_backlog_of_streamed_utterances_is_bounded() -> None:
    """Beyond the bound the oldest is declared dropped; what the session says of it later is nobody's."""
    run = voice_rig(options=StreamOptions(max_backlog_s=3.0))
    for number in range(10):
        run.play(np.concatenate([speak([number] * 5), PAUSE]), answering=False)
    run.finish()
    assert run.words[-5:] == ["w9"] * 5
    assert 0 < len(run.of(Dropped)) < 10
    assert len(run.of(Dropped)) + len(run.of(Final)) == 10


# Losses


def test_a_lost_stream_is_taken_up_by_windows() -> None:
    """In the middle of an utterance: the whole of it is decoded, what was shown stays, the change is said."""
    run = voice_rig()
    run.play(speak(range(10)))
    shown = partials(run)[-1].stable
    assert len(shown.split()) > 5
    run.puppets["stream"].session.lose("the process died")
    run.listen_to_all()
    assert changes(run) == [("windows", "the process died")]
    run.play(np.concatenate([speak(range(10, 15)), PAUSE]))
    run.finish()
    assert run.words == words(*range(15)) and len(finals(run)) == 1
    assert all(event.stable.startswith(shown) for event in partials(run) if event.stable > shown)
    assert not run.live


def test_a_lost_stream_is_taken_up_by_another() -> None:
    """It is fed the utterances again that were not completed, from their first samples."""
    run = voice_rig(("one", "two"))
    run.play(np.concatenate([speak([1, 2]), PAUSE, speak([3, 4]), PAUSE, speak([5])]), answering=False)
    lost = run.puppets["one"].session
    lost.finish()
    run.listen_to_all()
    lost.lose()
    run.listen_to_all()
    assert lost.closed and len(run.puppets["two"].session.ended) == 1
    run.play(np.concatenate([speak([6]), PAUSE]))
    run.finish()
    assert run.words == words(1, 2, 3, 4, 5, 6)
    assert changes(run) == [("two", "broken")]


def test_a_lone_stream_that_is_lost_is_opened_again() -> None:
    """Where nobody stands in, another stream of the same provider takes the utterance up."""
    run = voice_rig(("stream",))
    run.play(speak(range(5)))
    run.puppets["stream"].session.lose()
    run.listen_to_all()
    run.play(np.concatenate([speak(range(5, 8)), PAUSE]))
    run.finish()
    assert run.words == words(*range(8)) and not changes(run)
    assert len(run.puppets["stream"].sessions) == 2


def test_an_utterance_that_breaks_every_stream_is_declared() -> None:
    """After so many attempts its audio is a drop with the reason, and the next comes as usual."""
    run = voice_rig(("stream",))
    run.play(speak([1]))
    for number in range(3):
        run.puppets["stream"].session.lose(f"broken {number}")
        run.listen_to_all()
    assert not run.live
    run.play(np.concatenate([PAUSE, speak([2]), PAUSE]))
    run.finish()
    (dropped,) = cast("list[Dropped]", run.of(Dropped))
    assert dropped.reason == "broken 2" and run.words == ["w2"]


def test_an_utterance_waits_where_nobody_can_take_it_yet() -> None:
    """It is taken up, from its first sample, when somebody is there."""
    run = voice_rig(("stream",))
    run.puppets["stream"].refusal = "still loading"
    run.play(np.concatenate([speak([1]), PAUSE, speak([2])]))
    assert run.stream.awaits_provider and not run.live
    assert run.voices.reason == "stream: still loading"
    run.take(run.stream.retry())
    assert run.stream.awaits_provider
    run.puppets["stream"].refusal = ""
    run.take(run.stream.retry())
    assert not run.stream.awaits_provider
    run.play(PAUSE)
    run.finish()
    assert run.words == words(1, 2)


def test_what_waits_for_nobody_is_declared_in_the_end() -> None:
    """Whoever runs the stream decides when; the reason is why there was nobody."""
    run = voice_rig(("stream",))
    run.puppets["stream"].refusal = "still loading"
    run.play(np.concatenate([speak([1]), PAUSE]))
    run.take(run.stream.finish())
    run.take(run.stream.give_up(run.voices.reason))
    (dropped,) = cast("list[Dropped]", run.of(Dropped))
    assert dropped.reason == "stream: still loading"
    assert run.stream.account.pending_samples == 0 and not run.stream.awaits_provider


def test_waiting_utterances_are_shed_too() -> None:
    """Nobody may keep more audio waiting than the bound."""
    run = voice_rig(("stream",), StreamOptions(max_backlog_s=3.0))
    run.puppets["stream"].refusal = "still loading"
    for number in range(10):
        run.play(np.concatenate([speak([number] * 5), PAUSE]))
    assert 0 < len(run.of(Dropped)) < 10
    run.puppets["stream"].refusal = ""
    run.take(run.stream.retry())
    run.finish()
    assert len(run.of(Dropped)) + len(finals(run)) == 10 and run.words[-5:] == ["w9"] * 5


def test_who_says_not_now_is_asked_again_for_the_next_utterance() -> None:
    """That is no loss: the next in the chain has this utterance, and only this one."""
    run = voice_rig()
    run.puppets["stream"].refusal = "no process is warm"
    run.play(np.concatenate([speak([1]), PAUSE]))
    run.puppets["stream"].refusal = ""
    run.play(np.concatenate([speak([2]), PAUSE]))
    run.finish()
    assert changes(run) == [("windows", "stream: no process is warm"), ("stream", "it can be used again")]
    assert run.words == words(1, 2)


def test_who_was_lost_comes_back_with_an_utterance_when_it_has_rested() -> None:
    """Not in the middle of one."""
    run = voice_rig()
    run.play(speak([1]))
    run.puppets["stream"].session.lose()
    run.listen_to_all()
    run.play(np.concatenate([PAUSE, speak([2]), PAUSE, speak([3])]))
    run.clock.now_s += 60
    run.play(np.concatenate([speak([4]), PAUSE]))
    assert changes(run) == [("windows", "broken")]
    run.play(np.concatenate([speak([5]), PAUSE]))
    assert changes(run)[1:] == [("stream", "it can be used again")]
    run.finish()
    assert run.words == words(1, 2, 3, 4, 5)


def test_an_idle_session_of_one_who_stood_in_is_closed() -> None:
    """When the better one is back; what it still had to complete is completed first."""
    run = voice_rig(("one", "two"))
    run.puppets["one"].refusal = "not now"
    run.play(np.concatenate([speak([1]), PAUSE]), answering=False)
    run.puppets["one"].refusal = ""
    run.play(np.concatenate([speak([2]), PAUSE]), answering=False)
    assert len(run.puppets["two"].live) == 1
    run.answer_all()
    run.play(np.concatenate([speak([3]), PAUSE]))
    assert not run.puppets["two"].live
    run.finish()
    assert run.words == words(1, 2, 3)


def test_a_window_that_fails_goes_to_the_next() -> None:
    """Before it is declared dropped; an error about this audio alone does not keep others from the first."""
    run = voice_rig(("windows", "stream"), StreamOptions(pacing=None))
    run.play(np.concatenate([speak([1]), PAUSE]), answering=False)
    (job,) = run.waiting
    run.answer(job, WorkerCrashed("gave up after 3 attempts"))
    assert changes(run) == [("stream", "gave up after 3 attempts")]
    run.play(np.concatenate([speak([2]), PAUSE]), answering=False)
    assert changes(run)[1:] == [("windows", "it can be used again")]
    run.finish()
    assert run.words == words(1, 2) and not run.of(Dropped)


def test_a_provider_that_cannot_run_is_left_alone() -> None:
    """Weights that do not load are not tried for each utterance."""
    run = voice_rig(("windows", "stream"), StreamOptions(pacing=None))
    run.play(np.concatenate([speak([1]), PAUSE]), answering=False)
    (job,) = run.waiting
    run.answer(job, ModelError("no such weights"))
    run.play(np.concatenate([speak([2]), PAUSE]))
    run.finish()
    assert run.words == words(1, 2) and len(changes(run)) == 1


def test_a_window_that_everybody_fails_with_is_declared() -> None:
    """With the last reason."""
    run = voice_rig(("windows", "stream"), StreamOptions(pacing=None))
    run.play(np.concatenate([speak([1]), PAUSE]), answering=False)
    (job,) = run.waiting
    run.answer(job, DecodeError("refused"))
    for number in range(3):
        run.puppets["stream"].session.lose(f"broken {number}")
        run.listen_to_all()
    run.finish()
    (dropped,) = cast("list[Dropped]", run.of(Dropped))
    assert dropped.reason == "broken 2"


def test_a_failed_window_waits_for_the_session_that_hears_another_utterance() -> None:
    """Its audio is not fed into the middle of that one."""
    run = voice_rig(("stream", "windows"), StreamOptions(pacing=None))
    run.puppets["stream"].refusal = "not now"
    run.play(np.concatenate([speak([1]), PAUSE]), answering=False)
    run.puppets["stream"].refusal = ""
    run.play(speak([2]), answering=False)
    (job,) = run.waiting
    run.answer(job, DecodeError("refused"))
    assert run.stream.awaits_provider
    run.play(np.concatenate([speak([3]), PAUSE]), answering=False)
    assert not run.stream.awaits_provider
    run.finish()
    assert run.words == words(1, 2, 3)


def test_a_session_that_breaks_the_rules_is_lost() -> None:
    """One that completes what has not ended is closed, and the utterance taken up by another."""
    run = voice_rig()
    run.play(speak([1]), answering=False)
    session = run.puppets["stream"].session
    session.say(Completed(Hypothesis((), "en", 0.0)))
    run.listen_to_all()
    assert session.closed and changes(run)[0][0] == "windows"
    session.say(Heard("too late"))
    run.play(PAUSE)
    run.finish()
    assert run.words == ["w1"]


def test_a_session_that_cannot_be_fed_is_lost() -> None:
    """Whatever it raises."""
    for error in (ProviderError("the pipe is full"), OSError("gone")):
        run = voice_rig()
        run.play(speak([1]), answering=False)
        session = run.puppets["stream"].session

        def refuse(_: object, error: Exception = error) -> None:
            raise error

        session.feed = refuse  # type: ignore[method-assign]
        run.play(np.concatenate([speak([2]), PAUSE]))
        run.finish()
        assert session.closed and run.words == words(1, 2)
        assert "the pipe is full" in changes(run)[0][1] or "gone" in changes(run)[0][1]


def test_a_session_lost_between_utterances_is_replaced() -> None:
    """Nothing was lost with it, and nothing is said before the next utterance needs somebody."""
    run = voice_rig(("stream",))
    run.play(np.concatenate([speak([1]), PAUSE]))
    run.puppets["stream"].session.lose()
    run.listen_to_all()
    run.play(np.concatenate([speak([2]), PAUSE]))
    run.finish()
    assert run.words == words(1, 2) and len(run.puppets["stream"].sessions) == 2


def test_by_default_there_is_one_windowed_provider() -> None:
    """Without a name."""
    alone = Alone()
    place = alone.place({}, DecodeOptions())
    assert place is not None and (place.provider, place.voice) == (alone.first, None)


actions = st.lists(
    st.one_of(
        st.tuples(st.just("speak"), st.integers(1, 25)),
        st.tuples(st.just("silence"), st.integers(1, 1500)),
        st.tuples(st.just("burst"), st.integers(1, 25)),
        st.tuples(st.just("flush"), st.just(0)),
        st.tuples(st.just("skip"), st.integers(1, 20_000)),
        st.tuples(st.just("wait"), st.integers(1, 60)),
        st.tuples(st.just("refuse"), st.integers(0, 3)),
    ),
    max_size=14,
)
LINEUPS = [
    ("stream",),
    ("stream", "windows"),
    ("one", "two"),
    ("windows", "stream"),
    ("one", "windows", "two"),
]


@given(actions=actions, seed=st.integers(0, 2**32), lineup=st.sampled_from(LINEUPS), failures=st.booleans())
@settings(max_examples=250, deadline=None)
def test_losses_at_any_moment_lose_no_word_and_repeat_none(
    actions: list[tuple[str, int]], seed: int, lineup: tuple[str, ...], failures: bool
) -> None:
    """Whatever the chunks, who is lost or refuses when, and the order in which providers say things.

    `Rig` checks after every call that nothing is negative, that stable text only grows and that finals and
    drops come in order without overlap. The books balance in any case; words are lost only where that is
    declared, after each provider had its attempts.
    """
    dice = random.Random(seed)
    run, spoken, unspoken = voice_rig(lineup, SHORT), list[str](), set(range(4096))
    fed_samples = 0
    for action, amount in actions:
        if action in ("speak", "burst"):
            numbers = dice.sample(sorted(unspoken), amount)
            unspoken -= set(numbers)
            spoken += words(*numbers)
            samples = speak(numbers)
            if action == "speak":
                run.play_at_random(samples, dice)
            else:  # an utterance, and the pause that ends it, at once
                samples = np.concatenate([PAUSE, samples, PAUSE])
                run.take(run.stream.feed(samples))
            fed_samples += len(samples)
        elif action == "silence":
            run.play_at_random(silence(amount / 1000), dice)
            fed_samples += len(silence(amount / 1000))
        elif action == "flush":
            run.take(run.stream.flush())
        elif action == "wait":
            run.clock.now_s += amount
            run.take(run.stream.retry())
        elif action == "refuse":
            for number, puppet in enumerate(run.puppets.values()):
                puppet.refusal = "not now" if amount >> number & 1 else ""
        else:
            run.take(run.stream.skip(amount, "lost"))
            fed_samples += amount
        if failures and run.waiting and dice.random() < 0.3:
            run.answer(next(iter(run.waiting)), DecodeError("failed"))
    for puppet in run.puppets.values():
        puppet.refusal = ""
    run.take(run.stream.finish())
    while run.stream.awaits_provider:
        run.take(run.stream.retry())
        run.answer_all()
    run.answer_all()
    account = run.stream.account
    assert (account.pending_samples, account.received_samples) == (0, fed_samples)
    assert account.speech_samples == sum(final.end_sample - final.start_sample for final in finals(run))
    declared = cast("list[Dropped]", run.of(Dropped))
    assert account.dropped_samples == sum(drop.end_sample - drop.start_sample for drop in declared)
    if not any(drop.utterance is not None for drop in declared):
        assert run.words == spoken
    for partial in partials(run):
        shown = partial.stable.split()
        assert len(set(shown)) == len(shown), "a word is shown twice"
    run.voices.close()
    assert not run.live
