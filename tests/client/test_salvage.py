"""Audio that no server took: saved to the sample, wherever there is a place."""

from __future__ import annotations

import tempfile
import wave
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from asrctl.client.replay import Piece, ReplayBuffer
from asrctl.client.salvage import save, what_is_left
from tests.client.server import pcm

NOW = datetime(2026, 11, 23, 3, 4, 5)


def samples_of(path: Path) -> list[int]:
    with wave.open(str(path)) as wav:
        data = np.frombuffer(wav.readframes(wav.getnframes()), "<i2")
    return [int(sample) for sample in data]


def test_to_the_sample(tmp_path: Path) -> None:
    """Pieces are joined; what is lost is silence of the same length."""
    before, after = pcm(0, 100), pcm(40_100, 40_150)
    pieces = [
        Piece(0, 100, before.tobytes()),
        Piece(100, 40_000, None, "lost"),
        Piece(40_100, 50, after.tobytes()),
    ]
    path = save(pieces, tmp_path, NOW)
    assert path == tmp_path / "asrctl-unsent-20261123-030405.wav"
    assert samples_of(path) == [*before.tolist(), *[0] * 40_000, *after.tolist()]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """Two clients that give up in the same second have a file each."""
    names = [save([], tmp_path, NOW).name for _ in range(3)]
    stem = "asrctl-unsent-20261123-030405"
    assert names == [f"{stem}.wav", f"{stem}-2.wav", f"{stem}-3.wav"]


def test_another_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the directory cannot be written to, the temporary directory takes it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert save([], tmp_path / "missing", NOW).parent == tmp_path
    assert save([], None, NOW).parent == tmp_path


def test_no_place_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is said that the audio is lost, and why."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    held = ReplayBuffer(2)
    held.append(pcm(0, 16_000).tobytes())
    expected = "the audio from 0.0 to 1.0 s is lost: it could not be saved: No such file or directory"
    assert what_is_left(held, None) == what_is_left(held, tmp_path / "gone") == expected


def test_nothing_left(tmp_path: Path) -> None:
    """An empty buffer leaves no file, and no words."""
    held = ReplayBuffer(2)
    held.append(pcm(0, 100).tobytes())
    held.forget(100)
    assert what_is_left(held, tmp_path) == ""
    assert not list(tmp_path.iterdir())
