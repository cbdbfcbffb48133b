"""Quiet speech beside loud speech in one window."""

from __future__ import annotations

import numpy as np
import pytest

from asrctl.providers.beside import raised_beside
from asrctl.providers.samples import audible
from asrctl.transcript import SAMPLE_RATE_HZ, Samples

LENGTH_S = 3.0
LENGTH_SAMPLES = round(LENGTH_S * SAMPLE_RATE_HZ)


def noise(level_db: float, length_s: float = LENGTH_S) -> Samples:
    samples = np.random.default_rng(0).normal(0, 10 ** (level_db / 20), round(length_s * SAMPLE_RATE_HZ))
    return samples.astype(np.float32)


def speech(level_db: float) -> Samples:
    """Noise in syllables of a fifth of a second, with as long a pause after each four."""
    samples = noise(level_db)
    syllable = SAMPLE_RATE_HZ // 5
    for at in range(0, len(samples), 5 * syllable):
        samples[at : at + syllable] *= 0.001
    return samples


def level_db(samples: Samples) -> float:
    """Of the loud frames."""
    powers = samples[: len(samples) // 320 * 320].reshape(-1, 320).var(axis=1)
    return float(10 * np.log10(np.percentile(powers, 80)))


def joined(*parts: Samples) -> Samples:
    """In a room that is not quite silent."""
    samples = np.concatenate(parts)
    return samples + noise(-75, len(samples) / SAMPLE_RATE_HZ)


@pytest.mark.parametrize("by_db", [15, 25, 35])
@pytest.mark.parametrize("is_behind", [False, True])
def test_speech_far_below_the_rest_is_raised_to_its_level(by_db: float, is_behind: bool) -> None:
    """Before it and behind it; what is loud stays to the sample."""
    loud, quiet = speech(-20), speech(-20 - by_db)
    heard = raised_beside(joined(loud, quiet) if is_behind else joined(quiet, loud))
    halves = heard[:LENGTH_SAMPLES], heard[LENGTH_SAMPLES:]
    assert level_db(halves[is_behind]) == pytest.approx(-20, abs=2)
    assert level_db(halves[not is_behind]) == pytest.approx(-20, abs=0.5)


@pytest.mark.parametrize("by_db", [0, 5, 8])
def test_an_evenly_loud_window_stays_as_it_is(by_db: float) -> None:
    samples = joined(speech(-30), speech(-30 - by_db))
    assert raised_beside(samples) is samples


@pytest.mark.parametrize("noise_db", [-35, -50, -65])
@pytest.mark.parametrize("is_behind", [False, True])
def test_steady_noise_beside_speech_is_not_raised(noise_db: float, is_behind: bool) -> None:
    parts = speech(-20), noise(noise_db)
    samples = joined(*parts) if is_behind else joined(*reversed(parts))
    assert raised_beside(samples) is samples


def test_a_pause_between_loud_and_quiet_stays_a_pause() -> None:
    """What was recorded between the speakers is not raised with the second one."""
    pause = np.zeros(2 * LENGTH_SAMPLES, np.float32)
    samples = joined(speech(-20), pause, speech(-50))
    heard = raised_beside(samples)
    middle = slice(2 * LENGTH_SAMPLES, LENGTH_SAMPLES * 5 // 2)
    assert level_db(heard[middle]) == pytest.approx(-75, abs=1)
    assert level_db(heard[3 * LENGTH_SAMPLES :]) == pytest.approx(-20, abs=2)


def test_an_offset_is_not_raised() -> None:
    heard = raised_beside(joined(speech(-20), speech(-50)) + np.float32(0.2))
    assert abs(float(heard.mean())) < 0.01


def test_both_are_raised_where_all_is_quiet() -> None:
    """A recogniser hears the quiet half of a quiet window as it hears an ordinary one."""
    heard = audible(joined(speech(-40), speech(-60)))
    halves = heard[:LENGTH_SAMPLES], heard[LENGTH_SAMPLES:]
    assert [level_db(half) for half in halves] == pytest.approx([-26, -26], abs=2)
