"""Conversion to mono 16 kHz: the cuts leave no trace, tones stay tones, lengths stay lengths."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrctl.audio.convert import StreamConverter
from asrctl.errors import AudioError
from asrctl.transcript import SAMPLE_RATE_HZ
from tests.audio.samples import Samples, chirp, s16_bytes, tone

RATES_HZ = [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000]


def converted(converter: StreamConverter, chunks: Iterator[bytes] | list[Samples]) -> Samples:
    """All output of a stream."""
    return np.concatenate([*(converter.feed(chunk) for chunk in chunks), converter.flush()])


@given(
    data=st.binary(max_size=6000),
    cuts=st.lists(st.integers(0, 6000), max_size=12),
    rate_hz=st.sampled_from(RATES_HZ),
    channels=st.integers(1, 3),
    encoding=st.sampled_from(["s16le", "f32le"]),
)
def test_cuts_leave_no_trace(
    data: bytes, cuts: list[int], rate_hz: int, channels: int, encoding: Literal["s16le", "f32le"]
) -> None:
    """Whatever the bytes (NaN too) and wherever they are cut, output and counters are those of one piece."""
    whole = StreamConverter(rate_hz, channels, encoding)
    pieces = StreamConverter(rate_hz, channels, encoding)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    expected = converted(whole, iter([data]))
    actual = converted(pieces, (data[start:end] for start, end in pairwise(edges)))
    np.testing.assert_array_equal(actual, expected)
    for counter in ("received_frames", "replaced_samples", "full_scale_samples", "peak", "pending_bytes"):
        assert getattr(pieces, counter) == getattr(whole, counter)
    assert abs(len(actual) - whole.received_frames * SAMPLE_RATE_HZ / rate_hz) < 1


@settings(max_examples=20)
@given(
    frames=st.integers(0, 5000),
    rate_hz=st.sampled_from(RATES_HZ),
    channels=st.integers(1, 3),
    cut=st.integers(0, 5000),
)
def test_split_channels_are_each_what_they_are_alone(
    frames: int, rate_hz: int, channels: int, cut: int
) -> None:
    """A column for each channel, of the same length, and the same as if only that one was taken."""
    audio = np.random.default_rng(1).normal(0, 0.2, (frames, channels)).astype(np.float32)
    split = converted(StreamConverter(rate_hz, channels, split=True), [audio[:cut], audio[cut:]])
    for n in range(channels):
        alone = converted(StreamConverter(rate_hz, channels, channel=n + 1), [audio])
        np.testing.assert_allclose(split[:, n], alone, atol=1e-6)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_resampling_keeps_a_tone(rate_hz: int) -> None:
    """Frequency, amplitude, phase and length are kept, whatever the rate."""
    samples = converted(StreamConverter(rate_hz, 1), [tone(1000, 1.0, rate_hz)])
    assert abs(len(samples) - SAMPLE_RATE_HZ) <= 1
    expected = tone(1000, len(samples) / SAMPLE_RATE_HZ, SAMPLE_RATE_HZ)
    inner = slice(400, -400)  # the filter rings where the tone begins and ends
    np.testing.assert_allclose(samples[inner], expected[inner], atol=2e-3)


@pytest.mark.parametrize("rate_hz", [44_100, 48_000, 96_000])
def test_resampling_does_not_alias(rate_hz: int) -> None:
    """A tone that 16 kHz cannot hold is gone, and not folded down into speech."""
    samples = converted(StreamConverter(rate_hz, 1), [tone(11_000, 1.0, rate_hz)])
    assert np.abs(samples[400:-400]).max() < 1e-4


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("part", [1, 2, 1_001])
def test_flushes_in_the_middle_move_nothing(rate_hz: int, channels: int, part: int) -> None:
    """However often: everything is given that was fed, to the sample, and what comes next is where it was."""
    frames = 30 * part if part < 1_000 else rate_hz // part * part
    times = np.arange(frames, dtype=np.float32) / rate_hz
    wave = np.repeat(0.5 * np.sin(2 * np.pi * 200 * times)[:, np.newaxis], channels, 1).astype(np.float32)
    converter, parts = StreamConverter(rate_hz, channels), list[Samples]()
    for at in range(0, frames, part):
        parts += (converter.feed(wave[at : at + part]), converter.flush())
        assert converter.held_samples == 0
        assert sum(map(len, parts)) == int((at + part) * 16_000 / rate_hz + 0.5)
    whole = StreamConverter(rate_hz, channels)
    expected = np.concatenate((whole.feed(wave), whole.flush()))
    if part > 1_000:
        error = np.abs(np.concatenate(parts) - expected)
        assert np.quantile(error, 0.9) < 0.03  # half a sample of a tone is 0.02
        assert error.max() < 0.5


def test_what_is_held() -> None:
    """A resampler holds samples back, and a frame that is not complete stays where it was at a flush."""
    converter = StreamConverter(24_000, 1, "s16le")
    first = converter.feed(bytes(48_001))
    assert 0 < converter.held_samples == 16_000 - len(first)
    assert len(converter.flush()) == 16_000 - len(first)
    assert (converter.pending_bytes, converter.held_samples) == (1, 0)
    assert len(converter.feed(bytes(47_999))) + len(converter.flush()) == 16_000


def test_clean_mono_passes_without_a_copy() -> None:
    """At 16 kHz mono, float32 comes out as the memory that went in."""
    samples = chirp()
    assert np.shares_memory(StreamConverter(SAMPLE_RATE_HZ, 1).feed(samples), samples)


def test_what_is_no_sample_is_replaced_and_counted() -> None:
    """NaN and infinities become 0, what is too loud is clipped, the rest stays."""
    converter = StreamConverter(SAMPLE_RATE_HZ, 1)
    chunk = np.array([0.25, np.nan, np.inf, -np.inf, 3.0, -0.5], np.float32)
    np.testing.assert_array_equal(converter.feed(chunk), np.array([0.25, 0, 0, 0, 1, -0.5], np.float32))
    assert (converter.replaced_samples, converter.full_scale_samples, converter.peak) == (3, 1, 3.0)


@pytest.mark.parametrize("channels", [1, 2])
def test_16_bit_arrays_are_scaled_like_16_bit_bytes(channels: int) -> None:
    """A device's int16 array gives what the same bytes give."""
    data = s16_bytes(chirp())
    from_bytes = StreamConverter(SAMPLE_RATE_HZ, channels, "s16le").feed(data)
    from_array = StreamConverter(SAMPLE_RATE_HZ, channels).feed(np.frombuffer(data, np.int16))
    np.testing.assert_array_equal(from_array, from_bytes)


def test_wrong_number_of_channels_is_refused() -> None:
    """Frames of another shape are a bug of the caller, not something to reinterpret."""
    with pytest.raises(ValueError, match="3 channels fed to a stream of 2"):
        StreamConverter(SAMPLE_RATE_HZ, 2).feed(np.zeros((10, 3), np.float32))
    with pytest.raises(ValueError):
        StreamConverter(SAMPLE_RATE_HZ, 2).feed(np.zeros(11, np.float32))


@pytest.mark.parametrize("rate_hz, channels", [(0, 1), (999, 1), (768_001, 1), (16_000, 0), (16_000, 65)])
def test_impossible_formats_are_refused(rate_hz: int, channels: int) -> None:
    """Rates and channels outside the limits raise, before anything is allocated for them."""
    with pytest.raises(AudioError, match="outside"):
        StreamConverter(rate_hz, channels)
