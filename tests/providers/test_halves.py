"""Windows decoded in two parts, and what the time of a decode goes to."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from asrctl.providers.halves import LEAST_CUT_SAMPLES, decode_in_halves
from asrctl.providers.parts import PartTimer
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Part, Segment


def test_a_window_is_cut_where_it_is_quietest_in_its_middle_third() -> None:
    """The parts are all of the window; times of the second count from the window's start."""
    rng = np.random.default_rng(0)
    samples = rng.uniform(-1, 1, 6 * SAMPLE_RATE_HZ).astype(np.float32)
    samples[: SAMPLE_RATE_HZ // 2] = 0  # as quiet, but not in the middle third
    samples[round(3.5 * SAMPLE_RATE_HZ) : round(3.6 * SAMPLE_RATE_HZ)] = 0
    parts = list[NDArray[np.float32]]()

    def decode(part: NDArray[np.float32]) -> Hypothesis:
        parts.append(part)
        return Hypothesis((Segment(0.5, 1.0, f"part {len(parts)}", 0.9),), "en", 0.1)

    heard = decode_in_halves(decode, samples)
    assert np.array_equal(np.concatenate(parts), samples)
    assert len(parts[0]) / SAMPLE_RATE_HZ == pytest.approx(3.55, abs=0.06)
    assert [segment.text for segment in heard.segments] == ["part 1", "part 2"]
    assert heard.segments[1].start_s == pytest.approx(0.5 + len(parts[0]) / SAMPLE_RATE_HZ)


def test_times_and_loops_are_judged_by_each_part() -> None:
    """A decoder gives the end of its own 30 s; what one part has no time for is cut in that part alone."""
    samples = np.zeros(15 * SAMPLE_RATE_HZ, np.float32)
    said = iter([" ".join(["no"] * 60), " ".join(["very"] * 6) + " good."])
    heard = decode_in_halves(lambda _: Hypothesis((Segment(0.0, 30.0, next(said), 0.9),), "en", 0.1), samples)
    first, second = heard.segments
    assert (first.text, second.text) == ("no", "very very very very very very good.")
    assert 0.0 == first.start_s < first.end_s == second.start_s < second.end_s == 15.0


@pytest.mark.parametrize("length", [LEAST_CUT_SAMPLES, LEAST_CUT_SAMPLES + 1, 30 * SAMPLE_RATE_HZ])
def test_no_part_is_shorter_than_a_third(length: int) -> None:
    """Whatever the audio, silence too, neither part is empty."""
    lengths = list[int]()

    def decode(part: NDArray[np.float32]) -> Hypothesis:
        lengths.append(len(part))
        return Hypothesis((), "en", 0.0)

    decode_in_halves(decode, np.zeros(length, np.float32))
    assert sum(lengths) == length
    assert min(lengths) >= length // 3


def test_a_timer_adds_up_the_parts_and_knows_the_first() -> None:
    """What is decoded of a window without another reason is the first decode, then the rest; an error is
    counted too."""
    timer = PartTimer(time.perf_counter)
    assert timer.first_or_rest is Part.FIRST
    with timer.timed(timer.first_or_rest):
        pass
    assert timer.first_or_rest is Part.REST
    with pytest.raises(ValueError, match="no"), timer.timed(Part.AGAIN):
        raise ValueError("no")
    once = timer.parts_s[Part.AGAIN]
    with timer.timed(Part.AGAIN):
        pass
    assert set(timer.parts_s) == {Part.FIRST, Part.AGAIN}
    assert timer.parts_s[Part.AGAIN] >= once > 0
