"""PCM bytes to float32: scales, cuts, and joining of blocks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.audio.pcm import (
    MAX_BLOCK_SAMPLES,
    SAMPLE_BYTES,
    PcmEncoding,
    PcmFramer,
    block_frames,
    s16le_of,
    samples_from_bytes,
)

INTEGERS: list[tuple[PcmEncoding, bytes, bytes, bytes]] = [
    ("u8", b"\x00", b"\x80", b"\xc0"),
    ("s16le", b"\x00\x80", b"\x00\x00", b"\x00\x40"),
    ("s24le", b"\x00\x00\x80", b"\x00\x00\x00", b"\x00\x00\x40"),
    ("s32le", b"\x00\x00\x00\x80", b"\x00\x00\x00\x00", b"\x00\x00\x00\x40"),
]


@pytest.mark.parametrize("encoding, lowest, zero, half", INTEGERS)
def test_integers_are_scaled_to_one(encoding: PcmEncoding, lowest: bytes, zero: bytes, half: bytes) -> None:
    """The lowest integer is -1, the middle 0, half the range 0.5, exactly."""
    assert samples_from_bytes(lowest + zero + half, encoding).tolist() == [-1.0, 0.0, 0.5]


def test_floats_are_left_as_they_are() -> None:
    """Also beyond full scale; what float32 cannot hold becomes infinite and is the converter's to count."""
    values = [0.5, -3.0, 1e300]
    assert samples_from_bytes(np.array(values, "<f8").tobytes(), "f64le").tolist() == [0.5, -3.0, np.inf]


@given(st.lists(st.floats(width=32)))
def test_any_float_is_a_16_bit_sample(values: list[float]) -> None:
    """Numbers beyond full scale are clipped, and NaN is silence."""
    samples = np.array(values, np.float32)
    back = samples_from_bytes(s16le_of(samples), "s16le")
    clean = np.clip(np.nan_to_num(samples), -1, 1)
    assert np.all(np.abs(back - clean) <= 1.01 / 32768)


@given(
    st.binary(max_size=500),
    st.lists(st.integers(0, 500), max_size=8),
    st.sampled_from(sorted(set(SAMPLE_BYTES) - {"f32le", "f64le"})),
    st.integers(1, 5),
)
def test_frames_do_not_depend_on_the_cuts(
    data: bytes, cuts: list[int], encoding: PcmEncoding, channels: int
) -> None:
    """Bytes in any cut give the frames of one piece, and hold back what is left over."""
    framer = PcmFramer(channels, encoding)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    frames = np.concatenate([framer.feed(data[start:end]) for start, end in pairwise(edges)])
    whole = PcmFramer(channels, encoding)
    np.testing.assert_array_equal(frames, whole.feed(data))
    frame_bytes = channels * SAMPLE_BYTES[encoding]
    assert (len(frames), framer.pending_bytes) == divmod(len(data), frame_bytes)


@pytest.mark.parametrize("rate_hz, channels", [(1, 1), (16_000, 1), (768_000, 64), (0, 0)])
def test_blocks_are_short_and_small(rate_hz: int, channels: int) -> None:
    """At least a frame, at most half a second, never over a MiB."""
    frames = block_frames(rate_hz, channels)
    assert 1 <= frames <= max(1, rate_hz // 2)
    assert frames * channels <= MAX_BLOCK_SAMPLES
