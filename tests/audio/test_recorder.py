"""Live audio is kept while it is heard, and can be read whatever ended the process."""

from __future__ import annotations

import errno
import io
import signal
import subprocess
import sys
import wave
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from asrctl.audio.files import open_audio
from asrctl.audio.live import Lost
from asrctl.audio.recorder import Recorder
from asrctl.errors import AudioError, UsageError


class Full(io.BytesIO):
    """A file on a full disk."""

    def write(self, _data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


TONE = np.round(np.sin(np.arange(1600, dtype=np.float32)) * 16_384).astype(np.float32) / 32_768


class Heard:
    """A source that gives what it has."""

    name = "heard"

    def __init__(self, *items: NDArray[np.float32] | Lost) -> None:
        self.warnings: list[str] = []
        self.closed = False
        self._items = items

    def __iter__(self) -> Iterator[NDArray[np.float32] | Lost]:
        yield from self._items

    def stop(self) -> None:
        self._items = ()

    def close(self) -> None:
        self.closed = True


def record(path: Path, *items: NDArray[np.float32] | Lost, append: bool = False) -> Heard:
    """Hear all of it."""
    source = Heard(*items)
    recorder = Recorder(source, path, append=append)
    assert [*recorder] == [*items]
    recorder.close()
    return source


def samples_of(path: Path) -> NDArray[np.float32]:
    """What asrctl reads of a file, without warnings."""
    with open_audio(str(path)) as audio:
        chunks = [*audio]
        assert audio.warnings == []
    return np.concatenate(chunks)


def test_what_was_heard_is_in_the_file(tmp_path: Path) -> None:
    """To the bit of 16; what was lost is silence, so that times stay right."""
    path = tmp_path / "a.wav"
    assert record(path, TONE, Lost(800, "overflow"), TONE).closed
    assert np.array_equal(samples_of(path), np.concatenate([TONE, np.zeros(800, np.float32), TONE]))
    with wave.open(str(path)) as wav:
        assert (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (16_000, 1, 2)
        assert wav.getnframes() == 4000


def test_full_scale_does_not_wrap(tmp_path: Path) -> None:
    """1.0 has no 16 bit value of its own."""
    record(tmp_path / "a.wav", np.array([1.0, -1.0, 2.0, -2.0], np.float32), np.zeros(1600, np.float32))
    assert samples_of(tmp_path / "a.wav")[:4] == pytest.approx([1, -1, 1, -1], abs=1e-4)


def test_it_is_complete_at_any_moment(tmp_path: Path) -> None:
    """The header is right after each chunk, while the file is open."""
    path = tmp_path / "a.wav"
    with closing(Recorder(Heard(TONE, TONE, TONE), path)) as recorder:
        for n, _ in enumerate(recorder, start=1):
            with wave.open(str(path)) as wav:
                assert wav.getnframes() == n * len(TONE)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_it_survives_kill_9(tmp_path: Path) -> None:
    """Nothing of what was heard is missing, and more can be added."""
    path = tmp_path / "a.wav"
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from asrctl.audio.recorder import Recorder\n"
        "from tests.audio.test_recorder import Heard, TONE\n"
        "for n, _ in enumerate(Recorder(Heard(*[TONE] * 9), Path(sys.argv[1]))):\n"
        "    if n == 4: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert np.array_equal(samples_of(path), np.tile(TONE, 5))
    record(path, TONE, append=True)
    assert np.array_equal(samples_of(path), np.tile(TONE, 6))


def test_a_chunk_that_is_announced_and_missing(tmp_path: Path) -> None:
    """Killed between the header and its chunk, in the middle of a sample: what is there is read and kept."""
    path = tmp_path / "a.wav"
    record(path, TONE, TONE)
    path.write_bytes(path.read_bytes()[: 44 + 3200 + 1])
    with open_audio(str(path)) as audio:
        assert sum(map(len, audio)) == 1600
    record(path, TONE, append=True)
    assert np.array_equal(samples_of(path), np.tile(TONE, 2))


def test_an_older_file_is_not_overwritten(tmp_path: Path) -> None:
    """Nor is something else appended to."""
    path = tmp_path / "a.wav"
    path.write_bytes(b"a hundred years of solitude " * 4)
    for append in (False, True):
        with pytest.raises(UsageError, match="--append"):
            Recorder(Heard(TONE), path, append=append)
    assert path.read_bytes() == b"a hundred years of solitude " * 4


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """It is known before anything is heard."""
    with pytest.raises(AudioError, match="cannot record to"):
        Recorder(Heard(TONE), tmp_path / "nowhere" / "a.wav")


def test_a_full_disk_ends_the_recording_and_not_the_hearing(tmp_path: Path) -> None:
    """It is told how much is kept."""
    source = Heard(TONE, TONE, TONE)
    recorder = Recorder(source, tmp_path / "a.wav")
    heard = iter(recorder)
    next(heard)
    recorder._file.close()
    recorder._file = Full()
    assert len([*heard]) == 2
    assert len(source.warnings) == 1 and "ends at 0.1 s" in source.warnings[0]
    assert samples_of(tmp_path / "a.wav").shape == (1600,)


def test_stopping_is_passed_on(tmp_path: Path) -> None:
    """To the source, which knows how."""
    source = Heard(TONE)
    with closing(Recorder(source, tmp_path / "a.wav")) as recorder:
        recorder.stop()
        assert [*recorder] == []
