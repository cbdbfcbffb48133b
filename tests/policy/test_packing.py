"""Packing: every utterance in exactly one window, in order, and times that lead back to the source."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.errors import UsageError
from asrctl.policy.endpointing import Span
from asrctl.policy.packing import Packer, PackingOptions, Window, pack

RATE_HZ = 16_000
OPTIONS = PackingOptions(max_window_s=10, first_window_s=4, max_pause_s=0.5)


def seconds(*bounds: tuple[float, float]) -> list[Span]:
    """Spans given in seconds."""
    return [Span(round(start * RATE_HZ), round(end * RATE_HZ)) for start, end in bounds]


def test_no_utterances_make_no_window() -> None:
    """Silence is never decoded."""
    assert list(pack([])) == []


def test_long_pauses_are_shortened_and_short_ones_kept() -> None:
    """Utterances half a second apart or less become one span; farther apart, two with a pause between."""
    windows = list(pack(seconds((0, 1), (1.5, 2), (5, 6)), OPTIONS))
    assert windows == [Window(tuple(seconds((0, 2), (5, 6))), RATE_HZ // 2)]
    assert windows[0].length_samples == 3.5 * RATE_HZ


def test_first_window_is_small_and_the_others_are_full() -> None:
    """The first window takes what fits four seconds, the next ten."""
    utterances = seconds(*((at, at + 2) for at in range(0, 40, 4)))
    assert [len(window.spans) for window in pack(utterances, OPTIONS)] == [1, 4, 4, 1]


def test_utterance_longer_than_the_first_window_goes_out_alone_and_at_once() -> None:
    """Nothing is waited for once the first window is as long as it should be."""

    def utterances() -> Iterator[Span]:
        yield from seconds((1, 6))
        pytest.fail("asked for more than it needs")

    assert next(pack(utterances(), OPTIONS)).spans == (Span(RATE_HZ, 6 * RATE_HZ),)


def test_window_is_given_before_the_utterance_after_next_is_asked_for() -> None:
    """The one utterance that does not fit is all it takes to know that a window is full."""
    taken = []

    def utterances() -> Iterator[Span]:
        for span in seconds((0, 3), (4, 7), (8, 11)):
            taken.append(span)
            yield span

    next(pack(utterances(), OPTIONS))
    assert len(taken) == 2


@pytest.mark.parametrize(
    "utterances", [seconds((0, 11)), seconds((0, 2), (1, 3)), seconds((4, 5), (0, 1)), seconds((1, 1))]
)
def test_utterances_that_cannot_be_packed_are_refused(utterances: list[Span]) -> None:
    """Too long, overlapping, out of order or empty: a mistake of the caller's, and said so."""
    with pytest.raises(ValueError, match="cannot pack"):
        list(pack(utterances, OPTIONS))


def test_times_lead_back_to_the_source() -> None:
    """Inside spans times are shifted; in a pause a start belongs to what follows and an end to what was."""
    window = Window(tuple(seconds((1, 3), (9, 10))), RATE_HZ // 2)
    starts = {-1: 1, 0: 1, 0.5: 1.5, 1.9: 2.9, 2: 9, 2.25: 9, 2.5: 9, 3: 9.5, 3.5: 10, 99: 10}
    ends = {-1: 1, 0: 1, 0.5: 1.5, 2: 3, 2.25: 3, 2.5: 3, 2.6: 9.1, 3: 9.5, 3.5: 10, 99: 10}
    assert {time_s: window.start_in_source(time_s) for time_s in starts} == pytest.approx(starts)
    assert {time_s: window.end_in_source(time_s) for time_s in ends} == pytest.approx(ends)


@pytest.mark.parametrize(
    "wrong",
    [
        {"first_window_s": 0.0},
        {"first_window_s": 13.0},
        {"max_pause_s": -0.1},
        {"max_pause_s": 12.0},
        {"max_window_s": float("inf")},
        {"max_window_s": float("nan")},
        {"max_wait_s": 0.0},
        {"max_wait_s": float("nan")},
    ],
)
def test_senseless_options_are_refused(wrong: dict[str, float]) -> None:
    """Options that contradict each other are a usage error that names them."""
    with pytest.raises(UsageError, match="packing:"):
        PackingOptions(**wrong)


@st.composite
def any_utterances(draw: st.DrawFn) -> list[Span]:
    """Utterances in order, at most ten seconds each, with pauses from none to long."""
    spans, at = [], 0
    for pause, length in draw(
        st.lists(st.tuples(st.integers(0, 5 * RATE_HZ), st.integers(1, 10 * RATE_HZ)), max_size=20)
    ):
        spans.append(Span(at + pause, at + pause + length))
        at += pause + length
    return spans


@given(any_utterances())
def test_every_sample_of_speech_is_decoded_once_and_in_order(utterances: list[Span]) -> None:
    """Each utterance lies whole in one span of one window; spans never overlap; no window is too long."""
    windows = list(pack(utterances, OPTIONS))
    spans = [span for window in windows for span in window.spans]
    assert all(one.end_sample <= other.start_sample for one, other in pairwise(spans))
    for utterance in utterances:
        inside = [
            span
            for span in spans
            if span.start_sample <= utterance.start_sample and utterance.end_sample <= span.end_sample
        ]
        assert len(inside) == 1
    starts = {utterance.start_sample for utterance in utterances}
    ends = {utterance.end_sample for utterance in utterances}
    assert all(span.start_sample in starts and span.end_sample in ends for span in spans)
    assert all(window.length_samples <= 10 * RATE_HZ for window in windows)


@given(any_utterances(), st.lists(st.floats(-1, 12), min_size=2))
def test_mapping_is_monotonic_and_stays_inside_the_spans(
    utterances: list[Span], times_s: list[float]
) -> None:
    """Later in the window is never earlier in the source, and no time points into removed silence."""
    for window in pack(utterances, OPTIONS):
        for to_source in (window.start_in_source, window.end_in_source):
            mapped = [to_source(time_s) for time_s in sorted(times_s)]
            assert mapped == sorted(mapped)
            for time_s in mapped:
                assert any(
                    span.start_sample / RATE_HZ <= time_s <= span.end_sample / RATE_HZ
                    for span in window.spans
                )


def test_window_does_not_wait_for_ever() -> None:
    """A window that is not full goes out once the stream is 30 s past its beginning, and not before."""
    packer = Packer()
    assert packer.settle(99 * RATE_HZ) == []
    assert packer.push(Span(100 * RATE_HZ, 101 * RATE_HZ)) == []
    assert packer.start_sample == 100 * RATE_HZ
    assert packer.settle(130 * RATE_HZ - 1) == []
    assert [window.spans for window in packer.settle(130 * RATE_HZ)] == [
        (Span(100 * RATE_HZ, 101 * RATE_HZ),)
    ]
    assert packer.start_sample is None
    assert packer.flush() == packer.settle(999 * RATE_HZ) == []


def test_pause_that_is_too_long_ends_a_window() -> None:
    """Two utterances with more than the bound between their beginnings are decoded apart."""
    windows = list(pack(seconds((0, 1), (29, 30), (31, 32)), OPTIONS))
    assert [len(window.spans) for window in windows] == [2, 1]
