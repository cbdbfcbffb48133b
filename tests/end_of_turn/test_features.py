"""Features of the last 8 s, against another implementation of Whisper's."""

from __future__ import annotations

import numpy as np
import pytest

from asrctl.audio.sample import sample_speech
from asrctl.end_of_turn.features import log_mel
from asrctl.policy.end_of_turn import WINDOW_SAMPLES

SPEECH = sample_speech()


def test_they_are_whispers_own() -> None:
    """To 1e-3, where the features of speech span 2: faster-whisper computes them in other steps."""
    module = pytest.importorskip("faster_whisper.feature_extractor")
    window = np.concatenate((np.zeros(WINDOW_SAMPLES - len(SPEECH), np.float32), SPEECH))
    normal = (window - window.mean()) / np.sqrt(window.var() + 1e-7)
    expected = module.FeatureExtractor()(normal, padding=0)
    found = log_mel(SPEECH)
    assert found.shape == (80, 800) and found.dtype == np.float32
    assert np.ptp(found) > 1.9
    assert np.abs(found - expected[:, :800]).max() < 1e-3


def test_only_the_last_8_s_count() -> None:
    """What was before is not heard."""
    window = np.resize(SPEECH, WINDOW_SAMPLES)
    assert np.array_equal(log_mel(np.concatenate((SPEECH, window))), log_mel(window))


def test_silence_has_features_too() -> None:
    """Also none at all: nothing is divided by zero."""
    assert np.isfinite(log_mel(np.zeros(0, np.float32))).all()
