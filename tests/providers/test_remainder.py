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
    decode = Lazy(*[[(0.0, 0.1, "w")]] * 10)
    assert decode_whole(decode, window(20)).text == "w w w w w"
