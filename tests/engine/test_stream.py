"""The live stream's state machine: what it says, in which order, and that its books balance."""

from __future__ import annotations

import random
from typing import cast

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asrctl.engine.stream import StreamOptions
from asrctl.policy.endpointing import EndpointerOptions
from asrctl.policy.priority import Kind
from asrctl.policy.window import Effort
from asrctl.providers.base import DecodeOptions
from asrctl.stream.events import Dropped, Final, Finished, Partial, SpeechStarted
from asrctl.transcript import SAMPLE_RATE_HZ
from tests.engine.streams import Rig, heard, rig, silence, speak

FINALS_ONLY = StreamOptions(pacing=None)
SHORT = StreamOptions(endpointing=EndpointerOptions(overlong_s=4.0, max_utterance_s=8.0))


def finals(run: Rig) -> list[Final]:
    return cast("list[Final]", run.of(Final))


def partials(run: Rig) -> list[Partial]:
    return cast("list[Partial]", run.of(Partial))


def test_an_utterance_gives_started_partials_and_a_final() -> None:
    """Events come in that order, with one number, and times on the stream's clock."""
    run = rig()
    run.play(np.concatenate([silence(1), speak(range(10)), silence(1)]))
    run.finish()
    kinds = [type(event) for event in run.events]
    assert kinds[0] is SpeechStarted and kinds[-2:] == [Final, Finished] and kinds.count(Partial) >= 2
    assert len({event.utterance for event in run.events if isinstance(event, Partial | Final)}) == 1
    (final,) = finals(run)
    assert final.segment.text == " ".join(f"w{n}" for n in range(10))
    assert abs(final.segment.start_s - 1.0) < 0.05 and abs(final.segment.end_s - 2.98) < 0.05


def test_partials_grow_and_settle() -> None:
    """Revisions count up, stable text only grows, and in the end holds most of what was said."""
    run = rig()
    run.play(np.concatenate([speak(range(40)), silence(1)]))
    run.finish()
    seen = [event for event in partials(run) if event.utterance == 0]
    assert [event.revision for event in seen] == list(range(1, len(seen) + 1))
    assert len(seen[-1].stable.split()) > 20


def test_a_final_is_guessed_in_the_pause_and_kept() -> None:
    """The decode starts before the endpoint is certain, and the endpoint needs no other."""
    run = rig()
    run.play(np.concatenate([speak(range(8)), silence(0.35)]), answering=False)
    guesses = [decode for decode in run.waiting.values() if decode.kind is Kind.FINAL]
    assert len(guesses) == 1 and not finals(run)
    run.answer(guesses[0].job)
    assert not finals(run)
    run.play(silence(0.3), answering=False)
    assert [final.segment.text for final in finals(run)] == [" ".join(f"w{n}" for n in range(8))]
    assert not any(decode.kind is Kind.FINAL for decode in run.waiting.values())


def test_a_wrong_guess_is_thrown_away() -> None:
    """Speech that goes on after the pause is in the final; the guess only made a partial."""
    run = rig()
    run.play(np.concatenate([speak(range(8)), silence(0.35), speak(range(8, 12)), silence(1)]))
    run.finish()
    assert [final.segment.text for final in finals(run)] == [" ".join(f"w{n}" for n in range(12))]


def test_a_failed_guess_is_decoded_again() -> None:
    """An error that hit the guess does not lose the utterance."""
    run = rig()
    run.play(np.concatenate([speak(range(8)), silence(0.35)]), answering=False)
    (guess,) = [decode for decode in run.waiting.values() if decode.kind is Kind.FINAL]
    run.answer(guess.job, RuntimeError("full"))
    run.play(silence(1))
    run.finish()
    assert run.words == [f"w{n}" for n in range(8)] and not run.of(Dropped)


def test_a_slow_recogniser_is_not_guessed_at_and_gets_fewer_partials() -> None:
    """Under load partials thin out, and no final is decoded on suspicion."""
    speech = np.concatenate([speak(range(100)), silence(0.4)])
    busy = rig()
    busy.stream.pacer.observe(2.0, 2.0)
    busy.play(speech)
    idle = rig()
    idle.play(speech)
    assert 0 < len(busy.of(Partial)) < len(idle.of(Partial)) / 2
    assert not any(decode.kind is Kind.FINAL for decode in busy.waiting.values())


def test_finals_are_decoded_alike_whatever_the_load() -> None:
    """A recogniser that is late gets fewer partials to do, but what finals say does not depend on it."""
    for wait_s in (0.0, 2.0):
        run = rig()
        run.stream.pacer.observe(wait_s, wait_s)
        run.play(np.concatenate([speak(range(8)), silence(1)]), answering=False)
        (final,) = [decode for decode in run.waiting.values() if decode.kind is Kind.FINAL]
        assert final.options.effort is Effort.LIGHT


def test_finals_come_in_order() -> None:
    """A later utterance that is decoded sooner waits for the earlier one."""
    run = rig(FINALS_ONLY)
    run.play(np.concatenate([speak([1]), silence(1), speak([2]), silence(1)]), answering=False)
    first, second = run.waiting
    run.answer(second)
    assert not finals(run)
    run.answer(first)
    assert run.words == ["w1", "w2"]


def test_what_cannot_be_decoded_is_declared() -> None:
    """A final that failed is a drop, with its samples and the reason; the next one is not affected."""
    run = rig(FINALS_ONLY)
    run.play(np.concatenate([speak([1]), silence(1), speak([2]), silence(1)]), answering=False)
    first, second = run.waiting
    run.answer(first, RuntimeError("worker gone"))
    run.answer(second)
    run.finish()
    (dropped,) = cast("list[Dropped]", run.of(Dropped))
    assert dropped.reason == "worker gone"
    assert run.stream.account.dropped_samples == dropped.end_sample - dropped.start_sample > 0
    assert run.words == ["w2"]


def test_a_backlog_is_bounded() -> None:
    """Beyond the bound the oldest speech is declared dropped, and the newest still comes."""
    run = rig(StreamOptions(pacing=None, max_backlog_s=3.0))
    for number in range(10):
        run.play(np.concatenate([speak([number] * 5), silence(1)]), answering=False)
    run.finish()
    assert run.words[-5:] == ["w9"] * 5
    assert 0 < len(run.of(Dropped)) < 10
    assert len(run.of(Dropped)) + len(run.of(Final)) == 10


def test_an_overlong_utterance_is_cut_where_it_is_quiet() -> None:
    """Where speech goes on without a pause no word is lost, doubled or torn, with partials and without."""
    for options in (SHORT, StreamOptions(endpointing=SHORT.endpointing, pacing=None)):
        run = rig(options)
        spoken = [part for n in range(200) for part in (speak([n]), silence(0.064 if n % 9 == 5 else 0))]
        run.play(np.concatenate([*spoken, silence(1)]))
        run.finish()
        assert run.words == [f"w{n}" for n in range(200)]
        lengths_s = [(final.end_sample - final.start_sample) / SAMPLE_RATE_HZ for final in finals(run)]
        assert min(lengths_s[:-1]) >= 4 and max(lengths_s) < 6.5  # at 8 s the endpointer would cut it
        last_words = [int(final.segment.text.split()[-1][1:]) for final in finals(run)]
        assert all(n % 9 == 5 for n in last_words[:-1])


def test_flush_gives_what_there_is() -> None:
    """The final of a word that is still being spoken comes at once, and the stream goes on."""
    run = rig()
    run.play(speak([1, 2, 3]))
    run.take(run.stream.flush())
    run.answer_all()
    assert run.words == ["w1", "w2", "w3"]
    assert run.stream.account.pending_samples == 0
    run.play(speak([4]))
    run.finish()
    assert run.words == ["w1", "w2", "w3", "w4"]


def test_the_language_is_found_once() -> None:
    """The first final settles what "auto" means for the rest."""
    run = rig(StreamOptions(DecodeOptions(language="auto"), pacing=None))
    run.play(np.concatenate([speak([1]), silence(1), speak([2]), silence(1)]), answering=False)
    first, second = run.waiting.values()
    assert first.options.language == second.options.language == "auto"
    run.answer(first.job)
    run.play(np.concatenate([speak([3]), silence(1)]), answering=False)
    assert list(run.waiting.values())[-1].options.language == "en"


def test_audio_that_was_lost_on_the_way_is_declared() -> None:
    """Time goes on over the gap, what was open before it is finalised, and the gap is a drop."""
    run = rig()
    run.play(speak([1]))
    run.take(run.stream.skip(16_000, "overflow"))
    run.play(speak([2]))
    run.finish()
    (dropped,) = cast("list[Dropped]", run.of(Dropped))
    assert (dropped.utterance, dropped.reason) == (None, "overflow")
    assert dropped.end_sample - dropped.start_sample == 16_000
    assert run.words == ["w1", "w2"]
    assert finals(run)[1].segment.start_s >= 1.2
    assert run.stream.account.dropped_samples == 16_000


def test_a_stream_begun_anew_where_another_ended_finds_the_same_utterances() -> None:
    """Cut off anywhere, what is not committed is judged by the same frames, and cut at the same samples."""
    pauses = (silence(0.9 + 0.013 * n) for n in range(5))
    audio = np.concatenate([part for pause in pauses for part in (pause, speak(range(7)))] + [silence(1)])
    whole = rig(FINALS_ONLY)
    whole.play(audio)
    spans = [(final.start_sample, final.end_sample) for final in finals(whole)]
    for end_sample in range(5000, len(audio), 5000):
        first = rig(FINALS_ONLY)
        first.play(audio[:end_sample])
        committed = first.stream.committed_sample
        assert all(final.end_sample <= committed for final in finals(first))
        again = rig(FINALS_ONLY)
        again.play(audio[committed:])
        rest = [(committed + final.start_sample, committed + final.end_sample) for final in finals(again)]
        assert rest == [span for span in spans if span[0] >= committed]


def test_what_was_said_is_not_offered_again() -> None:
    """Where an utterance begins at the sample where the one before ends, no frame is rounded down to."""
    run = rig(StreamOptions(endpointing=EndpointerOptions(trailing_silence_s=0.2)))
    audio = np.concatenate([part for n in range(8) for part in (speak([n] * 3), silence(0.25))])
    for at in range(0, len(audio), 512):
        run.play(audio[at : at + 512])
        assert run.stream.committed_sample >= max((final.end_sample for final in finals(run)), default=0)
    assert len(finals(run)) > 4


def test_silence_asks_for_nothing() -> None:
    """No decode, no event but the end, and every sample judged silence."""
    run = rig()
    run.play(silence(10))
    run.finish()
    assert len(run.events) == 1
    assert run.stream.account.silence_samples == 160_000


def test_answers_to_aborted_and_unknown_jobs_are_ignored() -> None:
    """A result that crossed its abort changes nothing."""
    run = rig()
    run.play(speak(range(5)), answering=False)
    (job, decode), *_ = run.waiting.items()
    run.take(run.stream.flush())
    assert job in run.aborted
    assert run.stream.resolve(job, heard(decode)) == []
    assert run.stream.resolve(999, heard(decode)) == []


actions = st.lists(
    st.one_of(
        st.tuples(st.just("speak"), st.integers(1, 25)),
        st.tuples(st.just("silence"), st.integers(1, 1500)),
        st.tuples(st.just("flush"), st.just(0)),
        st.tuples(st.just("skip"), st.integers(1, 20_000)),
    ),
    max_size=12,
)


@example(
    actions=[("speak", 1), ("speak", 1), ("speak", 24), ("speak", 15), ("silence", 69), ("speak", 18)],
    seed=96856,
    failures=True,
)
@given(actions=actions, seed=st.integers(0, 2**32), failures=st.booleans())
@settings(max_examples=150, deadline=None)
def test_the_books_balance_and_no_word_is_lost(
    actions: list[tuple[str, int]], seed: int, failures: bool
) -> None:
    """Whatever the chunks, pauses, flushes, gaps and the order of answers.

    `Rig` checks after every call that nothing is negative, that stable text only grows and that finals and
    drops come in order without overlap.
    """
    dice = random.Random(seed)
    run, spoken = rig(SHORT), list[str]()
    fed_samples = 0
    for action, amount in actions:
        if action == "speak":
            numbers = [dice.randrange(4096) for _ in range(amount)]
            spoken += [f"w{number}" for number in numbers]
            samples = speak(numbers)
            run.play_at_random(samples, dice)
            fed_samples += len(samples)
        elif action == "silence":
            run.play_at_random(silence(amount / 1000), dice)
            fed_samples += len(silence(amount / 1000))
        elif action == "flush":
            run.take(run.stream.flush())
        else:
            run.take(run.stream.skip(amount, "lost"))
            fed_samples += amount
        if failures and run.waiting and dice.random() < 0.3:
            run.answer(next(iter(run.waiting)), RuntimeError("failed"))
    run.finish()
    account = run.stream.account
    assert account.pending_samples == 0
    assert account.received_samples == fed_samples
    assert account.speech_samples == sum(final.end_sample - final.start_sample for final in finals(run))
    declared = cast("list[Dropped]", run.of(Dropped))
    assert account.dropped_samples == sum(drop.end_sample - drop.start_sample for drop in declared)
    if not any(drop.utterance is not None for drop in declared):
        assert run.words == spoken
