"""Channels to one: speech in any of them is heard, whatever the others carry."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.audio.convert import StreamConverter
from asrctl.audio.mix import ChannelMixer
from asrctl.audio.sample import sample_speech
from asrctl.transcript import SAMPLE_RATE_HZ
from tests.audio.samples import Samples, chirp


def mixed(frames: Samples) -> tuple[Samples, StreamConverter]:
    """All of a stream at 16 kHz."""
    converter = StreamConverter(SAMPLE_RATE_HZ, frames.shape[1])
    return np.concatenate([converter.feed(frames), converter.flush()]), converter


def test_equal_channels_are_what_each_of_them_is() -> None:
    """Four equal channels come out as one of them."""
    samples, converter = mixed(np.repeat(chirp(), 4).reshape(-1, 4))
    np.testing.assert_allclose(samples, chirp(), atol=1e-6)
    assert converter.inverted_s == 0


def test_channels_that_carry_sound_are_averaged() -> None:
    """Two different ones come out as their mean."""
    other = chirp()[::-1]
    samples, converter = mixed(np.stack([chirp(), other], axis=1))
    np.testing.assert_allclose(samples, (chirp() + other) / 2, atol=1e-6)
    assert converter.inverted_s == 0


@pytest.mark.parametrize("channels", [2, 8, 32])
def test_silent_channels_take_nothing_from_the_level(channels: int) -> None:
    """One microphone among many inputs with their hiss is as loud as it was alone."""
    hiss = np.random.default_rng(1).normal(0, 1e-5, (len(chirp()), channels)).astype(np.float32)
    hiss[:, channels - 1] += chirp()
    samples, _ = mixed(hiss)
    np.testing.assert_allclose(samples, chirp(), atol=1e-3)


def test_a_channel_that_comes_later_fades_the_level() -> None:
    """When a second channel begins to carry sound, the first drops to half, and not at once."""
    second = np.where(np.arange(32_000) < 16_000, 0, chirp()).astype(np.float32)
    samples, _ = mixed(np.stack([np.full(32_000, 0.5, np.float32), second], axis=1))
    np.testing.assert_allclose(samples[:15_800], 0.5, atol=1e-6)
    np.testing.assert_allclose(samples[17_000:], 0.25 + chirp()[17_000:] / 2, atol=1e-6)
    assert np.abs(np.diff(samples[:16_001])).max() < 0.01


def test_opposite_channels_are_heard_and_counted() -> None:
    """A mix that would lose the sound inverts one of them."""
    samples, converter = mixed(np.stack([chirp(), -chirp()], axis=1))
    np.testing.assert_allclose(np.abs(samples), np.abs(chirp()), atol=1e-6)
    assert converter.inverted_s == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("gain", [1.0, 0.9, 0.75])
def test_a_part_in_opposite_phase_keeps_its_level(gain: float) -> None:
    """Also where the inverted channel is weaker, so that something is left of the mix."""
    speech = np.tile(sample_speech(), 3)
    third = len(speech) // 3
    other = speech.copy()
    other[third : 2 * third] *= -gain
    samples, converter = mixed(np.stack([speech, other], axis=1))
    for at in (0, third, 2 * third):
        part, expected = samples[at : at + third], sample_speech()
        assert np.sqrt(np.mean(part**2)) > 0.8 * np.sqrt(np.mean(expected**2))
    assert converter.inverted_s == pytest.approx(third / 16_000, abs=0.5)


def test_a_pair_that_cancels_is_heard_from_its_first_word() -> None:
    """Loud speech on other channels just before does not hide that the mix has nothing of it."""
    loud, speech = np.repeat(2 * sample_speech()[:, None], 4, 1), sample_speech()[:, None]
    before, pair = loud * np.array([1, 1, 0, 0]), speech * np.array([0, 0, 1, -1])
    samples, _ = mixed(np.concatenate([before, pair]).astype(np.float32))
    heard, said = samples[len(speech) :], speech[:, 0]
    np.testing.assert_allclose(np.abs(heard[2000:]), np.abs(said[2000:]) / 2, atol=1e-3)


def test_unrelated_speech_on_two_channels_is_left_alone() -> None:
    """Two people on two channels are never far enough apart in phase to be taken for one."""
    one = np.tile(sample_speech(), 4)
    for shift in (1_003, 8_009, 20_011, 33_013):
        other = np.roll(one, shift)
        samples, converter = mixed(np.stack([one, other], axis=1))
        np.testing.assert_allclose(samples[16_000:], (one + other)[16_000:] / 2, atol=1e-5)
        assert converter.inverted_s == 0


@given(
    cuts=st.lists(st.integers(0, 20_000), max_size=8),
    channels=st.integers(2, 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_cuts_leave_no_trace(cuts: list[int], channels: int, seed: int) -> None:
    """However a stream that turns silent, opposite and back is cut, it is mixed in the same way."""
    chance = np.random.default_rng(seed)
    frames = np.repeat(chance.uniform(-1, 1, 20_000).astype(np.float32), channels).reshape(-1, channels)
    for start in range(0, 20_000, 4_000):
        frames[start : start + 4_000] *= chance.choice([-1, 0, 1], channels).astype(np.float32)
    edges = [0, *sorted(cuts), len(frames)]
    whole, pieces = ChannelMixer(channels, 16_000), ChannelMixer(channels, 16_000)
    expected = np.concatenate([whole.feed(frames), whole.flush()])
    parts = [pieces.feed(frames[start:end]) for start, end in pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate([*parts, pieces.flush()]), expected)
    assert pieces.inverted_frames == whole.inverted_frames
