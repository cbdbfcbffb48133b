"""What recognisers get to hear."""

from __future__ import annotations

import numpy as np
import pytest

from asrctl.providers.samples import audible, clean, is_wordless
from asrctl.transcript import SAMPLE_RATE_HZ, Samples

ORDINARY_DB = -26.0


def speech(level_db: float, length_s: float = 2.0) -> Samples:
    """Noise whose loud tenth has this RMS; the rest is 20 dB quieter."""
    samples = np.random.default_rng(0).normal(0, 0.1, round(length_s * SAMPLE_RATE_HZ))
    samples[len(samples) // 10 :] *= 0.1
    return (samples * 10 * 10 ** (level_db / 20)).astype(np.float32)


def loud_db(samples: Samples) -> float:
    return float(10 * np.log10(np.var(samples[: len(samples) // 10])))


@pytest.mark.parametrize(
    ("level_db", "raised_db"),
    [(-20, -20), (-25, -25), (-31, ORDINARY_DB), (-50, ORDINARY_DB), (-66, ORDINARY_DB), (-76, -36)],
)
def test_quiet_speech_is_raised(level_db: float, raised_db: float) -> None:
    """To the level of ordinary speech, by 40 dB at most; what is louder stays as it is."""
    samples = speech(level_db)
    assert loud_db(audible(samples)) == pytest.approx(raised_db, abs=0.6)
    assert np.array_equal(audible(samples), samples) == (level_db > ORDINARY_DB)


def test_a_click_hides_no_speech() -> None:
    """It is clipped; a constant offset is no sound."""
    samples = speech(-60) + np.float32(0.01)
    samples[100] = 0.9
    assert loud_db(audible(samples)[1000:]) > -30 and abs(audible(samples)).max() <= 1.0


def test_what_holds_no_word_stays() -> None:
    assert is_wordless(np.zeros(0, np.float32)) and is_wordless(np.zeros(16_000, np.float32))
    assert is_wordless(speech(-20)[:800]) and not is_wordless(speech(-20)[:900])
    hiss = speech(-100)
    assert is_wordless(hiss) and np.array_equal(audible(hiss), hiss)
    assert len(audible(speech(-20)[:10])) == 10


def test_what_native_code_cannot_bear() -> None:
    given = np.array([np.nan, np.inf, -np.inf, 3.0, 0.5, -0.5] * 2, np.float32)[::2]
    assert clean(given).tolist() == [0.0, -1.0, 0.5, 0.0, -1.0, 0.5]
    assert clean(given).flags.c_contiguous
