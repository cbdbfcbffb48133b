"""Commands under test see no settings of the person who runs the tests, and leave signals as they were."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrctl.audio.files import OpenAudio
from asrctl.audio.replay import Replay
from asrctl.audio.vad import SileroVad
from asrctl_tests.scripted import speak
from tests.streaming.speech import LevelDetector, silence

from .commands import Options


@pytest.fixture(autouse=True)
def terminate() -> Iterator[None]:
    """`main` takes SIGTERM for itself; the test run gets it back.

    The others are what they are in a terminal: a test run in the background of a shell has SIGINT ignored,
    under nohup SIGHUP.
    """
    changed = [signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {number: signal.getsignal(number) for number in changed}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in changed[2:]:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No settings of the person who runs the tests; gives the path of an empty config file."""
    for name in os.environ:
        if name.startswith("ASRCTL_"):
            monkeypatch.delenv(name)
    path = tmp_path / "config.toml"
    path.touch()
    monkeypatch.setenv("ASRCTL_CONFIG", str(path))
    return path


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Five words, a pause, five words: 4 s."""
    path = tmp_path / "speech.wav"
    samples = np.concatenate([silence(0.5), speak(range(5)), silence(1), speak(range(5, 10)), silence(0.5)])
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    return path


class _Swift(Replay):
    """Four times as fast as it was spoken."""

    def __init__(self, audio: OpenAudio) -> None:
        super().__init__(audio, clock=lambda: 4 * time.monotonic())

    def _wait_for_stop(self, duration_s: float) -> bool:
        return super()._wait_for_stop(duration_s / 4)


@pytest.fixture
def swift(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `--live` plays in this process takes a quarter of its time; for tests that do not judge time."""
    monkeypatch.setattr("asrctl.audio.replay.Replay", _Swift)


@pytest.fixture
def long_speech(tmp_path: Path) -> Path:
    """Two hundred words: more than one window."""
    path = tmp_path / "long.wav"
    soundfile.write(path, np.concatenate([speak(range(200)), silence(0.5)]), 16_000, subtype="FLOAT")
    return path


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    """Options that choose the scripted provider, with faults; levels count as speech in this process."""

    def detector(_weights: object) -> LevelDetector:
        return LevelDetector()

    monkeypatch.setattr("asrctl.audio.vad.SileroVad", detector)

    def make(**faults: object) -> list[str]:
        path = tmp_path / "script.json"
        path.write_text(json.dumps(faults))
        return ["--provider", "scripted", "--model", str(path)]

    return make


assert SileroVad  # what `options` replaces, so that a rename is noticed here
