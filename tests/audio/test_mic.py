"""The microphone: every frame that a device gives is heard or declared lost, whatever the device does."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from asrctl.audio.live import Lost
from asrctl.audio.mic import FULL, OVERFLOW, Microphone
from asrctl.errors import AudioError
from asrctl_tests.scripted import listen, speak
from tests.audio.microphones import USB, FakePortAudio, Stream

BLOCK = 800  # samples of 50 ms


def opened(portaudio: FakePortAudio, **options: float) -> tuple[Microphone, Stream]:
    """A microphone and its stream."""
    mic = Microphone(portaudio, USB, **options)
    return mic, portaudio.streams[-1]


def joined(items: Iterable[NDArray[np.float32] | Lost]) -> NDArray[np.float32]:
    """All samples; nothing may be lost."""
    chunks = [np.zeros(0, np.float32)]
    for item in items:
        assert not isinstance(item, Lost)
        chunks.append(item)
    return np.concatenate(chunks)


def level(value: float, frames: int = BLOCK) -> NDArray[np.float32]:
    return np.full(frames, value, np.float32)


def test_what_is_said_is_heard() -> None:
    """At 16 kHz in mono the samples come out as they went in, though the device uses its buffer again."""
    mic, stream = opened(FakePortAudio())
    said = speak(range(20))
    stream.hear_all(said)
    mic.stop()
    assert np.array_equal(joined(mic), said)
    assert (mic.rate_hz, mic.channels, mic.warnings) == (16_000, 1, [])


def test_what_was_recorded_before_the_stop_is_heard_though_it_comes_later() -> None:
    """Stopping waits for the callbacks that are due, so the last word is there."""
    portaudio = FakePortAudio(on_stop=lambda stream: stream.hear_all(speak([2, 3])))
    mic, stream = opened(portaudio)
    stream.hear_all(speak([1]))
    mic.stop()
    assert [word.text for word in listen(joined(mic))] == ["w1", "w2", "w3"]


def test_a_device_that_refuses_16_khz_is_resampled() -> None:
    """It is opened at its own rate; three frames of 48 kHz make one sample, to the sample."""
    mic, stream = opened(FakePortAudio(refuses=lambda rate_hz, _: rate_hz == 16_000))
    assert (mic.rate_hz, stream.blocksize) == (48_000, 2400)
    tone = np.sin(2 * np.pi * 440 * np.arange(48_001) / 48_000).astype(np.float32)
    stream.hear_all(tone)
    mic.stop()
    heard = joined(mic)
    assert len(heard) == round(48_001 / 3)
    wanted = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert np.abs(heard[1000:15_000] - wanted[1000:15_000]).max() < 0.01


def test_a_device_that_refuses_mono_is_mixed() -> None:
    """Both channels are recorded and their mean is heard."""
    mic, stream = opened(FakePortAudio(refuses=lambda _, channels: channels == 1))
    assert mic.channels == 2
    stream.hear(np.tile(np.array([[0.2, 0.4]], np.float32), (BLOCK, 1)))
    mic.stop()
    assert np.allclose(joined(mic), level(0.3))


def test_a_device_that_refuses_everything_is_an_error() -> None:
    """One line with its name and the reason."""
    with pytest.raises(AudioError, match=r"USB Headset cannot be opened: Invalid sample rate"):
        Microphone(FakePortAudio(refuses=lambda *_: True), USB)


def test_a_device_that_does_not_start_is_an_error() -> None:
    """It comes from the iteration, which starts it."""
    mic, _ = opened(FakePortAudio(broken_start=True))
    with pytest.raises(AudioError, match="does not start: Unanticipated"):
        next(iter(mic))


def test_an_overflow_is_declared_where_it_happened() -> None:
    """The device's clock says how much is missing."""
    mic, stream = opened(FakePortAudio())
    stream.hear(level(0.1))
    stream.miss(1234)
    stream.hear(level(0.2), overflow=True)
    mic.stop()
    before, lost, after = mic
    assert lost == Lost(1234, OVERFLOW)
    assert np.array_equal(before, level(0.1)) and np.array_equal(after, level(0.2))


@pytest.mark.parametrize("has_clock", [True, False])
def test_an_overflow_of_unknown_size_counts_as_a_block(has_clock: bool) -> None:
    """It is declared even if the clock says nothing was missed, or says nothing."""
    mic, stream = opened(FakePortAudio(has_clock=has_clock))
    stream.hear(level(0.1))
    stream.hear(level(0.2), overflow=True)
    mic.stop()
    assert [*mic][1] == Lost(BLOCK, OVERFLOW)


def test_losses_are_counted_at_16_khz() -> None:
    """Whatever the device's rate; and the resampler starts afresh after them."""
    mic, stream = opened(FakePortAudio(refuses=lambda rate_hz, _: rate_hz == 16_000))
    stream.hear(level(0.1, 2400))
    stream.miss(4800)
    stream.hear(level(0.2, 2400), overflow=True)
    mic.stop()
    items = [*mic]
    (at,) = [index for index, item in enumerate(items) if isinstance(item, Lost)]
    assert items[at] == Lost(1600, OVERFLOW)
    before, after = joined(items[:at]), joined(items[at + 1 :])
    assert len(before) == len(after) == BLOCK


def test_a_listener_that_falls_behind_loses_the_newest_and_is_told() -> None:
    """The queue is bounded; what does not fit is declared in its place."""
    mic, stream = opened(FakePortAudio(), queue_s=0.1)
    for value in (0.1, 0.2, 0.3, 0.4):
        stream.hear(level(value))
    heard = iter(mic)
    assert np.array_equal(next(heard), level(0.1)) and np.array_equal(next(heard), level(0.2))
    stream.hear(level(0.5))
    assert next(heard) == Lost(2 * BLOCK, FULL)
    assert np.array_equal(next(heard), level(0.5))
    mic.stop()
    assert [*heard] == []


def test_losses_at_the_very_end_are_declared() -> None:
    """Though no block comes after them."""
    mic, stream = opened(FakePortAudio(), queue_s=0.05)
    stream.hear(level(0.1))
    stream.hear(level(0.2))
    mic.stop()
    assert [*mic][1:] == [Lost(BLOCK, FULL)]


def test_a_device_that_falls_silent_for_too_long_is_gone() -> None:
    """No callback at all: what was heard is given, then it is an error."""
    mic, stream = opened(FakePortAudio(), vanished_s=0.05)
    stream.hear(level(0.1))
    heard = iter(mic)
    assert np.array_equal(next(heard), level(0.1))
    with pytest.raises(AudioError, match="USB Headset: it stopped giving audio"):
        next(heard)


def test_a_device_that_ends_the_stream_is_gone_at_once() -> None:
    """Where the system tells, nobody waits."""
    mic, stream = opened(FakePortAudio(), vanished_s=3600)
    stream.hear(level(0.1))
    stream.finished()
    heard = iter(mic)
    assert np.array_equal(next(heard), level(0.1))
    with pytest.raises(AudioError, match="unplugged"):
        next(heard)


def test_digital_silence_is_told() -> None:
    """A microphone that is muted, or forbidden to this program, gives nothing but zeros."""
    mic, stream = opened(FakePortAudio())
    stream.hear(level(0.0))
    mic.stop()
    assert len([*mic]) == 1
    assert mic.warnings[0].startswith("silent")


def test_closing_lets_go_of_the_device() -> None:
    """Also twice."""
    mic, stream = opened(FakePortAudio())
    mic.close()
    mic.close()
    assert stream.closed


@given(seed=st.integers(0, 2**32), rate_hz=st.sampled_from([16_000, 44_100, 48_000]))
def test_every_frame_is_heard_or_declared(seed: int, rate_hz: int) -> None:
    """Whatever the blocks, overflows and delays: heard + lost = recorded, within rounding at each gap."""
    dice = random.Random(seed)
    portaudio = FakePortAudio(refuses=lambda rate, _: rate != rate_hz)
    mic = Microphone(portaudio, replace(USB, rate_hz=rate_hz), queue_s=0.2)
    stream, heard, recorded = portaudio.streams[-1], iter(mic), 512
    items: list[NDArray[np.float32] | Lost] = []
    stream.hear(level(0.1, 512))
    for _ in range(dice.randrange(30)):
        frames, missed = dice.randrange(1, 4000), dice.choice([0, 0, dice.randrange(1, 3000)])
        stream.miss(missed)
        stream.hear(level(0.1, frames), overflow=missed > 0)
        recorded += frames + missed
        if rate_hz == 16_000 and mic.waiting_frames and dice.random() < 0.5:  # resamplers may give nothing
            items.append(next(heard))
    mic.stop()
    items += heard
    gaps = sum(isinstance(item, Lost) for item in items)
    total = sum(item.count if isinstance(item, Lost) else len(item) for item in items)
    assert abs(total - recorded * 16_000 / rate_hz) <= gaps + 1
