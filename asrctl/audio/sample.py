"""The speech that ships with asrctl: a synthesised sentence with known words, to prove that a model works."""

from __future__ import annotations

import wave
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLE_TEXT = "Please call me on Monday morning about the meeting."
"""What the sample says. Spoken by espeak-ng, voice en-us, 165 words a minute."""

SAMPLE_WORDS = frozenset({"call", "monday", "morning", "meeting"})
"""Words that any whisper model, however small, gets right."""


def sample_speech() -> NDArray[np.float32]:
    """The sample, shape (n,), mono float32 at 16 kHz, about 3 s."""
    import numpy as np

    with files("asrctl.assets").joinpath("monday.wav").open("rb") as raw, wave.open(raw) as wav:
        pcm = wav.readframes(wav.getnframes())
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)
