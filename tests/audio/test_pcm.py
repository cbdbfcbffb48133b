"""PCM bytes to float32: scales, cuts, and joining of blocks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from asrctl.audio.pcm import (
    MAX_BLOCK_SAMPLES,
    SAMPLE_BYTES,
    PcmEncoding,
    PcmFramer,
    batched,
    block_frames,
    samples_from_bytes,
)
from asrctl.errors import AudioError

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


def test_small_blocks_are_joined_and_none_is_lost_to_an_error() -> None:
    """Order and frames stay, and what came before the error is given before it."""

    def blocks() -> Iterator[NDArray[np.float32]]:
        for start in range(0, 10, 2):
            yield np.arange(start, start + 2, dtype=np.float32).reshape(-1, 1)
        raise AudioError("broken")

    joined = batched(blocks(), 4)
    sizes, values = [], []
    with pytest.raises(AudioError, match="broken"):
        for block in joined:
            sizes.append(len(block))
            values += block[:, 0].tolist()
    assert sizes == [4, 4, 2]
    assert values == list(range(10))
