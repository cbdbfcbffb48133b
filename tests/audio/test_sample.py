"""The speech that ships with asrctl."""

from __future__ import annotations

import numpy as np
import pytest

from asrctl.audio.sample import SAMPLE_TEXT, SAMPLE_WORDS, SENTENCES, sample_speech
from asrctl.transcript import SAMPLE_RATE_HZ


@pytest.mark.parametrize("file", SENTENCES)
def test_sample(file: str) -> None:
    """About three seconds of sound in range, mono float32, loud enough to be speech."""
    samples = sample_speech(file)
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert 2 < len(samples) / SAMPLE_RATE_HZ < 4
    assert 0.1 < np.abs(samples).max() <= 1


def test_words_are_in_the_text() -> None:
    """The words a model is checked for are said in the sentence."""
    assert set(SAMPLE_TEXT.lower().strip(".").split()) >= SAMPLE_WORDS
