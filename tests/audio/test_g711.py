"""G.711 as libsndfile reads it."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from asrctl.audio.convert import StreamConverter
from asrctl.audio.g711 import G711Law, decoded


@pytest.mark.parametrize(("law", "subtype"), [("mulaw", "ULAW"), ("alaw", "ALAW")])
def test_every_byte(law: G711Law, subtype: str) -> None:
    """Each byte is the sample that another implementation makes of it."""
    data = bytes(range(256))
    other, _ = soundfile.read(
        io.BytesIO(data), samplerate=8000, channels=1, format="RAW", subtype=subtype, dtype="float32"
    )
    ours = decoded(data, law)
    assert ours.dtype == np.float32
    assert np.array_equal(ours, other)


def test_a_stream_of_it() -> None:
    """It is resampled from 8 kHz like anything else, and no sample is lost."""
    converter = StreamConverter(8000, 1, "mulaw")
    samples = [converter.feed(bytes([0xFF] * 100)) for _ in range(80)]
    total = sum(map(len, [*samples, converter.flush()]))
    assert total == 16_000
    assert not np.concatenate(samples).any()
