"""The endpointer: what counts as an utterance, and an account that always balances."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.errors import UsageError
from asrctl.policy.endpointing import (
    FRAME_SAMPLES,
    Endpointer,
    EndpointerOptions,
    Event,
    Frame,
    Span,
    SpeechEnded,
    SpeechStarted,
    quietest_sample,
)

FRAME_S = 0.032
PAD_FRAMES = 2
PENDING_FRAMES = PAD_FRAMES + 5
"""Of silence: the padding, four by which an onset may be heard late, and the one that tells them apart."""
OPTIONS = EndpointerOptions(
    pad_before_s=PAD_FRAMES * FRAME_S,
    pad_after_s=FRAME_S,
    min_speech_s=3 * FRAME_S,
    trailing_silence_s=5 * FRAME_S,
    overlong_s=30 * FRAME_S,
    max_utterance_s=60 * FRAME_S,
)


def frames(count: int) -> int:
    """That many frames in samples."""
    return count * FRAME_SAMPLES


def push_all(endpointer: Endpointer, probabilities: Iterable[float]) -> list[Event]:
    """Push every probability and gather the events."""
    return [event for probability in probabilities for event in endpointer.push(probability)]


def spans(events: Iterable[Event]) -> list[Span]:
    """The spans of the utterances that ended."""
    return [event.span for event in events if isinstance(event, SpeechEnded)]


def test_speech_is_one_utterance_with_padding_around_it() -> None:
    """Ten frames of speech between silences make one utterance, padded before and after."""
    endpointer = Endpointer(OPTIONS)
    events = push_all(endpointer, [0.0] * 10 + [0.9] * 10 + [0.0] * 10)
    assert events == [SpeechStarted(frames(8)), SpeechEnded(Span(frames(8), frames(21)))]


def test_start_is_announced_once_minimum_speech_was_heard() -> None:
    """SpeechStarted comes with the frame that completes the minimum, not before, and only once."""
    endpointer = Endpointer(OPTIONS)
    assert push_all(endpointer, [0.9, 0.9]) == []
    assert endpointer.open_span is None
    assert endpointer.push(0.9) == [SpeechStarted(0)]
    assert endpointer.push(0.9) == []


def test_blip_is_judged_silence() -> None:
    """Less speech than the minimum makes no event, and all but what may be padding is settled as silence."""
    endpointer = Endpointer(OPTIONS)
    assert push_all(endpointer, [0.9] * 2 + [0.0] * 10) == []
    assert endpointer.account.silence_samples == frames(12 - PENDING_FRAMES)
    assert endpointer.account.pending_samples == frames(PENDING_FRAMES)


def test_blip_just_before_a_word_belongs_to_the_word() -> None:
    """A burst, a short closure and a vowel are one utterance that begins with the burst."""
    events = push_all(Endpointer(OPTIONS), [0.0] * 9 + [0.9] + [0.0] * 3 + [0.9] * 5 + [0.0] * 5)
    assert spans(events) == [Span(frames(7), frames(19))]


@pytest.mark.parametrize(("quiet_frames", "start_frame"), [(0, 0), (6, 0), (7, 5), (8, 6)])
def test_speech_soon_after_the_beginning_starts_there(quiet_frames: int, start_frame: int) -> None:
    """A detector that has just started may have heard the onset four frames late."""
    (span,) = spans(push_all(Endpointer(OPTIONS), [0.0] * quiet_frames + [0.9] * 5 + [0.0] * 5))
    assert span == Span(frames(start_frame), frames(quiet_frames + 6))


@pytest.mark.parametrize("late_frames", range(5))
def test_restarted_where_another_settled_it_finds_the_same_utterance(late_frames: int) -> None:
    """In silence if the detector hears as well; in an utterance even if it hears the onset late."""
    heard = [0.0] * 20 + [0.9] * 8 + [0.0] * 5
    (expected,) = spans(push_all(Endpointer(OPTIONS), heard))
    for until in range(len(heard) - 1):
        endpointer = Endpointer(OPTIONS)
        push_all(endpointer, heard[:until])
        rest = heard[endpointer.settled_sample // FRAME_SAMPLES :]
        if endpointer.settled_sample == expected.start_sample:
            rest[PAD_FRAMES : PAD_FRAMES + late_frames] = [0.0] * late_frames
        (found,) = spans(push_all(Endpointer(OPTIONS), rest))
        assert Span(*(sample + endpointer.settled_sample for sample in found)) == expected


def test_padding_is_whole_frames() -> None:
    """Utterances start and end with a frame, so that a stream restarted there hears the same frames."""
    options = replace(OPTIONS, pad_before_s=1.1 * FRAME_S, pad_after_s=0.1 * FRAME_S)
    (span,) = spans(push_all(Endpointer(options), [0.0] * 10 + [0.9] * 5 + [0.0] * 5))
    assert span == Span(frames(8), frames(16))


def test_pause_shorter_than_trailing_silence_does_not_end_an_utterance() -> None:
    """A pause one frame short of the trailing silence is inside the utterance."""
    events = push_all(Endpointer(OPTIONS), ([0.9] * 5 + [0.0] * 4) * 2)
    assert events == [SpeechStarted(0)]


@pytest.mark.parametrize(("between", "ended"), [(0.4, False), (0.34, True)])
def test_between_the_thresholds_things_stay_as_they_are(between: float, ended: bool) -> None:
    """In speech, only a probability below the offset threshold is a pause."""
    assert bool(spans(push_all(Endpointer(OPTIONS), [0.9] * 5 + [between] * 5))) is ended


def test_in_a_pause_only_the_onset_threshold_is_speech_again() -> None:
    """A pause goes on through probabilities between the thresholds."""
    endpointer = Endpointer(OPTIONS)
    push_all(endpointer, [0.9] * 5 + [0.1, 0.4, 0.4])
    assert endpointer.trailing_silence_samples == frames(3)
    endpointer.push(0.5)
    assert endpointer.trailing_silence_samples == 0


def test_padding_does_not_reach_into_the_former_utterance() -> None:
    """Speech right after an utterance ended is padded only with what the former one left."""
    options = EndpointerOptions(pad_before_s=1.0, pad_after_s=4 * FRAME_S, trailing_silence_s=5 * FRAME_S)
    events = push_all(Endpointer(options), [0.9] * 5 + [0.0] * 6 + [0.9] * 5 + [0.0] * 5)
    assert spans(events) == [Span(0, frames(9)), Span(frames(9), frames(20))]


def test_open_span_in_a_pause_is_what_the_end_will_be() -> None:
    """Once the pause is longer than the padding, the open span is the span of SpeechEnded to come."""
    endpointer = Endpointer(OPTIONS)
    push_all(endpointer, [0.0] * 8 + [0.9] * 6)
    assert endpointer.open_span == Span(frames(6), frames(14))
    push_all(endpointer, [0.0] * 2)
    early = endpointer.open_span
    assert spans(push_all(endpointer, [0.0] * 3)) == [early]
    assert endpointer.open_span is None


def test_padding_within_the_longest_utterance_is_whole_frames() -> None:
    """Where the longest utterance ends within a frame, that frame is left out."""
    pause_s = 5 * FRAME_S
    options = EndpointerOptions(
        pad_before_s=0.0, pad_after_s=pause_s, trailing_silence_s=pause_s, max_utterance_s=31.5 * FRAME_S
    )
    assert spans(push_all(Endpointer(options), [0.9] * 27 + [0.0] * 5)) == [Span(0, frames(31))]


def test_flush_ends_the_open_utterance_and_leaves_nothing_pending() -> None:
    """A flush in speech gives all the speech up to the last sample, the short last frame included."""
    endpointer = Endpointer(OPTIONS)
    push_all(endpointer, [0.9] * 5)
    endpointer.push(0.9, frame_samples=100)
    assert endpointer.flush() == [SpeechEnded(Span(0, frames(5) + 100))]
    assert endpointer.account.pending_samples == 0
    assert endpointer.flush() == []


def test_flush_keeps_a_word_that_was_cut_off() -> None:
    """One frame of speech at the very end may be the start of a word: it is not thrown away."""
    endpointer = Endpointer(OPTIONS)
    push_all(endpointer, [0.0] * 9 + [0.9])
    assert endpointer.flush() == [SpeechStarted(frames(7)), SpeechEnded(Span(frames(7), frames(10)))]


def test_flush_does_not_turn_a_blip_into_speech() -> None:
    """A blip that already fell silent is silence at a flush too."""
    endpointer = Endpointer(OPTIONS)
    push_all(endpointer, [0.9, 0.0])
    assert endpointer.flush() == []
    assert endpointer.account.silence_samples == frames(2)


def test_speech_after_a_flush_starts_anew() -> None:
    """A flush in mid-speech splits it: the next utterance begins where the flush was."""
    endpointer = Endpointer(OPTIONS)
    push_all(endpointer, [0.9] * 5)
    endpointer.flush()
    assert push_all(endpointer, [0.9] * 5) == [SpeechStarted(frames(5))]


def test_caller_cuts_where_it_likes_and_the_rest_goes_on() -> None:
    """A cut ends the utterance at the caller's sample; speech after it is the next utterance at once."""
    endpointer = Endpointer(OPTIONS)
    push_all(endpointer, [0.9] * 32)
    assert endpointer.cut(1000) == [SpeechEnded(Span(0, 1000)), SpeechStarted(1000)]
    assert endpointer.open_span == Span(1000, frames(32))


def test_however_little_is_left_after_a_cut_it_is_speech() -> None:
    """One frame of speech after a cut is the tail of a word, not a blip."""
    endpointer = Endpointer(OPTIONS)
    push_all(endpointer, [0.9] * 10)
    endpointer.cut(frames(9))
    assert spans(push_all(endpointer, [0.0] * 5)) == [Span(frames(9), frames(11))]


def test_cut_in_the_closing_pause_ends_the_utterance() -> None:
    """If no speech follows the cut, no utterance is open after it and what follows is silence."""
    endpointer = Endpointer(OPTIONS)
    push_all(endpointer, [0.9] * 5 + [0.0] * 4)
    assert endpointer.cut(frames(6)) == [SpeechEnded(Span(0, frames(6)))]
    assert endpointer.open_span is None
    assert push_all(endpointer, [0.0] * 20) == []


def test_cutting_a_candidate_makes_it_speech() -> None:
    """The caller's word that there is speech to cut counts before the minimum is reached."""
    endpointer = Endpointer(OPTIONS)
    endpointer.push(0.9)
    assert endpointer.cut(512) == [SpeechStarted(0), SpeechEnded(Span(0, 512))]


@pytest.mark.parametrize("at_sample", [0, frames(5) + 1])
def test_cut_outside_the_open_utterance_is_refused(at_sample: int) -> None:
    """A cut must be after the start and not beyond what was received."""
    endpointer = Endpointer(OPTIONS)
    push_all(endpointer, [0.9] * 5)
    with pytest.raises(ValueError, match="no open utterance to cut"):
        endpointer.cut(at_sample)


def test_cut_without_an_utterance_is_refused() -> None:
    """In silence there is nothing to cut."""
    endpointer = Endpointer(OPTIONS)
    endpointer.push(0.0)
    with pytest.raises(ValueError, match="no open utterance to cut"):
        endpointer.cut(1)


def test_speech_without_end_is_cut_at_the_maximum_in_its_last_pause() -> None:
    """If nobody cuts, the endpointer does, in the longest late pause, and the rest goes on."""
    probabilities = [0.9] * 10 + [0.1] * 4 + [0.9] * 30 + [0.1] * 2 + [0.9] * 20
    events = push_all(Endpointer(OPTIONS), probabilities)
    assert events == [
        SpeechStarted(0),
        SpeechEnded(Span(0, frames(45))),
        SpeechStarted(frames(45)),
    ]


def test_quietest_is_the_longest_pause_else_the_least_probable_frame() -> None:
    """Pauses win over dips, longer over shorter, later over earlier."""

    def quietest(*probabilities: float) -> float:
        judged = [
            Frame(Span(frames(index), frames(index + 1)), probability, voiced=True)
            for index, probability in enumerate(probabilities)
        ]
        return quietest_sample(judged, 0.35) / FRAME_SAMPLES

    assert quietest(0.9, 0.5, 0.9) == 1
    assert quietest(0.9, 0.1, 0.9, 0.3, 0.3, 0.9, 0.2) == 4
    assert quietest(0.1, 0.9, 0.1) == 2


@pytest.mark.parametrize("frame_samples", [0, 513])
def test_frame_of_impossible_length_is_refused(frame_samples: int) -> None:
    """A frame has 1 to 512 samples."""
    with pytest.raises(ValueError, match="1 to 512 samples"):
        Endpointer().push(0.5, frame_samples)


@pytest.mark.parametrize(
    "wrong",
    [
        {"onset_threshold": 0.3},
        {"offset_threshold": 0.0},
        {"onset_threshold": 1.1},
        {"onset_threshold": float("nan")},
        {"pad_before_s": -0.1},
        {"min_speech_s": -0.1},
        {"overlong_s": 0.0},
        {"pad_after_s": 0.6},
        {"trailing_silence_s": 0.0},
        {"max_utterance_s": 1.1},
        {"max_utterance_s": float("inf")},
    ],
)
def test_senseless_options_are_refused(wrong: dict[str, float]) -> None:
    """Options that contradict each other are a usage error that names them."""
    with pytest.raises(UsageError, match="endpointing:"):
        EndpointerOptions(**wrong)


@st.composite
def any_options(draw: st.DrawFn) -> EndpointerOptions:
    """Options over the whole sensible range, with utterances short enough to be cut in the test."""

    def tenths(low: int, high: int) -> float:
        return draw(st.integers(low, high)) / 10

    trailing_silence_s = tenths(1, 8)
    pad_before_s = tenths(0, 5)
    return EndpointerOptions(
        pad_before_s=pad_before_s,
        pad_after_s=min(trailing_silence_s, tenths(0, 8)),
        min_speech_s=tenths(0, 20),
        trailing_silence_s=trailing_silence_s,
        overlong_s=tenths(1, 20),
        max_utterance_s=1 + pad_before_s + tenths(0, 10),
    )


runs = st.tuples(st.sampled_from([0.0, 0.2, 0.4, 0.5, 0.9, 1.0]), st.integers(1, 60))
actions = st.lists(
    st.one_of(
        runs,
        runs,
        st.tuples(st.just("short frame"), st.integers(1, 511)),
        st.tuples(st.just("cut"), st.floats(0.01, 1)),
        st.just(("flush", 0)),
    ),
    max_size=30,
)


class Ledger:
    """Checks what every stream must keep to, after each step."""

    def __init__(self, options: EndpointerOptions) -> None:
        self.endpointer = Endpointer(options)
        self.max_samples = round(options.max_utterance_s * 16_000)
        self.started: SpeechStarted | None = None
        self.ended: list[Span] = []
        self.received = 0
        self.settled = 0

    def check(self, events: list[Event]) -> None:
        """Take one step's events in and compare all accounts."""
        for event in events:
            if isinstance(event, SpeechStarted):
                assert self.started is None
                assert event.start_sample >= (self.ended[-1].end_sample if self.ended else 0)
                self.started = event
            elif isinstance(event, SpeechEnded):
                assert self.started == SpeechStarted(event.span.start_sample)
                assert 0 < event.span.length_samples <= self.max_samples
                self.started = None
                self.ended.append(event.span)
        account, settled = self.endpointer.account, self.endpointer.settled_sample
        assert account.received_samples == self.received
        assert account.speech_samples == sum(span.length_samples for span in self.ended)
        assert account.speech_samples + account.silence_samples == settled
        assert self.settled <= settled <= self.received
        assert not self.ended or self.ended[-1].end_sample <= settled
        self.settled = settled
        self.check_open_span()

    def check_open_span(self) -> None:
        """The open span is the started utterance, and none of it is settled."""
        open_span = self.endpointer.open_span
        assert (open_span is None) == (self.started is None)
        if open_span and self.started:
            assert open_span.start_sample == self.started.start_sample == self.settled
            assert open_span.end_sample <= self.received


@given(any_options(), actions)
def test_account_balances_at_every_step(
    options: EndpointerOptions, steps: list[tuple[float | str, float]]
) -> None:
    """Whatever comes: each sample in one place, no overlap, nothing too long, nothing pending at the end."""
    ledger = Ledger(options)
    endpointer = ledger.endpointer
    for kind, amount in steps:
        if kind == "flush":
            ledger.check(endpointer.flush())
            assert endpointer.account.pending_samples == 0
        elif kind == "cut":
            span = endpointer.open_span
            if span:
                ledger.check(endpointer.cut(span.start_sample + max(1, int(amount * span.length_samples))))
        elif kind == "short frame":
            ledger.received += int(amount)
            ledger.check(endpointer.push(0.5, int(amount)))
        else:
            for _ in range(int(amount)):
                ledger.received += FRAME_SAMPLES
                ledger.check(endpointer.push(float(kind)))
    ledger.check(endpointer.flush())
    assert ledger.started is None
    assert endpointer.account.pending_samples == 0


@given(any_options(), st.lists(runs, max_size=20))
def test_utterances_are_whole_frames(options: EndpointerOptions, stretches: list[tuple[float, int]]) -> None:
    """Whatever the options, they start and end with a frame, and what is settled does too."""
    endpointer, edges = Endpointer(options), list[int]()
    for probability, count in stretches:
        for span in spans(push_all(endpointer, [probability] * count)):
            edges += span
        edges.append(endpointer.settled_sample)
    assert not any(edge % FRAME_SAMPLES for edge in edges)


@given(any_options(), st.lists(runs, max_size=20))
def test_every_loud_stretch_is_in_an_utterance(
    options: EndpointerOptions, stretches: list[tuple[float, int]]
) -> None:
    """Speech that lasts the minimum without a break is never judged silence."""
    endpointer = Endpointer(options)
    minimum = round(options.min_speech_s * 16_000)
    probabilities = [probability for probability, count in stretches for _ in range(count)]
    found = spans([*push_all(endpointer, probabilities), *endpointer.flush()])
    at = 0
    for probability, count in stretches:
        loud = Span(at, at + frames(count))
        at = loud.end_sample
        if probability >= options.onset_threshold and loud.length_samples >= minimum:
            covered = sum(
                max(0, min(span.end_sample, loud.end_sample) - max(span.start_sample, loud.start_sample))
                for span in found
            )
            assert covered == loud.length_samples


def test_a_pause_may_be_told_to_be_shorter() -> None:
    """It ends the utterance at once where it has lasted as long already, or else once it has."""
    for paused, told, then in ((2, 0, 0), (2, 3, 1)):
        endpointer = Endpointer(OPTIONS)
        push_all(endpointer, [0.0] * 10 + [0.9] * 10 + [0.0] * paused)
        events = endpointer.wait(told * FRAME_S) + push_all(endpointer, [0.0] * then)
        assert spans(events) == [Span(frames(8), frames(21))]
        assert endpointer.open_span is None


def test_a_pause_may_be_told_to_be_longer() -> None:
    """That holds for this pause alone: the next is as long as all."""
    endpointer = Endpointer(OPTIONS)
    push_all(endpointer, [0.9] * 10 + [0.0] * 2)
    assert not endpointer.wait(8 * FRAME_S) + push_all(endpointer, [0.0] * 5)
    assert spans(push_all(endpointer, [0.0])) == [Span(0, frames(11))]
    push_all(endpointer, [0.0] * 10 + [0.9] * 10 + [0.0] * 2)
    assert not endpointer.wait(8 * FRAME_S) + push_all(endpointer, [0.0] * 5 + [0.9] * 3 + [0.0] * 4)
    assert len(spans(push_all(endpointer, [0.0]))) == 1


def test_where_no_pause_is_nothing_waits() -> None:
    """Neither in silence nor in speech."""
    endpointer = Endpointer(OPTIONS)
    assert not endpointer.wait(0)
    push_all(endpointer, [0.9] * 10)
    assert not endpointer.wait(0) and endpointer.open_span is not None
