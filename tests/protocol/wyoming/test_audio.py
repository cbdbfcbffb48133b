"""Chunks of audio say what they hold, and become 16-bit samples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.errors import UsageError
from asrctl.protocol.wyoming.audio import ChunkFormat, Narrower, format_of

SAMPLES = st.lists(st.integers(-(2**31), 2**31 - 1), max_size=50)


@pytest.mark.parametrize("width", [2, 3, 4])
@given(samples=SAMPLES, step=st.integers(1, 40))
def test_wide_samples_keep_their_upper_16_bits(samples: list[int], step: int, width: int) -> None:
    """However the bytes are cut into chunks."""
    shift = 8 * (4 - width)
    wide = b"".join((sample >> shift).to_bytes(width, "little", signed=True) for sample in samples)
    narrower = Narrower(width)
    narrow = b"".join(narrower.feed(wide[at : at + step]) for at in range(0, len(wide), step))
    assert narrow == b"".join((sample >> 16).to_bytes(2, "little", signed=True) for sample in samples)


def test_a_chunk_says_its_format() -> None:
    """Rate, width and channels; the rest of its data does not matter."""
    data = {"rate": 44_100, "width": 4, "channels": 2, "timestamp": None}
    assert format_of(data) == ChunkFormat(44_100, 4, 2)


@pytest.mark.parametrize(
    "data",
    [
        {"rate": 16_000, "width": 2},
        {"rate": 7_999, "width": 2, "channels": 1},
        {"rate": 48_001, "width": 2, "channels": 1},
        {"rate": 16_000, "width": 1, "channels": 1},
        {"rate": 16_000, "width": 5, "channels": 1},
        {"rate": 16_000, "width": 2, "channels": 0},
        {"rate": 16_000, "width": 2, "channels": 9},
        {"rate": 16_000, "width": 2, "channels": True},
        {"rate": 16_000.0, "width": 2, "channels": 1},
        {"rate": "16000", "width": 2, "channels": 1},
    ],
)
def test_other_formats_are_refused(data: dict[str, object]) -> None:
    """With what would be taken."""
    with pytest.raises(UsageError, match="is a number from"):
        format_of(data)
