"""The WAV reader's header: what it promises, where it lies, and how large a file it can walk through."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.audio.files import open_audio
from asrctl.audio.sample import sample_speech
from asrctl.audio.wav import MAX_HEADER_BYTES, HeaderReader, WavHeader, read_wav_header
from asrctl.errors import AudioError
from tests.audio.heard import SENTENCE_S, sentences_at_s
from tests.audio.samples import FLOAT, chirp, rf64_bytes, s16_bytes, wav_bytes

S16 = s16_bytes(chirp())


def header_of(data: bytes) -> WavHeader | None:
    return read_wav_header(HeaderReader(io.BytesIO(data)))


@given(st.binary(max_size=400))
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    """No bytes after the magic make the parser raise, and what it read can be read again."""
    content = b"RIFF\x00\x00\x00\x00WAVE" + data
    reader = HeaderReader(io.BytesIO(content))
    header = read_wav_header(reader)
    assert content.startswith(reader.seen)
    assert header is None or header.frame_bytes > 0


def test_header_states_format_and_length() -> None:
    """The plain case."""
    data = wav_bytes(bytes(800), rate_hz=48_000, channels=2, bits=32, tag=FLOAT)
    assert header_of(data) == WavHeader(48_000, 2, "f32le", 800)


def test_long_sizes_come_from_ds64() -> None:
    """RF64 keeps its length in another chunk; 0 there means unknown."""
    assert header_of(rf64_bytes(b"", 10 << 32)) == WavHeader(16_000, 1, "s16le", 10 << 32)
    assert header_of(rf64_bytes(b"", 0)) == WavHeader(16_000, 1, "s16le", None)


def with_chunk(kind: bytes, size: int) -> bytes:
    """A WAV with another chunk before its data, padded to an even length."""
    data = wav_bytes(S16)
    return data[:36] + kind + struct.pack("<I", size) + bytes(size + size % 2) + data[36:]


@pytest.mark.parametrize("size", [0, 1, 33, 5000])
def test_other_chunks_are_skipped(size: int) -> None:
    """Metadata before the data, odd lengths too, does not matter."""
    assert header_of(with_chunk(b"LIST", size)) == WavHeader(16_000, 1, "s16le", len(S16))


@pytest.mark.parametrize("size", [1, 5, 33])
def test_chunks_of_odd_length_without_padding_are_skipped(size: int) -> None:
    """Some writers leave the padding out: the next chunk begins right behind, before the data and after."""
    chunk = b"LIST" + struct.pack("<I", size) + b"x" * size
    data = wav_bytes(S16)
    unpadded = data[:12] + chunk + data[12:]
    reader = HeaderReader(io.BytesIO(unpadded))
    assert read_wav_header(reader) == WavHeader(16_000, 1, "s16le", len(S16))
    assert reader.seen == unpadded[: -len(S16)], "what another reader would begin with"
    twice = io.BytesIO(unpadded + chunk + data[36:])
    with open_audio("-", stdin=twice) as audio:
        assert (sum(map(len, audio)), audio.warnings) == (len(S16), [])


def test_a_frame_that_a_chunk_cuts_does_not_go_on_in_the_next(tmp_path: Path) -> None:
    """The samples of a second chunk are not read a byte off, from a file or a pipe."""
    speech, path = s16_bytes(sample_speech()), tmp_path / "odd.wav"
    odd = speech + b"\x01"
    second = b"data" + struct.pack("<I", len(speech)) + speech
    path.write_bytes(wav_bytes(odd, riff_size=36 + len(odd) + 1 + len(second)) + b"\0" + second)
    for spec, stdin in ((str(path), None), ("-", io.BytesIO(path.read_bytes()))):
        with open_audio(spec, stdin=stdin) as audio:
            samples = np.concatenate(list(audio))
        assert sentences_at_s(samples) == pytest.approx([0, SENTENCE_S], abs=0.01)
        assert audio.warnings == ["ends in the middle of a frame: 1 bytes left over"]


def test_a_warning_is_said_once(tmp_path: Path) -> None:
    """However often it was so: each of these chunks ends in the middle of a frame."""
    path, odd = tmp_path / "odd.wav", S16 + b"\x01"
    chunk = b"data" + struct.pack("<I", len(odd)) + odd + b"\0"
    path.write_bytes(wav_bytes(odd, riff_size=36 + 3 * len(chunk) - 8) + b"\0" + chunk * 2)
    with open_audio(str(path)) as audio:
        assert sum(map(len, audio)) == 3 * len(S16) // 2
        assert audio.warnings == ["ends in the middle of a frame: 1 bytes left over"]


def test_a_header_without_end_is_given_up() -> None:
    """No more than MAX_HEADER_BYTES are held while looking for the data; files go to libsndfile then."""
    reader = HeaderReader(io.BytesIO(with_chunk(b"LIST", MAX_HEADER_BYTES)))
    assert read_wav_header(reader) is None
    assert len(reader.seen) < 100


@pytest.mark.parametrize(
    ("header", "options"),
    [
        ({"rate_hz": 0}, ": if you know better, --raw-rate HZ reads the samples without it"),
        ({"rate_hz": 0, "channels": 2}, ", --raw-rate HZ --raw-channels N reads"),
        ({"channels": 99}, ", --raw-rate HZ --raw-channels N reads"),
        ({"rate_hz": 0, "bits": 32, "tag": FLOAT}, ", --raw-encoding f32le --raw-rate HZ reads"),
        ({"rate_hz": 0, "bits": 24}, "outside 1000 to 768000 Hz; its header is wrong"),
    ],
)
def test_a_header_that_cannot_be_right_is_told_with_the_cure(
    header: dict[str, int], options: str, tmp_path: Path
) -> None:
    """The options that read the samples all the same, if there are some for their format."""
    path = tmp_path / "a.wav"
    path.write_bytes(wav_bytes(S16 * 3, **header))
    with pytest.raises(AudioError) as refused:
        open_audio(str(path))
    assert options in str(refused.value)
    assert ("--raw" in str(refused.value)) == ("--raw" in options)


def test_large_cover_art_is_no_obstacle_in_a_file(tmp_path: Path) -> None:
    """What our reader gives up, libsndfile reads."""
    path = tmp_path / "art.wav"
    path.write_bytes(with_chunk(b"LIST", MAX_HEADER_BYTES))
    with open_audio(str(path)) as reader:
        assert sum(map(len, reader)) == 32_000


def test_sizes_that_wrapped_at_4_gib_are_not_believed(tmp_path: Path) -> None:
    """A recording of over 4 GiB whose 32-bit size wrapped around is as long as its file."""
    path = tmp_path / "long.wav"
    data_bytes = (1 << 32) + 320_000
    path.write_bytes(wav_bytes(b"", data_size=data_bytes % (1 << 32)))
    with path.open("r+b") as file:
        file.truncate(44 + data_bytes)  # a hole: takes no disk
    with open_audio(str(path)) as reader:
        assert reader.duration_s == data_bytes / 32_000


def test_tags_after_the_data_are_not_audio(tmp_path: Path) -> None:
    """A chunk behind the data is neither decoded nor worth a warning."""
    path = tmp_path / "tags.wav"
    path.write_bytes(wav_bytes(S16) + b"LIST" + struct.pack("<I", 1000) + bytes(1000))
    with open_audio(str(path)) as reader:
        assert sum(map(len, reader)) == 32_000
        assert reader.warnings == []


WALK = """
import resource, sys
from asrctl.audio.files import open_audio
def peak_kib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open_audio(sys.argv[1]) as reader:
    chunks = iter(reader)
    n_samples = len(next(chunks))
    before_kib = peak_kib()
    n_samples += sum(map(len, chunks))
print(n_samples, peak_kib() - before_kib)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
def test_a_long_file_is_never_in_memory(tmp_path: Path) -> None:
    """Two hours, 230 MB, pass in blocks: the peak of memory grows by less than 16 MiB on the way."""
    path = tmp_path / "hours.wav"
    data_bytes = 2 * 3600 * 32_000
    path.write_bytes(wav_bytes(b"", data_size=data_bytes))
    with path.open("r+b") as file:
        file.truncate(44 + data_bytes)  # a hole: takes no disk
    done = subprocess.run(
        [sys.executable, "-c", WALK, str(path)], capture_output=True, text=True, check=True, timeout=120
    )
    n_samples, grown_kib = map(int, done.stdout.split())
    assert n_samples == 2 * 3600 * 16_000
    assert grown_kib < 16 * 1024
