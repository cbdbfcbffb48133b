"""The live stream's state machine: what it says, in which order, and that its account balances."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asrctl.errors import ProviderError
from asrctl.events import (
    Dropped,
    Final,
    Finished,
    Flushed,
    Partial,
    ProviderChanged,
    SpeechEnded,
    SpeechStarted,
)
from asrctl.policy.endpointing import FRAME_SAMPLES, EndpointerOptions
from asrctl.providers.base import DecodeOptions
from asrctl.providers.recognizer import Completed, Failed, Heard, Lost, Switched
from asrctl.streaming.stream import Drop, End, Feed, Output, Pause, Stream, StreamOptions
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis
from asrctl_tests.scripted import listen, speak
from tests.streaming.puppets import Listener, assert_accounted
from tests.streaming.speech import LevelDetector, Samples, heard_in, joined, silence, words

FINALS_ONLY = StreamOptions(pacing=None)
SHORT = StreamOptions(endpointing=EndpointerOptions(overlong_s=4.0, max_utterance_s=8.0))
PAUSE = silence(1)


class Rig:
    """Runs a stream, checks what must always hold, and is its recogniser, which answers when told to."""

    def __init__(self, options: StreamOptions | None = None) -> None:
        self.stream = Stream(LevelDetector(), options)
        self.said = Listener()
        self.outputs: list[Output] = []
        self.audio: list[list[Samples]] = [[]]
        """Of each utterance that was fed."""
        self.waiting: list[int] = []
        """Those that have ended and are not answered."""
        self.received_samples = 0

    def take(self, outputs: Iterable[Output]) -> None:
        """Do what a call returned."""
        for output in outputs:
            self.outputs.append(output)
            if isinstance(output, Feed):
                assert len(output.samples)
                self.audio[-1].append(output.samples)
            elif isinstance(output, End):
                self.waiting.append(len(self.audio) - 1)
                self.audio.append([])
            elif isinstance(output, Drop):
                self.waiting.remove(output.utterance)
            elif isinstance(output, Pause):
                assert output.silence_s > 0
            else:
                self.said(output)
        account = self.stream.account
        assert min(account.pending_samples, account.silence_samples, account.speech_samples) >= 0
        assert self.stream.committed_sample <= account.received_samples

    def feed(self, samples: Samples) -> None:
        self.received_samples += len(samples)
        self.take(self.stream.feed(samples))

    def skip(self, count: int, reason: str = "lost") -> None:
        self.received_samples += count
        self.take(self.stream.skip(count, reason))

    def audio_of(self, number: int) -> Samples:
        pieces = self.audio[number]
        return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)

    def hear(self, number: int = -1, settled: int = 1000) -> None:
        """Say what an utterance seems to say."""
        number %= len(self.audio)
        audio = self.audio_of(number)
        texts = tuple(word.text for word in listen(audio))
        self.take(self.stream.hear(Heard(number, texts[:settled], texts[settled:], len(audio))))

    def answer(self, number: int | None = None, error: Exception | None = None) -> None:
        """Answer for an utterance, with what is in it or with an error."""
        number = self.waiting[0] if number is None else number
        self.waiting.remove(number)
        if error is not None:
            self.take(self.stream.hear(Failed(number, error)))
        else:
            self.take(self.stream.hear(Completed(number, heard_in(self.audio_of(number)))))

    def answer_all(self) -> None:
        while self.waiting:
            self.answer()

    def play(self, samples: Samples, chunk_samples: int = 800, *, answering: bool = True) -> None:
        """Feed samples in chunks, answering at once or not at all."""
        for at in range(0, len(samples), chunk_samples):
            self.feed(samples[at : at + chunk_samples])
            if answering:
                self.hear()
                self.answer_all()

    def play_at_random(self, samples: Samples, dice: random.Random) -> None:
        """Feed samples in chunks of any size, answering in any order."""
        at = 0
        while at < len(samples):
            size = dice.choice((0, 1, 160, 512, 800, 5000, 40_000))
            self.feed(samples[at : at + size])
            at += size
            while dice.random() < 0.6:
                self.hear(dice.randrange(len(self.audio)), dice.randint(0, 30))
                if self.waiting:
                    self.answer(dice.choice(self.waiting))

    def finish(self) -> None:
        """End the stream and answer everything."""
        self.take(self.stream.finish())
        self.answer_all()
        assert_accounted(self.said.events, self.received_samples)

    def of(self, kind: type[Output]) -> list[Output]:
        return [output for output in self.outputs if isinstance(output, kind)]


# What is said and fed


def test_an_utterance_gives_started_partials_and_a_final() -> None:
    """Events come in that order, with one number, and times on the stream's clock."""
    run = Rig()
    run.play(joined(silence(1), speak(range(10)), PAUSE))
    run.finish()
    kinds = [type(event) for event in run.said.events]
    assert kinds[0] is SpeechStarted and kinds[-3:] == [SpeechEnded, Final, Finished]
    assert kinds.count(Partial) >= 2
    assert {event.utterance for event in run.said.of(Partial)} == {0}
    (final,) = run.said.of(Final)
    assert final.segment.text == " ".join(words(*range(10)))
    assert abs(final.segment.start_s - 1.0) < 0.05 and abs(final.segment.end_s - 2.98) < 0.05
    assert [word.text for word in final.segment.words] == words(*range(10))


def test_partials_count_up_and_say_how_far_they_heard() -> None:
    """Revisions count from 1, stable text only grows, and times are the stream's."""
    run = Rig()
    run.play(joined(silence(1), speak(range(40))))
    seen = run.said.of(Partial)
    assert [event.revision for event in seen] == list(range(1, len(seen) + 1))
    assert all(earlier.end_s <= later.end_s for earlier, later in pairwise(seen))
    assert abs(seen[-1].end_s - 9.0) < 0.05 and abs(seen[-1].start_s - 1.0) < 0.3


def test_exactly_the_utterances_are_fed() -> None:
    """From the onset on, padding too, as it is spoken; each sample once, and none of the rest of a pause."""
    run = Rig()
    run.play(joined(silence(3), speak(range(5)), silence(3), speak(range(5, 8)), silence(3)), 160)
    run.finish()
    lengths = [final.end_sample - final.start_sample for final in run.said.of(Final)]
    assert [len(run.audio_of(number)) for number in range(2)] == lengths
    assert len(run.of(Feed)) > 20 and len(run.of(End)) == 2


def test_it_is_fed_while_it_is_spoken() -> None:
    """The recogniser lags behind the stream by a frame and a chunk at most."""
    run = Rig()
    run.play(joined(PAUSE, speak(range(10))), 320)
    assert 32_000 - 512 - 320 <= len(run.audio_of(0)) - 7 * FRAME_SAMPLES <= 32_000


def test_a_pause_is_told_while_it_lasts_and_only_then() -> None:
    """With growing length after the last of the speech was fed; speech that goes on is fed with its pause."""
    run = Rig()
    run.play(joined(speak(range(5)), silence(0.4)), 512)
    pauses_s = [output.silence_s for output in run.of(Pause) if isinstance(output, Pause)]
    assert pauses_s == sorted(pauses_s) and len(set(pauses_s)) > 5 and 0.3 < pauses_s[-1] <= 0.4
    fed = len(run.audio_of(0))
    run.play(joined(speak(range(5, 10)), PAUSE), 160)
    run.finish()
    assert fed < len(run.audio_of(0))
    assert run.said.words == words(*range(10)) and len(run.said.of(Final)) == 1


def test_silence_asks_for_nothing() -> None:
    """No command, no event but the end, and every sample judged silence."""
    run = Rig()
    run.play(silence(10))
    run.finish()
    assert len(run.outputs) == 1
    assert run.stream.account.silence_samples == 160_000
    assert run.stream.committed_sample == 160_000 and not run.stream.awaits_finals


def test_finals_come_in_order() -> None:
    """A later utterance that is completed sooner waits for the earlier one."""
    run = Rig()
    run.play(joined(speak([1]), PAUSE, speak([2]), PAUSE), answering=False)
    run.answer(1)
    assert not run.said.of(Final) and run.stream.awaits_finals
    assert run.stream.committed_sample == 0
    run.answer(0)
    assert run.said.words == words(1, 2) and not run.stream.awaits_finals
    assert run.stream.committed_sample >= run.said.of(Final)[-1].end_sample


def test_what_cannot_be_recognised_is_declared() -> None:
    """With its samples and the reason; the next one is not affected."""
    run = Rig()
    run.play(joined(speak([1]), PAUSE, speak([2]), PAUSE), answering=False)
    run.answer(0, RuntimeError("worker gone"))
    run.answer(1)
    run.finish()
    (dropped,) = run.said.of(Dropped)
    assert (dropped.reason, dropped.utterance) == ("worker gone", 0)
    assert run.stream.account.dropped_samples == dropped.end_sample - dropped.start_sample > 0
    assert run.said.words == words(2)


def test_a_backlog_is_bounded() -> None:
    """Beyond the bound the oldest speech is declared dropped, and the newest still comes."""
    run = Rig(StreamOptions(max_backlog_s=3.0))
    for number in range(10):
        run.play(joined(speak([number] * 5), PAUSE), answering=False)
    run.finish()
    assert run.said.words[-5:] == ["w9"] * 5
    drops = run.said.of(Dropped)
    assert 0 < len(drops) < 10 and len(drops) + len(run.said.of(Final)) == 10
    assert {drop.reason for drop in drops} == {"more than 3 s of speech were waiting"}
    assert len(run.of(Drop)) == len(drops)


def test_the_newest_utterance_is_never_shed() -> None:
    """Even one that is longer than the bound has its final."""
    run = Rig(StreamOptions(max_backlog_s=0.1))
    run.play(joined(speak(range(5)), PAUSE), answering=False)
    run.finish()
    assert run.said.words == words(*range(5)) and not run.said.of(Dropped)


def test_an_overlong_utterance_is_cut_where_it_is_quiet() -> None:
    """Where speech goes on without a pause no word is lost, doubled or torn, and each sample is fed once."""
    run = Rig(SHORT)
    gaps = (silence(0.064 if n % 9 == 5 else 0) for n in range(200))
    run.play(joined(*(part for n, gap in enumerate(gaps) for part in (speak([n]), gap)), PAUSE))
    run.finish()
    assert run.said.words == words(*range(200))
    lengths_s = [(final.end_sample - final.start_sample) / SAMPLE_RATE_HZ for final in run.said.of(Final)]
    assert min(lengths_s[:-1]) >= 4 and max(lengths_s) < 6.5  # at 8 s the endpointer would cut it
    last_words = [int(final.segment.text.split()[-1][1:]) for final in run.said.of(Final)]
    assert all(n % 9 == 5 for n in last_words[:-1])
    assert sum(len(pieces) for audio in run.audio for pieces in audio) == round(sum(lengths_s) * 16_000)


def test_under_load_long_utterances_are_cut_sooner() -> None:
    """What is asked for counts from the next utterance on, until it is taken back, and lengthens none."""
    run = Rig(SHORT)
    talk = joined(*(part for n in range(24) for part in (speak([n]), silence(0.064))), PAUSE)
    for overlong_s in (2.0, math.inf, 100.0):
        run.stream.overlong_s = overlong_s
        run.play(talk)
    run.finish()
    longest_s = [0.0, 0.0, 0.0]
    for final in run.said.of(Final):
        round_of_it = (final.end_sample - 1) // len(talk)
        length_s = (final.end_sample - final.start_sample) / SAMPLE_RATE_HZ
        longest_s[round_of_it] = max(longest_s[round_of_it], length_s)
    assert longest_s[0] < 3.0 and 4.0 <= min(longest_s[1:]) <= max(longest_s) < 4.5


def test_flush_gives_what_there_is() -> None:
    """A word that is still being spoken ends at once, the flush is answered, and the stream goes on."""
    run = Rig()
    run.play(speak([1, 2, 3]))
    run.take(run.stream.flush())
    assert not run.said.of(Flushed)
    run.answer_all()
    assert run.said.words == words(1, 2, 3)
    assert run.said.of(Flushed) == [Flushed(run.stream.account.received_samples)]
    assert run.stream.account.pending_samples == 0
    run.play(speak([4]))
    run.finish()
    assert run.said.words == words(1, 2, 3, 4)


def test_each_flush_is_answered_in_order() -> None:
    """Also where nothing was spoken, and behind finals that are still missing."""
    run = Rig()
    run.take(run.stream.flush())
    assert run.said.of(Flushed) == [Flushed(0)]
    run.play(speak([1]), answering=False)
    run.take(run.stream.flush())
    run.take(run.stream.flush())
    assert len(run.said.of(Flushed)) == 1
    run.answer_all()
    kinds = [type(event) for event in run.said.events]
    assert kinds[-3:] == [Final, Flushed, Flushed]


def test_audio_that_was_lost_on_the_way_is_declared() -> None:
    """Time goes on over the gap, what was open before it is finalised, and the gap is a drop."""
    run = Rig()
    run.play(speak([1]))
    run.skip(16_000, "overflow")
    assert run.stream.awaits_finals and run.said.of(SpeechEnded)
    run.play(speak([2]))
    run.finish()
    (dropped,) = run.said.of(Dropped)
    assert (dropped.utterance, dropped.reason) == (None, "overflow")
    assert dropped.end_sample - dropped.start_sample == 16_000
    assert run.said.words == words(1, 2)
    assert run.said.of(Final)[1].segment.start_s >= 1.2
    assert run.stream.account.dropped_samples == 16_000


def test_a_gap_of_nothing_only_flushes() -> None:
    """Nothing is declared."""
    run = Rig()
    run.play(speak([1]), answering=False)
    run.skip(0)
    assert run.waiting == [0]
    run.finish()
    assert run.said.words == words(1) and not run.said.of(Dropped)


def test_what_is_not_committed_is_behind_a_gap_too() -> None:
    """A gap waits for the utterance before it, and is where the stream begins again."""
    run = Rig()
    run.play(joined(speak([1]), PAUSE), answering=False)
    run.skip(8000)
    assert not run.said.of(Dropped) and run.stream.committed_sample == 0
    run.play(joined(speak([2]), PAUSE), answering=False)
    run.answer(0)
    assert run.said.of(Dropped)
    assert run.stream.committed_sample >= run.said.of(Dropped)[0].end_sample
    run.finish()


def test_a_stream_restarted_where_another_ended_finds_the_same_utterances() -> None:
    """Cut off anywhere, what is not committed is judged by the same frames, and cut at the same samples."""
    pauses = (silence(0.9 + 0.013 * n) for n in range(5))
    audio = joined(*(part for pause in pauses for part in (pause, speak(range(7)))), PAUSE)
    whole = Rig(FINALS_ONLY)
    whole.play(audio)
    spans = [(final.start_sample, final.end_sample) for final in whole.said.of(Final)]
    for end_sample in range(5000, len(audio), 5000):
        first = Rig(FINALS_ONLY)
        first.play(audio[:end_sample])
        committed = first.stream.committed_sample
        assert all(final.end_sample <= committed for final in first.said.of(Final))
        again = Rig(FINALS_ONLY)
        again.play(audio[committed:])
        rest = [(committed + f.start_sample, committed + f.end_sample) for f in again.said.of(Final)]
        assert rest == [span for span in spans if span[0] >= committed]


def test_what_was_said_is_not_offered_again() -> None:
    """Where an utterance begins at the sample where the one before ends, no frame is rounded down to."""
    run = Rig(StreamOptions(endpointing=EndpointerOptions(trailing_silence_s=0.2)))
    audio = joined(*(part for n in range(8) for part in (speak([n] * 3), silence(0.25))))
    for at in range(0, len(audio), 512):
        run.play(audio[at : at + 512])
        last = max((final.end_sample for final in run.said.of(Final)), default=0)
        assert run.stream.committed_sample >= last
    assert len(run.said.of(Final)) > 4


def test_memory_is_bounded() -> None:
    """What the recogniser has is forgotten here, however long the utterance."""
    run = Rig(StreamOptions(endpointing=EndpointerOptions(overlong_s=200, max_utterance_s=300)))
    for number in range(600):
        run.play(speak([number]), answering=False)
        held = run.stream._buffer.end_sample - run.stream._buffer.start_sample
        assert held <= 2 * SAMPLE_RATE_HZ


def test_each_final_says_which_language_it_is_in() -> None:
    """With "auto" the stream is in the language of the last final with words."""
    run = Rig(StreamOptions(DecodeOptions(language="auto")))
    run.play(joined(speak([1]), PAUSE, speak([2]), PAUSE, speak([3]), PAUSE), answering=False)
    run.take(run.stream.hear(Completed(0, Hypothesis((), "la", 0.0))))
    assert run.stream.language == "auto"
    for number, language in ((1, "de"), (2, "fr")):
        run.take(run.stream.hear(Completed(number, heard_in(run.audio_of(number), language))))
    assert run.stream.language == "fr"
    assert [final.language for final in run.said.of(Final)] == ["la", "de", "fr"]
    assert [final.segment.language for final in run.said.of(Final)] == ["la", "de", "fr"]
    assert run.said.of(Final)[0].segment.text == ""


def test_finals_name_their_provider() -> None:
    """And a change of provider is passed on."""
    run = Rig()
    run.play(joined(speak([1]), PAUSE), answering=False)
    run.take(run.stream.hear(Switched("other", "the first is lost")))
    hypothesis = heard_in(run.audio_of(0))
    run.take(run.stream.hear(Completed(0, Hypothesis(hypothesis.segments, "en", 0.0, provider="other"))))
    assert run.said.changes == [("other", "the first is lost")]
    assert run.said.of(Final)[0].provider == run.stream.provider == "other"
    assert run.said.of(ProviderChanged)


# Partials


def test_partials_can_be_switched_off_and_on() -> None:
    """Then nothing but finals is said."""
    run = Rig()
    run.stream.show_partials(None)
    run.play(speak(range(10)))
    assert not run.said.of(Partial)
    run.stream.show_partials(1.0)
    run.play(joined(speak(range(10, 12)), PAUSE))
    run.finish()
    assert run.said.of(Partial) and run.said.words == words(*range(12))


def test_a_stream_of_finals_only_never_shows_partials() -> None:
    """Whatever is asked later, since the options said so."""
    run = Rig(FINALS_ONLY)
    run.stream.show_partials(2.0)
    run.play(joined(speak(range(10)), PAUSE))
    run.finish()
    assert not run.said.of(Partial) and run.said.words == words(*range(10))


@pytest.mark.parametrize(("factor", "interval_s"), [(2.0, 2.0), (4.0, 4.0)])
def test_partials_are_rarer_under_load(factor: float, interval_s: float) -> None:
    """As rare as those that windows are decoded for, with all that was heard; the final has every word."""
    run, usual = Rig(), Rig()
    run.stream.show_partials(factor)
    for each in (run, usual):
        each.play(joined(speak(range(60)), PAUSE))
        each.finish()
        assert each.said.words == words(*range(60))
    ends_s = [partial.end_s for partial in run.said.of(Partial)]
    assert ends_s[0] - run.said.of(Partial)[0].start_s >= 0.7 * factor
    assert all(later - sooner >= interval_s for sooner, later in pairwise(ends_s))
    assert len(ends_s) == pytest.approx(12 / interval_s, abs=1)
    assert len(usual.said.of(Partial)) > 5 * len(ends_s)
    said = {
        partial.end_s: f"{partial.stable} {partial.unstable}".split() for partial in usual.said.of(Partial)
    }
    for partial in run.said.of(Partial):
        assert f"{partial.stable} {partial.unstable}".split() == said[partial.end_s]
    assert run.said.of(Final) == usual.said.of(Final) and run.stream.account == usual.stream.account


def test_partials_are_frequent_again_when_the_load_is_over() -> None:
    """From the next word on, in the middle of an utterance."""
    run = Rig()
    run.stream.show_partials(4.0)
    run.play(speak(range(10)))
    assert not run.said.of(Partial)
    run.stream.show_partials(1.0)
    run.play(speak(range(10, 12)))
    assert len(run.said.of(Partial)) >= 2


def test_words_that_heard_nothing_are_not_shown() -> None:
    """An empty partial says nothing."""
    run = Rig()
    run.play(speak([1]), answering=False)
    run.take(run.stream.hear(Heard(0, (), (), 100)))
    assert not run.said.of(Partial)


def test_settled_words_come_before_those_that_may_change() -> None:
    """As the recogniser says."""
    run = Rig()
    run.play(speak(range(4)), answering=False)
    run.hear(settled=0)
    run.hear(settled=2)
    shown = [(event.stable, event.unstable) for event in run.said.of(Partial)]
    assert [(len(stable.split()), len(rest.split())) for stable, rest in shown] == [(0, 4), (2, 2)]


def test_a_partial_of_an_utterance_that_is_over_is_not_shown() -> None:
    """What is shown would jump back: while another is open, once its final is known, or behind a gap."""
    run = Rig()
    run.play(joined(speak([1]), PAUSE, speak([2])), answering=False)
    run.hear(0)
    assert not run.said.of(Partial)
    run.play(PAUSE, answering=False)
    run.hear(1)
    assert len(run.said.of(Partial)) == 1  # its final has not come
    run.answer(1)
    run.hear(1)
    run.skip(1000)
    run.hear(1)
    run.hear(0)
    assert len(run.said.of(Partial)) == 1
    run.finish()
    assert run.said.words == words(1, 2)


# Recognisers that misbehave


def test_answers_for_utterances_that_are_over_or_unknown_are_ignored() -> None:
    """A final is said once."""
    run = Rig()
    run.play(joined(speak([1]), PAUSE), answering=False)
    run.answer()
    assert run.stream.hear(Completed(0, heard_in(speak([2])))) == []
    assert run.stream.hear(Failed(7, RuntimeError("who?"))) == []
    assert run.stream.hear(Heard(7, ("w",), (), 1)) == []
    assert run.said.words == words(1)


def test_a_lost_recogniser_ends_no_stream() -> None:
    """What has ended and what still comes is declared with the reason; nothing more is fed, nothing waits."""
    run = Rig()
    run.play(joined(speak([1]), PAUSE, speak([2]), PAUSE, speak([3])), answering=False)
    run.take(run.stream.hear(Lost(ProviderError("the line is dead"), 1)))
    assert [drop.utterance for drop in run.said.of(Dropped)] == [0, 1]
    fed = len(run.of(Feed))
    run.play(joined(speak([4]), PAUSE, speak([5]), PAUSE), answering=False)
    run.waiting.clear()
    run.finish()
    assert len(run.of(Feed)) == fed
    assert [drop.reason for drop in run.said.of(Dropped)] == ["the line is dead"] * 4


# Whatever happens

ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("speak"), st.integers(1, 25)),
        st.tuples(st.just("silence"), st.integers(1, 1500)),
        st.tuples(st.just("flush"), st.just(0)),
        st.tuples(st.just("skip"), st.integers(0, 20_000)),
        st.tuples(st.just("fail"), st.integers(0, 3)),
    ),
    max_size=12,
)


def numbers_for(amount: int, dice: random.Random) -> Iterator[int]:
    return (dice.randrange(4096) for _ in range(amount))


@example(
    actions=[("speak", 1), ("speak", 1), ("speak", 24), ("speak", 15), ("silence", 69), ("speak", 18)],
    seed=96856,
)
@given(actions=ACTIONS, seed=st.integers(0, 2**32))
def test_the_account_balances_and_no_word_is_lost(actions: list[tuple[str, int]], seed: int) -> None:
    """Whatever the chunks, pauses, flushes, gaps, failures and the order of answers.

    `Rig` and `Listener` check after every call that nothing is negative, that stable text only grows and
    that finals and drops come in order without overlap.
    """
    dice = random.Random(seed)
    run, spoken = Rig(SHORT), list[str]()
    flushes = sum(action == "flush" for action, _ in actions)
    for action, amount in actions:
        if action == "speak":
            numbers = list(numbers_for(amount, dice))
            spoken += words(*numbers)
            run.play_at_random(speak(numbers), dice)
        elif action == "silence":
            run.play_at_random(silence(amount / 1000), dice)
        elif action == "flush":
            run.take(run.stream.flush())
        elif action == "skip":
            run.skip(amount)
        elif run.waiting:
            run.answer(dice.choice(run.waiting), RuntimeError("failed"))
    run.finish()
    assert len(run.said.of(Flushed)) == flushes
    if not any(drop.utterance is not None for drop in run.said.of(Dropped)):
        assert run.said.words == spoken
