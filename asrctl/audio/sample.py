"""The speech that ships with asrctl: a synthesised sentence with known words, to prove that a model works."""

from __future__ import annotations

import wave
from importlib.resources import files

from asrctl.transcript import Samples

SAMPLE_TEXT = "Please call me on Monday morning about the meeting."
"""What the sample says. Spoken by espeak-ng, voice en-us, 165 words a minute."""

SAMPLE_WORDS = frozenset({"call", "monday", "morning", "meeting"})
"""Words that any whisper model, however small, gets right."""


def sample_speech() -> Samples:
    """The sample, shape (n,), mono float32 at 16 kHz, about 3 s."""
    from asrctl.audio.pcm import samples_from_bytes

    with files("asrctl.assets").joinpath("monday.wav").open("rb") as raw, wave.open(raw) as wav:
        return samples_from_bytes(wav.readframes(wav.getnframes()), "s16le")
