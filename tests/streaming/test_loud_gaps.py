"""Gaps between utterances: what is as loud as speech is looked at, what is quieter is not."""

from __future__ import annotations

import numpy as np
import pytest

from asrctl.policy.endpointing import Span
from asrctl.streaming.loud_gaps import LoudGaps
from asrctl.transcript import SAMPLE_RATE_HZ


def gaps_of(*levels_db: float) -> LoudGaps:
    """A stream with a level for each second."""
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 1, (len(levels_db), SAMPLE_RATE_HZ)).astype(np.float32)
    audio = (noise * 10 ** (np.array(levels_db).reshape(-1, 1) / 20)).astype(np.float32).reshape(-1)
    return LoudGaps(lambda span: audio[span.start_sample : span.end_sample])


def seconds(start_s: float, end_s: float) -> Span:
    return Span(round(start_s * SAMPLE_RATE_HZ), round(end_s * SAMPLE_RATE_HZ))


@pytest.mark.parametrize(("gap_db", "looked_at"), [(-20, True), (-25, True), (-40, False)])
def test_only_what_is_as_loud_as_speech(gap_db: float, looked_at: bool) -> None:
    """Speech at -25 dB: noise behind it is quieter than both together."""
    gaps = gaps_of(-26, gap_db, gap_db, -26)
    assert gaps.before(seconds(0, 1)) == []
    assert gaps.before(seconds(3, 4)) == ([seconds(1, 3)] if looked_at else [])


def test_pauses_are_no_gaps() -> None:
    """Less than a second is left alone, however loud."""
    gaps = gaps_of(-26, -10, -26)
    assert gaps.before(seconds(0, 1.1)) == gaps.before(seconds(2, 3)) == []


def test_a_long_gap_comes_in_pieces_before_it_ends() -> None:
    """Nobody waits for its end, and what is judged is needed no longer."""
    gaps = gaps_of(-26, *[-20] * 30, -26)
    gaps.before(seconds(0, 1))
    assert gaps.until(seconds(0, 12).end_sample) == []
    assert gaps.until(seconds(0, 13).end_sample) == [seconds(1, 13)]
    assert gaps.start_sample == seconds(1, 13).end_sample
    assert gaps.before(seconds(31, 32)) == [seconds(13, 25), seconds(25, 31)]


def test_a_gap_that_was_loud_is_looked_at_to_its_end() -> None:
    """And the next gap by itself again."""
    gaps = gaps_of(-26, *[-20] * 12, *[-40] * 5, -26, *[-40] * 5, -26)
    gaps.before(seconds(0, 1))
    assert gaps.before(seconds(18, 19)) == [seconds(1, 13), seconds(13, 18)]
    assert gaps.before(seconds(24, 25)) == []


def test_before_the_first_utterance() -> None:
    """It is compared with the first utterance; of a long gap before, the end is kept."""
    gaps = gaps_of(*[-20] * 40, -26)
    assert gaps.until(seconds(0, 35).end_sample) == []
    assert gaps.start_sample == seconds(0, 23).end_sample
    assert gaps.before(seconds(40, 41)) == [seconds(23, 35), seconds(35, 40)]


def test_behind_the_last_utterance() -> None:
    """The rest of the input; with no utterance there is nothing to compare with."""
    gaps = gaps_of(-26, -20, -20)
    assert gaps.flush(seconds(0, 3).end_sample) == []
    gaps.before(seconds(0, 1))
    assert gaps.flush(seconds(0, 3).end_sample) == [seconds(1, 3)]
