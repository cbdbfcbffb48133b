"""The speech that ships with asrctl: synthesised sentences with known words, to prove that a model works and
to measure how fast it is."""

from __future__ import annotations

import wave
from importlib.resources import files

from asrctl.transcript import Samples

SAMPLE_TEXT = "Please call me on Monday morning about the meeting."
"""What the sample says."""

SAMPLE_WORDS = frozenset({"call", "monday", "morning", "meeting"})
"""Words that any whisper model, however small, gets right."""


SENTENCES = {
    "monday.wav": SAMPLE_TEXT,
    "chairs.wav": "Bring some more chairs and a table for the kitchen.",
    "boston.wav": "Today the train to Boston leaves late in the evening.",
    "dinner.wav": "Can you come to dinner with your brother on Saturday?",
    "office.wav": "Tell us when the new office will open.",
}
"""What the files say, the sample first. Spoken by espeak-ng, voice en-us, 165 words a minute.

One sentence over and over would be no measure: what comes three times in a row may be a loop of the decoder,
and is decoded again.
"""


def sample_speech(file: str = "monday.wav") -> Samples:
    """The sample, or another of the sentences; shape (n,), mono float32 at 16 kHz, about 3 s."""
    from asrctl.audio.pcm import samples_from_bytes

    with files("asrctl.assets").joinpath(file).open("rb") as raw, wave.open(raw) as wav:
        return samples_from_bytes(wav.readframes(wav.getnframes()), "s16le")
