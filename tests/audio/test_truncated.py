"""What is missing at a file's end is said in every format that states a length, in seconds or in bytes."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from asrctl.audio.files import open_audio
from asrctl.audio.mpeg import first_frame, parse_frame
from asrctl.audio.sample import sample_speech
from tests.audio.heard import read
from tests.audio.samples import chirp, write_media, write_sound
from tests.audio.test_joined import tool

__all__ = ["tool"]  # the fixture

SECONDS = 8.0


def _film(codec: str, **options: str) -> Callable[[Path], Path]:
    return lambda path: write_media(path, chirp(SECONDS), codec, picture_s=SECONDS, options=options)


def _without_tags(path: Path) -> Path:
    """A film that states one length for all, as most programs write it: no tags of its tracks."""
    path.write_bytes(_film("aac")(path).read_bytes().replace(b"DURATION", b"NOTATIME"))
    return path


def _fragments(path: Path) -> Path:
    options = {"movflags": "frag_keyframe+empty_moov", "frag_duration": "1000000"}
    return write_media(path, chirp(SECONDS), options=options)


def _sound(container: str) -> Callable[[Path], Path]:
    return lambda path: write_sound(path, chirp(SECONDS), container, "PCM_16")


FILES: dict[str, Callable[[Path], Path]] = {
    "film.mkv": _film("aac"),
    "without_tags.mkv": _without_tags,
    "live.mkv": _film("aac", live="1"),
    "film.avi": _film("pcm_s16le"),
    "fragments.mp4": _fragments,
    "sound.w64": _sound("W64"),
    "sound.caf": _sound("CAF"),
    "sound.voc": _sound("VOC"),
}
LIBSNDFILE = {".w64", ".voc"}  # a CAF that was cut it refuses


@pytest.mark.parametrize("name", FILES)
def test_what_is_missing_at_the_end_is_said(name: str, tool: str, tmp_path: Path) -> None:
    """Of a file and of a pipe; nothing is said of the whole file."""
    path = FILES[name](tmp_path / name)
    if tool == "libsndfile" and path.suffix not in LIBSNDFILE:
        return
    samples, warnings = read(str(path))
    assert len(samples) / 16_000 == pytest.approx(SECONDS, abs=0.15)
    assert warnings == []
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    samples, warnings = read(str(path))
    assert 0.3 * SECONDS < len(samples) / 16_000 < 0.9 * SECONDS
    assert len([line for line in warnings if line.startswith("truncated: ")]) == 1
    with open_audio("-", stdin=io.BytesIO(path.read_bytes())) as reader:
        assert len(np.concatenate(list(reader))) == len(samples)
        assert reader.warnings == warnings


@pytest.mark.parametrize("name", ["without_tags.mkv", "film.avi"])
def test_an_index_is_no_audio(name: str, tmp_path: Path) -> None:
    """A file that lost the last bytes of what stands behind its media is not called truncated."""
    path = FILES[name](tmp_path / name)
    with path.open("ab") as file:
        file.truncate(path.stat().st_size - 5)
    assert read(str(path))[1] == []


def _first_frame_end(data: bytes) -> int:
    at = first_frame(data)
    frame = None if at is None else parse_frame(data, at)
    assert at is not None and frame
    return at + frame.n_bytes


@pytest.mark.parametrize("header", ["Xing", "none"])
def test_a_hole_is_not_called_an_end(header: str, tool: str, tmp_path: Path) -> None:
    """MP3 whose bytes are all there and some of them spoilt: it is said that what follows is too early."""
    path = write_sound(tmp_path / "hole.mp3", np.tile(sample_speech(), 4), "MP3")
    content = bytearray(path.read_bytes())
    content[len(content) // 3 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 3)
    if header == "none":
        del content[: _first_frame_end(bytes(content))]
    path.write_bytes(content)
    _, warnings = read(str(path))
    assert not [line for line in warnings if line.startswith("truncated")]
    told = "stopped early" if tool == "libsndfile" else "too early"
    assert any(told in line for line in warnings), warnings
    path.write_bytes(content[: len(content) * 2 // 3])
    if header == "Xing":
        assert any(line.startswith("truncated: the header promised") for line in read(str(path))[1])


def test_sound_that_ends_before_the_picture_is_whole(tool: str, tmp_path: Path) -> None:
    """The length of a film is no promise of each of its tracks."""
    if tool == "libsndfile":
        return
    path = write_media(tmp_path / "film.mkv", sample_speech(), picture_s=16, audio_from_s=10)
    samples, warnings = read(str(path))
    assert len(samples) / 16_000 == pytest.approx(10 + len(sample_speech()) / 16_000, abs=0.15)
    assert warnings == []
