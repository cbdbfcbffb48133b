"""How often the same is said."""

from __future__ import annotations

import numpy as np
import pytest

from asrctl.audio.repetition import repetitions
from asrctl.transcript import SAMPLE_RATE_HZ, Samples
from tests.audio.syllables import again_and_again, speech, word


@pytest.mark.parametrize("rounds", [5, 8, 20])
@pytest.mark.parametrize("word_s", [0.2, 0.45])
@pytest.mark.parametrize("uneven", [0.0, 0.04])
def test_rounds_are_counted(rounds: int, word_s: float, uneven: float) -> None:
    """Right to one in ten, with tempo and level that vary as those of a speaker."""
    rng = np.random.default_rng(rounds)
    before, said = speech(rng, 1.5), again_and_again(rng, word(rng, word_s), rounds, uneven)
    (found,) = repetitions(np.concatenate([before, said, speech(rng, 1.5)]))
    assert found.rounds == pytest.approx(rounds, abs=max(0.7, rounds / 10))
    assert found.start_s == pytest.approx(1.5, abs=0.6 * word_s + 0.1)
    assert found.end_s == pytest.approx(1.5 + len(said) / SAMPLE_RATE_HZ, abs=0.6 * word_s + 0.1)


def test_one_stretch_after_the_other() -> None:
    rng = np.random.default_rng(1)
    first, second = (again_and_again(rng, word(rng, 0.3), rounds, 0.03) for rounds in (8, 9))
    found = repetitions(np.concatenate([first, speech(rng, 1.0), second]))
    assert [round(each.rounds) for each in found] == [8, 9]
    assert found[0].end_s < found[1].start_s


def test_a_word_of_two_like_halves_is_not_two() -> None:
    """Two rounds are a period as well; the shorter one is told."""
    rng = np.random.default_rng(2)
    (found,) = repetitions(again_and_again(rng, word(rng, 0.25), 14, 0.03))
    assert found.rounds == pytest.approx(14, abs=1)


@pytest.mark.parametrize("seed", range(5))
def test_speech_that_goes_on_repeats_nothing(seed: int) -> None:
    assert repetitions(speech(np.random.default_rng(seed), 12.0)) == []


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0, np.float32),
        np.zeros(100, np.float32),
        np.zeros(5 * SAMPLE_RATE_HZ, np.float32),
        np.sin(np.arange(5 * SAMPLE_RATE_HZ) / 5).astype(np.float32),
        np.random.default_rng(0).normal(0, 0.1, 5 * SAMPLE_RATE_HZ).astype(np.float32),
    ],
)
def test_what_lasts_is_not_repeated(samples: Samples) -> None:
    """Silence, a tone and noise are like themselves at any time."""
    assert repetitions(samples) == []


def test_four_times_may_be_chance() -> None:
    rng = np.random.default_rng(3)
    assert repetitions(again_and_again(rng, word(rng, 0.3), 4, 0.0)) == []
