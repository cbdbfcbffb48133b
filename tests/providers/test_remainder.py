"""What a decoder leaves over at the end of a window is decoded too."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from asrctl.providers.remainder import decode_whole
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Segment, Word

Decoded = list[tuple[float, float, str]]


class Lazy:
    """A decoder that hears only some of each window it is given, as scripted; keeps the windows' lengths."""

    def __init__(self, *answers: Decoded) -> None:
        self._answers = list(answers)
        self.lengths_s: list[float] = []

    def __call__(self, samples: NDArray[np.float32]) -> Hypothesis:
        self.lengths_s.append(len(samples) / SAMPLE_RATE_HZ)
        spans = self._answers.pop(0)
        segments = (
            Segment(start, end, text, 1.0, (Word(start, end, text, 1.0),)) for start, end, text in spans
        )
        return Hypothesis(tuple(segments), "en", 0.0)


def window(duration_s: float) -> NDArray[np.float32]:
    return np.zeros(round(duration_s * SAMPLE_RATE_HZ), np.float32)


def test_a_window_that_is_heard_to_its_end_is_decoded_once() -> None:
    """Times are coarse: a text that ends a second before its window is taken for all of it."""
    decode = Lazy([(0.0, 9.0, "all")])
    assert decode_whole(decode, window(10)).text == "all"
    assert decode.lengths_s == [10.0]


def test_a_loop_is_left_as_it_is() -> None:
    """It is to be decoded again as a whole."""
    loop = Hypothesis((Segment(0.0, 1.5, "and and and", 1.0),), "en", 0.0, is_loop=True)
    assert decode_whole(lambda _: loop, window(10)) is loop


def test_the_rest_is_decoded_and_its_times_shifted() -> None:
    """The rest begins where the text ended; segments and words carry times of the whole window."""
    decode = Lazy([(0.0, 1.5, "first")], [(0.5, 4.0, "second")], [(0.0, 4.4, "third")])
    hypothesis = decode_whole(decode, window(10))
    assert hypothesis.text == "first second third"
    assert [(s.start_s, s.end_s) for s in hypothesis.segments] == [(0.0, 1.5), (2.0, 5.5), (5.5, 9.9)]
    assert hypothesis.segments[1].words[0].start_s == 2.0
    assert decode.lengths_s == pytest.approx([10.0, 8.5, 4.5])


def test_a_rest_without_words_ends_it() -> None:
    """Where nothing more is heard, nothing more is tried."""
    decode = Lazy([(0.0, 1.0, "first")], [])
    assert decode_whole(decode, window(10)).text == "first"


def test_a_window_without_words_is_not_tried_again() -> None:
    """Nothing heard at all leaves no place to go on from."""
    decode = Lazy([])
    assert decode_whole(decode, window(10)).segments == ()
    assert len(decode.lengths_s) == 1


def test_a_decoder_that_creeps_is_stopped() -> None:
    """One that hears next to nothing each time does not hold the worker for ever."""
    decode = Lazy(*([(0.0, 0.1, word)] for word in "abcdefghij"))
    assert decode_whole(decode, window(20)).text == "a b c d e"


def speech(*stretches: tuple[float, float], duration_s: float) -> NDArray[np.float32]:
    """A tone where something is said, nothing elsewhere."""
    samples = window(duration_s)
    for start_s, end_s in stretches:
        samples[round(start_s * SAMPLE_RATE_HZ) : round(end_s * SAMPLE_RATE_HZ)] = 0.1
    return samples


def test_words_that_were_heard_already_are_not_printed_twice() -> None:
    """An end time that came too early: what follows it repeats the end of the text, and moves its end."""
    decode = Lazy(
        [(0.0, 4.0, "Ask not why."), (4.0, 7.0, "Ask what you can do for your country.")],
        [(0.0, 2.5, "ask what you can do for your country.")],
        [(0.0, 4.0, "Ask not why.")],
    )
    hypothesis = decode_whole(decode, window(9.7))
    assert hypothesis.text == "Ask not why. Ask what you can do for your country."
    assert hypothesis.segments[-1].end_s == 9.5
    assert decode.lengths_s == pytest.approx([9.7, 2.7, 7.0])


def test_a_rest_that_starts_in_the_middle_of_a_phrase_adds_only_what_is_new() -> None:
    """One word in four may be misheard; times of what is added come from its own words."""
    decode = Lazy(
        [(0.0, 5.0, "one two three four five six")],
        [(0.0, 4.0, "tree four five six seven eight")],
        [(0.0, 4.0, "one two")],
    )
    hypothesis = decode_whole(decode, window(9.5))
    assert hypothesis.text == "one two three four five six seven eight"
    assert [round(segment.end_s, 1) for segment in hypothesis.segments] == [7.7, 9.0]


def test_words_that_were_said_twice_stay() -> None:
    """The first part alone has them too, so that the rest is another time."""
    decode = Lazy(
        [(0.0, 3.0, "We shall overcome.")],
        [(0.0, 3.0, "We shall overcome.")],
        [(0.0, 3.0, "We shall overcome.")],
    )
    assert decode_whole(decode, window(6.0)).text == "We shall overcome. We shall overcome."


def test_a_loud_rest_after_a_pause_is_decoded_from_one_second_on() -> None:
    """No word lasts as long; a quiet rest, or one without a pause before it, may be the last word."""
    answers = ([(0.0, 2.0, "Go, go!")], [(0.1, 1.2, "Run, run!")])
    pausing = speech((0.0, 1.8), (2.1, 3.4), duration_s=3.4)
    assert decode_whole(Lazy(*answers), pausing).text == "Go, go! Run, run!"
    quiet, flowing = speech((0.0, 1.8), duration_s=3.4), speech((0.0, 3.4), duration_s=3.4)
    assert decode_whole(Lazy(*answers), quiet).text == decode_whole(Lazy(*answers), flowing).text == "Go, go!"


def test_a_syllable_for_seconds_of_speech_is_decoded_by_itself() -> None:
    """A decoder that gives up puts a token or two where a sentence was."""
    decode = Lazy(
        [(0.0, 5.0, "Margaret came back."), (5.0, 21.0, "A-c")], [(0.0, 6.5, "He should make inquiries.")]
    )
    hypothesis = decode_whole(decode, window(11.9))
    assert hypothesis.text == "Margaret came back. He should make inquiries."
    assert hypothesis.segments[-1].start_s == 5.0
    assert decode.lengths_s == pytest.approx([11.9, 6.9])


@pytest.mark.parametrize(
    ("last", "decodes"),
    [
        ((8.0, 11.0, "Yes."), 2),
        ((9.5, 12.0, "Yes."), 1),
        ((5.0, 12.0, "one two three four five six seven"), 1),
    ],
)
def test_few_words_stay_where_there_are_no_others(last: tuple[float, float, str], decodes: int) -> None:
    """Noise that was taken for speech, a short word, slow speech."""
    decode = Lazy([(0.0, 5.0, "Will you come?"), last], [(0.0, 1.0, "Yeah.")])
    assert decode_whole(decode, window(12.0)).text == f"Will you come? {last[2]}"
    assert len(decode.lengths_s) == decodes
