"""Where an utterance that is heard as it is spoken is cut: here and now, or later."""

from __future__ import annotations

import random
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from asrctl.policy.cutting import Cutter
from asrctl.policy.endpointing import FRAME_SAMPLES, EndpointerOptions
from asrctl.transcript import SAMPLE_RATE_HZ

FRAME_S = FRAME_SAMPLES / SAMPLE_RATE_HZ
OPTIONS = EndpointerOptions(overlong_s=10.0, max_utterance_s=28.0)


def cut_s(probabilities: Iterable[float], options: EndpointerOptions = OPTIONS) -> float | None:
    """The length at which an utterance of these frames is cut."""
    cutter = Cutter(options)
    for number, probability in enumerate(probabilities, start=1):
        if cutter.push(probability, number * FRAME_S):
            return number * FRAME_S
    return None


def frames(length_s: float) -> int:
    return round(length_s / FRAME_S)


def test_nothing_is_cut_before_it_is_overlong() -> None:
    """However quiet it is."""
    assert cut_s([0.0] * frames(9.9)) is None


def test_a_pause_is_taken_at_once() -> None:
    """The first frame that is one, once the utterance is overlong."""
    assert cut_s([1.0] * frames(11.0) + [0.1]) == (frames(11.0) + 1) * FRAME_S


def test_the_quietest_of_the_last_seconds_will_do() -> None:
    """Where there is no pause, a frame quieter than all of them."""
    assert cut_s([0.99] * frames(11.0) + [0.9]) == (frames(11.0) + 1) * FRAME_S


def test_what_is_quieter_than_most_will_do_when_it_gets_long() -> None:
    """It need not be quieter than all: the nearer the bound, the less is asked."""
    dice = random.Random(5)
    noisy = [dice.uniform(0.8, 1.0) for _ in range(frames(30.0))]
    noisy[frames(9.5)] = 0.5  # which is hard to beat for three seconds
    at_s = cut_s(noisy)
    assert at_s is not None and 10.0 < at_s < 16.0
    assert noisy[round(at_s / FRAME_S) - 1] < 0.85


def test_speech_without_any_quiet_is_cut_at_the_bound() -> None:
    """Before the endpointer would cut it somewhere behind."""
    at_s = cut_s([1.0] * frames(40.0))
    assert at_s is not None and 28.0 - 2 * FRAME_S < at_s <= 28.0


@given(
    seed=st.integers(0, 2**32),
    least=st.floats(0, 1),
    overlong_s=st.floats(0.5, 40.0),
    max_utterance_s=st.floats(1.2, 28.0),
)
def test_it_is_always_cut_before_the_endpointer_must(
    seed: int, least: float, overlong_s: float, max_utterance_s: float
) -> None:
    """Whatever the options: what was passed on must not have to be taken back."""
    options = EndpointerOptions(overlong_s=overlong_s, max_utterance_s=max_utterance_s)
    dice = random.Random(seed)
    at_s = cut_s([dice.uniform(least, 1.0) for _ in range(1000)], options)
    assert at_s is not None and at_s <= max_utterance_s
