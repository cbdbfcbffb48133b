"""A file at the pace of real time: never early, never short, and it stops when it is told."""

from __future__ import annotations

import threading
import wave
from pathlib import Path

import numpy as np
import pytest

from asrctl.audio.files import open_audio
from asrctl.audio.live import Lost
from asrctl.audio.replay import CHUNK_SAMPLES, Replay

DEADLINE_S = 30.0


class Time:
    """A clock that only waiting moves on."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.stop_at_s = float("inf")

    def clock(self) -> float:
        return self.now_s

    def wait(self, duration_s: float) -> bool:
        assert duration_s >= 0
        self.now_s += duration_s
        return self.now_s >= self.stop_at_s


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A minute of 8 kHz audio that counts up."""
    path = tmp_path / "count.wav"
    with wave.open(str(path), "wb") as wav:
        wav.setparams((1, 2, 8000, 0, "NONE", ""))
        wav.writeframes(np.arange(60 * 8000).astype("<i2").tobytes())
    return path


def test_each_chunk_comes_when_it_would_have_been_spoken(recording: Path) -> None:
    """Not before its last sample, and no later than that; all of it in chunks of 50 ms."""
    time = Time()
    with open_audio(str(recording)) as audio:
        heard = 0
        for chunk in Replay(audio, time.clock, time.wait):
            assert not isinstance(chunk, Lost)
            heard += len(chunk)
            assert 0 < len(chunk) <= CHUNK_SAMPLES
            assert time.now_s == pytest.approx(100.0 + heard / 16_000)
    assert heard == 60 * 16_000


def test_it_is_what_the_reader_gives(recording: Path) -> None:
    """Sample by sample."""
    time = Time()
    with open_audio(str(recording)) as audio, open_audio(str(recording)) as again:
        replayed = np.concatenate([*Replay(audio, time.clock, time.wait)])  # type: ignore[arg-type]
        assert np.array_equal(replayed, np.concatenate([*again]))


def test_a_slow_listener_lets_it_catch_up(recording: Path) -> None:
    """The pace is that of the beginning: no waiting until it is on time again."""
    time = Time()
    with open_audio(str(recording)) as audio:
        heard, late_s = 0, 110.0
        for chunk in Replay(audio, time.clock, time.wait):
            assert isinstance(chunk, np.ndarray)
            heard += len(chunk)
            time.now_s = max(time.now_s, late_s)
            assert time.now_s == pytest.approx(max(late_s, 100.0 + heard / 16_000))


def test_a_wait_that_is_interrupted_ends_it(recording: Path) -> None:
    """The chunk that was waited for has not been spoken."""
    time = Time()
    time.stop_at_s = 101.01
    with open_audio(str(recording)) as audio:
        heard = sum(map(len, Replay(audio, time.clock, time.wait)))  # type: ignore[arg-type]
    assert 1.01 - 0.05 < heard / 16_000 < 1.01


def test_it_can_be_stopped_from_another_thread(recording: Path) -> None:
    """At once, in the middle of a real wait; the input is closed after."""
    replay, first = Replay(open_audio(str(recording))), threading.Event()
    count = 0

    def listen() -> None:
        nonlocal count
        for _ in replay:
            count += 1
            first.set()

    thread = threading.Thread(target=listen)
    thread.start()
    assert first.wait(DEADLINE_S)
    replay.stop()
    thread.join(DEADLINE_S)
    assert not thread.is_alive() and count < 60 * 20
    replay.close()


def test_what_is_wrong_with_the_input_is_told(recording: Path) -> None:
    """The reader's warnings are the replay's."""
    data = recording.read_bytes()
    recording.write_bytes(data[: len(data) // 2])
    time = Time()
    with open_audio(str(recording)) as audio:
        replay = Replay(audio, time.clock, time.wait)
        for _ in replay:
            pass
    assert "truncated" in replay.warnings[0]
    assert replay.name == str(recording)
