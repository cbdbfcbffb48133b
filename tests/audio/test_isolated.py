"""The decoding process may die of a file: its parent, and the other inputs, go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from asrctl.audio import child, decoders
from asrctl.audio.files import open_audio
from asrctl.errors import AudioError
from tests.audio.samples import chirp, s16_bytes, wav_bytes, write_media, write_sound

DEADLINE_S = 20.0

CRASHING_AV = """
import ctypes
ctypes.string_at(0)
"""

HALF_A_SOUNDFILE = """
import ctypes, os, signal, time
class SoundFileError(Exception): pass
class SoundFile:
    samplerate, channels, frames, format, extra_info = 16000, 1, 32000, "FLAC", ""
    reads = 0
    def __init__(self, file): pass
    def __enter__(self): return self
    def __exit__(self, *error): pass
    def buffer_read_into(self, buffer, dtype):
        self.reads += 1
        if self.reads > 8:
            {end}
        return len(buffer) // 4
"""


NONSENSE = """
import gc, io, time
for sink in gc.get_objects():
    if isinstance(sink, io.BufferedWriter) and sink.fileno() > 2:
        sink.write(b"x" * 99)
        sink.flush()
time.sleep(99)
"""


def install(directory: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: str) -> None:
    """Puts a module before the real one, for the decoding process."""
    (directory / f"{name}.py").write_text(code)
    path = os.pathsep.join((str(directory), *sys.path))
    monkeypatch.setenv("PYTHONPATH", path)


def without(monkeypatch: pytest.MonkeyPatch, *, pyav: bool, ffmpeg: bool) -> None:
    """As on a machine where these are not installed."""
    if pyav:
        monkeypatch.setattr(decoders, "find_spec", lambda name: None)
    if ffmpeg:
        monkeypatch.setenv("PATH", "/nowhere")


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def test_a_crash_on_opening_is_an_error_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Native code that dies of a file costs that file: one line says which decoder, and what happened."""
    install(tmp_path, monkeypatch, "av", CRASHING_AV)
    without(monkeypatch, pyav=False, ffmpeg=True)
    path = write_media(tmp_path / "a.m4a", chirp())
    with pytest.raises(AudioError, match=r"a\.m4a: its decoder \(PyAV\) crashed \(segmentation fault\)$"):
        open_audio(str(path))
    good = tmp_path / "good.wav"
    good.write_bytes(wav_bytes(s16_bytes(chirp())))
    with open_audio(str(good)) as reader:
        assert sum(map(len, reader)) == 32_000


def test_what_one_decoder_dies_of_the_next_one_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a crash the next decoder is asked, and that is said."""
    install(tmp_path, monkeypatch, "av", CRASHING_AV)
    without(monkeypatch, pyav=False, ffmpeg=True)
    path = write_sound(tmp_path / "a.flac", chirp(), "FLAC")
    with open_audio(str(path)) as reader:
        assert sum(map(len, reader)) == 32_000
        assert reader.warnings == [
            "its decoder (PyAV) crashed (segmentation fault); read by libsndfile instead"
        ]


def test_a_crash_on_the_way_keeps_what_was_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that came before the crash is given; that the rest is missing is said."""
    install(tmp_path, monkeypatch, "soundfile", HALF_A_SOUNDFILE.format(end="ctypes.string_at(0)"))
    without(monkeypatch, pyav=True, ffmpeg=True)
    path = write_sound(tmp_path / "a.flac", chirp(), "FLAC")
    with open_audio(str(path)) as reader:
        assert sum(map(len, reader)) == 8_000, "what was being gathered to half a second went with it"
        assert reader.warnings[0] == "stopped early: its decoder (libsndfile) crashed (segmentation fault)"


def test_after_a_crash_the_next_decoder_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Samples before the crash come from the first decoder, the rest from the second, at their time."""
    install(tmp_path, monkeypatch, "soundfile", HALF_A_SOUNDFILE.format(end="ctypes.string_at(0)"))
    path = write_sound(tmp_path / "a.aiff", chirp(), "AIFF", "PCM_16")
    with open_audio(str(path)) as reader:
        samples = np.concatenate(list(reader))
        assert reader.warnings == [
            "its decoder (libsndfile) crashed (segmentation fault) after 0.5 s; "
            "the rest was read by another decoder"
        ]
    np.testing.assert_allclose(samples[16_000:], chirp()[16_000:], atol=1e-4)
    assert len(samples) == 32_000


def test_a_decoder_in_a_loop_ends_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that gives nothing any more, also from within native code, is ended and named."""
    slow = HALF_A_SOUNDFILE.format(end="time.sleep(999)")
    early = f"import asrctl.audio.child, sys; sys.modules['__main__'].STUCK_S = 0.3\n{slow}"
    install(tmp_path, monkeypatch, "soundfile", early)
    without(monkeypatch, pyav=True, ffmpeg=True)
    path = write_sound(tmp_path / "a.flac", chirp(), "FLAC")
    with open_audio(str(path)) as reader:
        list(reader)
        assert reader.warnings[0] == "stopped early: its decoder (libsndfile) got stuck and was ended"
    assert child.STUCK_S > 10


def test_a_decoder_that_sends_nonsense_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent does not trust a process that parses foreign bytes."""
    install(tmp_path, monkeypatch, "soundfile", NONSENSE)
    without(monkeypatch, pyav=True, ffmpeg=True)
    path = write_sound(tmp_path / "a.flac", chirp(), "FLAC")
    with pytest.raises(AudioError, match=r"its decoder \(libsndfile\) sent nonsense"):
        open_audio(str(path))


@pytest.mark.parametrize("name", ["a.flac", "a.m4a"])
def test_no_process_is_left(name: str, tmp_path: Path) -> None:
    """The process ends with its reader, also before the end of the file."""
    path = tmp_path / name
    if name == "a.m4a":
        write_media(path, chirp(60))
    else:
        write_sound(path, chirp(60), "FLAC")
    before = set(children())
    reader = open_audio(str(path))
    next(iter(reader))
    assert set(children()) - before
    reader.close()
    assert not set(children()) - before


def test_wav_needs_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own reader is Python: it may stay, and costs no process."""
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **options: pytest.fail("a process was started"))
    path = tmp_path / "a.wav"
    path.write_bytes(wav_bytes(s16_bytes(chirp())))
    with open_audio(str(path)) as reader:
        assert sum(map(len, reader)) == 32_000


READ_SLOWLY = """
import os, signal, sys
from asrctl.audio.files import open_audio
signal.signal(signal.SIGINT, lambda *args: None)
with open_audio(sys.argv[1]) as reader:
    chunks = iter(reader)
    n_samples = len(next(chunks))
    print("begun", flush=True)
    sys.stdin.readline()
    print(n_samples + sum(map(len, chunks)), reader.warnings, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="process groups of POSIX")
def test_ctrl_c_does_not_reach_the_decoder(tmp_path: Path) -> None:
    """Ctrl-C goes to the whole group of the terminal; the parent still reads all that there is."""
    path = write_sound(tmp_path / "a.flac", chirp(60), "FLAC")
    with subprocess.Popen(
        [sys.executable, "-c", READ_SLOWLY, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as parent:
        assert parent.stdout and parent.stdin
        assert parent.stdout.readline() == "begun\n"
        os.killpg(parent.pid, signal.SIGINT)
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == "960000 []\n"


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_the_decoder_ends_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    """kill -9 of the parent leaves nothing behind: the pipe breaks at the next write."""
    path = write_sound(tmp_path / "a.flac", chirp(600), "FLAC")
    with subprocess.Popen(
        [sys.executable, "-c", READ_SLOWLY, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == "begun\n"
        left = psutil.Process(parent.pid).children()
        assert left
        parent.kill()
    gone, alive = psutil.wait_procs(left, timeout=DEADLINE_S)
    assert gone and not alive


CLOSED = """
import os, sys
{close}
from asrctl.audio.files import open_audio
with open_audio(sys.argv[1]) as reader:
    os._exit(0 if sum(map(len, reader)) == 32000 and not reader.warnings else 9)
"""


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (1, 2), (0, 1, 2)])
def test_closed_standard_streams_do_no_harm(closed: tuple[int, ...], tmp_path: Path) -> None:
    """Started with `>&-`, `2>&-` or `<&-`, a process gets pipes with their numbers; decoding still works."""
    path = write_sound(tmp_path / "a.flac", chirp(), "FLAC")
    code = CLOSED.format(close="; ".join(f"os.close({number})" for number in closed))
    assert subprocess.run([sys.executable, "-c", code, str(path)], timeout=60).returncode == 0


def test_nothing_in_the_working_directory_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file `numpy.py` beside the recording is the user's, not ours to execute."""
    for name in ("numpy", "soundfile", "av", "queue", "json"):
        (tmp_path / f"{name}.py").write_text("open('was-run', 'w').close()\nraise ImportError('mine')")
    monkeypatch.chdir(tmp_path)
    for path in (write_media(Path("a.m4a"), chirp()), write_sound(Path("a.aiff"), chirp(), "AIFF", "PCM_16")):
        with open_audio(str(path)) as reader:
            assert sum(map(len, reader)) == pytest.approx(32_000, abs=1024)
            assert reader.warnings == []
    assert not Path("was-run").exists()


def test_a_hostile_size_is_bounded(tmp_path: Path) -> None:
    """A header can ask for any amount of memory; the process may take so much and no more."""
    started_s = time.monotonic()
    path = tmp_path / "huge.aiff"
    write_sound(path, chirp(), "AIFF", "PCM_16")
    content = bytearray(path.read_bytes())
    at = content.find(b"COMM")
    content[at + 8 : at + 10] = b"\x04\x00"  # 1024 channels
    path.write_bytes(content)
    with pytest.raises(AudioError, match="1024 channels are outside"), open_audio(str(path)) as reader:
        list(reader)
    assert time.monotonic() - started_s < DEADLINE_S
