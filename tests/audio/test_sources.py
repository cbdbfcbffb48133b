"""Standard input and named pipes: decoded as they come where possible, spooled within limits if not."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from asrctl.audio import sources
from asrctl.audio.files import AudioReader, open_audio
from asrctl.audio.sniff import HEAD_BYTES
from asrctl.errors import AudioError
from tests.audio.samples import chirp, s16_bytes, wav_bytes, write_media, write_sound

DEADLINE_S = 20.0
S16 = s16_bytes(chirp())
EXPECTED = np.frombuffer(S16, "<i2") / np.float32(32768)


def all_of(reader: AudioReader) -> np.ndarray:
    with reader:
        return np.concatenate(list(reader))


def fed(data: bytes) -> io.BytesIO:
    """A standard input that holds this."""
    return io.BytesIO(data)


def test_wav_on_a_pipe_is_decoded_as_it_comes() -> None:
    """The first samples are there while the writer still holds the pipe open: no wait for the end."""
    read_end, write_end = os.pipe()
    with open(read_end, "rb") as stdin, open(write_end, "wb", buffering=0) as writer:
        writer.write(wav_bytes(S16[:3200], data_size=0xFFFFFFFF))
        with open_audio("-", stdin=stdin) as reader:
            chunks = iter(reader)
            np.testing.assert_array_equal(next(chunks), EXPECTED[:1600])
            writer.write(S16[3200:4200])
            np.testing.assert_array_equal(next(chunks), EXPECTED[1600:2100])
            writer.close()
            assert list(chunks) == []
            assert reader.warnings == []


def test_raw_pcm_on_a_pipe_is_decoded_as_it_comes() -> None:
    """Headerless PCM needs no byte more than a frame."""
    read_end, write_end = os.pipe()
    with open(read_end, "rb") as stdin, open(write_end, "wb", buffering=0) as writer:
        writer.write(S16[:321])
        with open_audio("-", stdin=stdin, raw_rate_hz=16_000) as reader:
            chunks = iter(reader)
            np.testing.assert_array_equal(next(chunks), EXPECTED[:160])
            writer.write(S16[321:322])
            np.testing.assert_array_equal(next(chunks), EXPECTED[160:161])
            writer.close()
            assert list(chunks) == []


def test_raw_pcm_of_any_layout() -> None:
    """Rate, channels and encoding of headerless PCM are the caller's to say."""
    stereo = np.repeat(chirp(2, 48_000), 2).astype("<f4").tobytes()
    reader = open_audio("-", stdin=fed(stereo), raw_rate_hz=48_000, raw_channels=2, raw_encoding="f32le")
    samples = all_of(reader)
    assert len(samples) == 32_000
    np.testing.assert_allclose(samples[400:-400], chirp()[400:-400], atol=2e-3)


@pytest.mark.parametrize("name", ["a.flac", "a.m4a", "ulaw.wav"])
def test_containers_on_a_pipe_are_spooled(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What needs seeking, or a library, goes through a temporary file, which is gone afterwards."""
    path = tmp_path / name
    if name == "a.m4a":
        write_media(path, chirp())
    else:
        write_sound(path, chirp(), *(("FLAC",) if name == "a.flac" else ("WAV", "ULAW")))
    spool = tmp_path / "spool"
    spool.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(spool))
    with open_audio("-", stdin=fed(path.read_bytes())) as reader:
        assert any(spool.iterdir())
        assert sum(map(len, reader)) == pytest.approx(32_000, abs=1024)
    assert not any(spool.iterdir())


def test_the_spool_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container without end does not fill the disk, and leaves nothing behind."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(sources, "MAX_SPOOL_BYTES", 1 << 20)
    with pytest.raises(AudioError, match=r"^stdin: over 0\.000977 GiB .* pipe WAV instead$"):
        open_audio("-", stdin=fed(b"\x01\x02" * (1 << 20)))
    assert not any(tmp_path.iterdir())


def test_endless_text_is_refused_from_its_start() -> None:
    """`yes | asrctl transcribe -` is answered at once, not after the spool is full."""
    stdin = fed(b"y\n" * (1 << 20))
    with pytest.raises(AudioError, match="stdin: it is text, not audio"):
        open_audio("-", stdin=stdin)
    assert stdin.tell() <= HEAD_BYTES


@pytest.mark.parametrize("data", [b"", b"RI", b"RIFF"])
def test_nothing_on_standard_input_is_an_error(data: bytes) -> None:
    """An empty pipe, or one that ends within the first bytes, is refused."""
    with pytest.raises(AudioError, match="stdin: it is"):
        open_audio("-", stdin=fed(data))


def test_a_terminal_is_not_read() -> None:
    """Nobody types audio: a terminal as input is refused instead of waiting for it."""
    controller, terminal = os.openpty()
    with (
        open(controller, "rb", buffering=0),
        open(terminal, "rb", buffering=0) as stdin,
        pytest.raises(AudioError, match="it is a terminal; pipe audio into it"),
    ):
        open_audio("-", stdin=stdin)


def test_truncated_wav_on_standard_input_is_reported() -> None:
    """What the header promised and the pipe did not bring is said."""
    with open_audio("-", stdin=fed(wav_bytes(S16, data_size=2 * len(S16)))) as reader:
        assert sum(map(len, reader)) == 32_000
        assert reader.warnings == ["truncated: the header promised 4.0 s, got 2.0 s"]


def test_named_pipe_is_read_once_somebody_writes(tmp_path: Path) -> None:
    """A FIFO opens before its writer is there, and carries WAV as standard input does."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=[wav_bytes(S16)], daemon=True)
    writer.start()
    np.testing.assert_array_equal(all_of(open_audio(str(path))), EXPECTED)
    writer.join(DEADLINE_S)


def test_the_process_s_own_standard_input() -> None:
    """Without a stream given, "-" is sys.stdin of a real process behind a real pipe."""
    code = (
        "from asrctl.audio.files import open_audio\n"
        "with open_audio('-') as reader: print(sum(map(len, reader)), reader.warnings)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=wav_bytes(S16), capture_output=True, timeout=60)
    assert (done.stdout, done.stderr) == (b"32000 []\n", b"")


def test_non_blocking_standard_input_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parents hand over pipes set not to block, where "nothing yet" looks like the end: that is undone."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    with io.TextIOWrapper(open(read_end, "rb")) as stdin, open(write_end, "wb", buffering=0) as writer:
        monkeypatch.setattr(sys, "stdin", stdin)
        writer.write(wav_bytes(S16[:3200], data_size=0xFFFFFFFF))
        with open_audio("-") as reader:
            assert os.get_blocking(read_end)
            writer.close()
            assert sum(map(len, reader)) == 1600


def test_closed_standard_input_is_an_error() -> None:
    """A process started without standard input (`<&-`) says so."""
    code = (
        "import sys; sys.stdin = None\n"
        "from asrctl.audio.files import open_audio\n"
        "try: open_audio('-')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "AudioError stdin: there is no standard input\n"
