"""Where there was speech, from a detector's probabilities."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.policy.endpointing import FRAME_SAMPLES, Span
from asrctl.policy.voiced import VoicedFrames


def heard(*runs: tuple[int, float]) -> VoicedFrames:
    """Frames of so many each, with one probability."""
    frames = VoicedFrames()
    for count, probability in runs:
        for _ in range(count):
            frames.push(probability)
    return frames


def frames_of(spans: tuple[Span, ...]) -> list[tuple[int, int]]:
    """Spans as numbers of frames."""
    return [(span.start_sample // FRAME_SAMPLES, span.end_sample // FRAME_SAMPLES) for span in spans]


def all_of(frames: VoicedFrames) -> list[tuple[int, int]]:
    """All the stretches, in frames."""
    return frames_of(frames.between(0, 10_000 * FRAME_SAMPLES))


def test_stretches_are_parted_by_pauses() -> None:
    """A quarter of a second is a pause; less is a consonant."""
    assert all_of(heard((10, 0.0), (20, 0.9), (8, 0.1), (20, 0.9), (7, 0.1), (5, 0.4), (9, 0.0))) == [
        (10, 30),
        (38, 70),
    ]


def test_only_what_was_asked_for() -> None:
    """Frames outside of the samples do not count, nor do those that were let go."""
    frames = heard((10, 0.9), (20, 0.0), (10, 0.9))
    assert frames_of(frames.between(5 * FRAME_SAMPLES, 40 * FRAME_SAMPLES)) == [(5, 10), (30, 40)]
    frames.forget(31 * FRAME_SAMPLES)
    assert all_of(frames) == [(31, 40)]


def test_a_last_frame_that_is_short_ends_with_the_samples() -> None:
    """No stretch is longer than what it was asked of."""
    frames = heard((10, 0.9))
    frames.push(0.9, 100)
    assert frames.between(0, 10 * FRAME_SAMPLES + 100) == (Span(0, 10 * FRAME_SAMPLES + 100),)


@pytest.mark.parametrize(
    ("runs", "stretches"),
    [
        (((10, 0.0), (5, 0.6), (90, 0.0), (40, 0.95)), [(105, 145)]),
        (((10, 0.0), (5, 0.95), (90, 0.0), (40, 0.95)), [(10, 15), (105, 145)]),
        (((10, 0.0), (5, 0.6), (20, 0.0), (40, 0.95)), [(10, 15), (35, 75)]),
        (((10, 0.0), (5, 0.6), (90, 0.0)), [(10, 15)]),
        (((10, 0.0), (1, 0.6), (90, 0.0)), [(10, 11)]),
        (((9, 0.0),), []),
    ],
)
def test_blips_are_no_speech(runs: tuple[tuple[int, float], ...], stretches: list[tuple[int, int]]) -> None:
    """Something short, weak and alone is not speech, unless there is nothing else."""
    assert all_of(heard(*runs)) == stretches


def test_a_detector_that_only_knows_levels_finds_pauses_too() -> None:
    """Where everything counts as speech, what is far below the rest is a pause; an even level has none."""
    assert all_of(heard((50, 0.88), (40, 0.62), (50, 0.9), (20, 0.6))) == [(0, 50), (90, 140)]
    assert all_of(heard((50, 0.88), (40, 0.84), (50, 0.9))) == [(0, 140)]


@given(st.lists(st.tuples(st.integers(1, 30), st.floats(0, 1)), max_size=12))
def test_stretches_are_in_order(runs: list[tuple[int, float]]) -> None:
    """They do not overlap, and are not empty."""
    spans = heard(*runs).between(0, 10_000 * FRAME_SAMPLES)
    assert all(span.length_samples > 0 for span in spans)
    assert all(one.end_sample < other.start_sample for one, other in pairwise(spans))


def test_the_weakest_frame_of_the_middle_third() -> None:
    """Weaker ones outside do not count; of several the first does."""
    frames = heard((9, 0.1), (3, 0.9), (2, 0.4), (4, 0.9), (9, 0.0))
    assert frames.weakest(Span(0, 27 * FRAME_SAMPLES)) == 12 * FRAME_SAMPLES + FRAME_SAMPLES // 2
    assert 0 < VoicedFrames().weakest(Span(0, 27 * FRAME_SAMPLES)) < 27 * FRAME_SAMPLES
