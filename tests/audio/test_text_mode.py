"""Audio whose bytes were changed as if it were text is refused, and it is said why."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from asrctl.audio.files import open_audio
from asrctl.audio.sample import sample_speech
from asrctl.audio.text_mode import has_added_returns, text_mode_damage
from asrctl.errors import AudioError

from .heard import read
from .samples import chirp, s16_bytes, wav_bytes, write_sound

SPEECH = sample_speech() * np.float32(2)
STEREO = np.repeat(SPEECH, 2)
CRLF = b"\r\n"
WAVS = {
    "16 bit": wav_bytes(s16_bytes(SPEECH)),
    "stereo": wav_bytes(s16_bytes(STEREO), channels=2),
    "48 kHz": wav_bytes(s16_bytes(np.repeat(SPEECH, 3)), rate_hz=48_000),
    "tone": wav_bytes(s16_bytes(chirp())),
}


def added(data: bytes) -> bytes:
    return data.replace(b"\n", CRLF)


def removed(data: bytes) -> bytes:
    return data.replace(CRLF, b"\n")


RECODED: dict[str, Callable[[bytes], bytes]] = {
    "invalid characters replaced": lambda data: data.decode("utf-8", "replace").encode(),
    "bytes as characters": lambda data: data.decode("latin-1").encode(),
    "sent through a pipe of PowerShell": lambda data: b"\xff\xfe" + data.decode("cp437").encode("utf-16-le"),
}


def refused(path: Path, content: bytes, reason: str) -> None:
    path.write_bytes(content)
    with pytest.raises(
        AudioError, match=f"^{path}: its bytes were changed as if it were text \\({reason}\\): "
    ):
        read(str(path))


@pytest.mark.parametrize("name", WAVS)
def test_line_ends_of_wav(name: str, tmp_path: Path) -> None:
    """Both ways, although its header is as it was."""
    refused(tmp_path / "added.wav", added(WAVS[name]), "line feeds became CR LF")
    if removed(WAVS[name]) != WAVS[name]:
        refused(tmp_path / "removed.wav", removed(WAVS[name]), "CR LF became line feeds")


@pytest.mark.parametrize("suffix", ["flac", "mp3", "ogg"])
def test_line_ends_of_what_is_compressed(suffix: str, tmp_path: Path) -> None:
    """No decoder is asked what it makes of the rest."""
    path = write_sound(tmp_path / f"a.{suffix}", np.tile(SPEECH, 4), suffix.upper())
    refused(path, added(path.read_bytes()), "line feeds became CR LF")


@pytest.mark.parametrize("how", RECODED)
def test_another_character_encoding(how: str, tmp_path: Path) -> None:
    """Programs that hold bytes as text do this."""
    refused(tmp_path / "a.wav", RECODED[how](WAVS["16 bit"]), "in another character encoding")


def test_a_pipe() -> None:
    """What is there of it shows this."""
    with pytest.raises(AudioError, match="stdin: its bytes were changed"):
        open_audio("-", stdin=_Stream(added(WAVS["16 bit"])))


class _Stream(io.BytesIO):
    def isatty(self) -> bool:
        return False


def test_what_is_only_cut_or_quiet_is_read(tmp_path: Path) -> None:
    """A few bytes less; samples that are all zero beside text with CR LF; noise; 8 bits in 16."""
    noise = np.random.default_rng(1).uniform(-1, 1, 32_000).astype(np.float32)
    coarse = np.round(SPEECH * 100) / 128
    text = b"a line of an edit list\r\n" * 20
    tagged = wav_bytes(bytes(64_000))[:36] + b"iXML" + len(text).to_bytes(4, "little") + text
    contents = {
        "cut": WAVS["16 bit"][:-7],
        "noise": wav_bytes(removed(s16_bytes(noise)), data_size=64_001),
        "coarse": wav_bytes(s16_bytes(coarse.astype(np.float32)))[:-3],
        "silent": tagged + b"data" + (64_000).to_bytes(4, "little") + bytes(64_000),
        "words of other scripts": wav_bytes(s16_bytes(SPEECH)) + b"LIST" + "имя".encode() * 100,
    }
    for name, content in contents.items():
        path = tmp_path / f"{name}.wav"
        path.write_bytes(content)
        assert len(read(str(path))[0]) >= 30_000, name


def test_silence_is_not_searched_for_hours() -> None:
    """A muted recording has no line feed at all: the rest of it is not read for the next one."""
    changed = b"\x80\r\n\x80" * 20
    assert has_added_returns(changed)
    assert not has_added_returns(bytes(1 << 26) + changed)


def test_titles_in_other_scripts_are_no_recoding(tmp_path: Path) -> None:
    """A tag of valid UTF-8, longer than what is looked at."""
    title = "Протокол собрания ".encode() * 5000
    (tmp_path / "tag").write_bytes(b"ID3\x03\x00\x00" + b"\x00\x0a\x3d\x50" + title)
    assert text_mode_damage(str(tmp_path / "tag")) is None
