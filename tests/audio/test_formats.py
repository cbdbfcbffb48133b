"""Every format gives back the signal that was put in: at its time, at its length, at its level."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from asrctl.audio import decoders
from asrctl.audio.files import open_audio
from asrctl.audio.libav import open_libav
from asrctl.errors import AudioError
from tests.audio.samples import (
    FLOAT,
    PCM,
    Samples,
    chirp,
    rf64_bytes,
    s16_bytes,
    wav_bytes,
    write_media,
    write_sound,
)

SIGNAL = chirp(5)


@dataclass(frozen=True)
class Good:
    """How to write SIGNAL to a path, and what the format may do to it."""

    write: Callable[[Path], object]
    min_snr_db: float
    extra_samples: int = 0
    """Padding that a lossy format may leave at the end, or miss there."""


def sound(container: str, subtype: str | None = None) -> Callable[[Path], object]:
    return lambda path: write_sound(path, SIGNAL, container, subtype)


def content(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def coded(codec: str) -> Callable[[Path], object]:
    return lambda path: write_media(path, SIGNAL, codec, 48_000 if codec == "libopus" else 16_000)


def opus_in_webm(path: Path) -> None:
    """WebM is opus at 48 kHz."""
    write_media(path, chirp(5, 48_000), "libopus", 48_000)


S16 = s16_bytes(SIGNAL)
INT32 = np.round(SIGNAL.astype(np.float64) * (2**31 - 1)).astype("<i4").tobytes()

FORMATS: dict[str, Good] = {
    "u8.wav": Good(sound("WAV", "PCM_U8"), 35),
    "s16.wav": Good(content(wav_bytes(S16)), 80),
    "s24.wav": Good(sound("WAV", "PCM_24"), 120),
    "s32.wav": Good(content(wav_bytes(INT32, bits=32, tag=PCM)), 130),
    "f32.wav": Good(content(wav_bytes(SIGNAL.tobytes(), bits=32, tag=FLOAT)), 200),
    "f64.wav": Good(content(wav_bytes(SIGNAL.astype("<f8").tobytes(), bits=64, tag=FLOAT)), 200),
    "ulaw.wav": Good(sound("WAV", "ULAW"), 30),
    "alaw.wav": Good(sound("WAV", "ALAW"), 30),
    "ima_adpcm.wav": Good(sound("WAV", "IMA_ADPCM"), 20, 2048),
    "extensible16.wav": Good(sound("WAVEX", "PCM_16"), 80),
    "extensible24.wav": Good(sound("WAVEX", "PCM_24"), 120),
    "extensible_float.wav": Good(sound("WAVEX", "FLOAT"), 200),
    "rf64.wav": Good(sound("RF64", "PCM_16"), 80),
    "rf64_piped.wav": Good(content(rf64_bytes(S16, 0)), 80),
    "size_unknown_ffmpeg.wav": Good(content(wav_bytes(S16, data_size=0xFFFFFFFF)), 80),
    "size_unknown_gstreamer.wav": Good(content(wav_bytes(S16, data_size=0, riff_size=0)), 80),
    "size_unknown_sox.wav": Good(content(wav_bytes(S16, data_size=0x7FFFF000, riff_size=0x7FFFF024)), 80),
    "size_unknown_arecord.wav": Good(content(wav_bytes(S16, data_size=0x80000000)), 80),
    "writer_died.wav": Good(content(wav_bytes(S16, data_size=0, riff_size=36)), 80),
    "a.flac": Good(sound("FLAC"), 80),
    "a.aiff": Good(sound("AIFF", "PCM_16"), 80),
    "float.aiff": Good(sound("AIFF", "FLOAT"), 200),
    "a.au": Good(sound("AU", "PCM_16"), 80),
    "ulaw.au": Good(sound("AU", "ULAW"), 30),
    "a.caf": Good(sound("CAF", "PCM_16"), 80),
    "a.w64": Good(sound("W64", "PCM_16"), 80),
    "a.voc": Good(sound("VOC", "PCM_16"), 80),
    "vorbis.ogg": Good(sound("OGG", "VORBIS"), 15, 512),
    "opus.ogg": Good(sound("OGG", "OPUS"), 15),
    "a.mp3": Good(sound("MP3"), 15),
    "a.m4a": Good(coded("aac"), 15, 1024),
    "a.mp4": Good(coded("aac"), 15, 1024),
    "aac.mkv": Good(coded("aac"), 15, 1024),
    "flac.mkv": Good(coded("flac"), 80),
    "opus.webm": Good(opus_in_webm, 15, 480),
}


def read(path: Path) -> tuple[Samples, list[str]]:
    with open_audio(str(path)) as reader:
        samples = np.concatenate(list(reader))
        return samples, reader.warnings


def snr_db(samples: Samples, expected: Samples) -> float:
    """Signal over difference, wherever both have samples; the gain is not fitted, the time not shifted."""
    length = min(len(samples), len(expected))
    error = samples[:length].astype(np.float64) - expected[:length]
    return float(10 * np.log10(np.sum(expected[:length] ** 2) / (np.sum(error**2) + 1e-30)))


def delay_samples(samples: Samples) -> int:
    """Where in the samples SIGNAL fits best."""
    n_fft = len(samples) + len(SIGNAL)
    spectrum = np.fft.rfft(samples, n_fft) * np.conj(np.fft.rfft(SIGNAL, n_fft))
    return int(np.argmax(np.fft.irfft(spectrum, n_fft)[:4096]))


@pytest.mark.parametrize("name", FORMATS)
def test_format_gives_the_signal_back(name: str, tmp_path: Path) -> None:
    """Lossless formats to the sample; lossy ones in time and level, with their padding at the end only."""
    good = FORMATS[name]
    good.write(tmp_path / name)
    samples, warnings = read(tmp_path / name)
    assert warnings == []
    assert abs(len(samples) - len(SIGNAL)) <= good.extra_samples
    assert snr_db(samples, SIGNAL) >= good.min_snr_db


@pytest.mark.parametrize("name", ["s16.wav", "a.flac", "a.mp3", "vorbis.ogg", "a.m4a", "opus.webm"])
def test_length_is_known_before_reading(name: str, tmp_path: Path) -> None:
    """Progress has something to run against."""
    FORMATS[name].write(tmp_path / name)
    with open_audio(str(tmp_path / name)) as reader:
        assert reader.duration_s == pytest.approx(5, abs=0.05)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the ffmpeg program is not installed")
@pytest.mark.parametrize("name", ["a.m4a", "aac.mkv", "flac.mkv", "opus.webm", "a.mp4"])
def test_ffmpeg_stands_in_for_pyav(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PyAV, the ffmpeg program reads the same containers to the same signal.

    Programs of some versions keep the encoder's priming, so it may come up to an AAC frame later.
    """
    FORMATS[name].write(tmp_path / name)
    monkeypatch.setattr(decoders, "find_spec", lambda name: None)
    samples, warnings = read(tmp_path / name)
    assert warnings == []
    delay = delay_samples(samples)
    assert 0 <= delay <= 1024
    assert 0 <= len(samples) - len(SIGNAL) <= 2048
    assert snr_db(samples[delay:], SIGNAL) >= FORMATS[name].min_snr_db


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the ffmpeg program is not installed")
def test_what_the_ffmpeg_program_writes_to_a_pipe_is_read(tmp_path: Path) -> None:
    """A real streamed WAV, sizes unknown, as it comes out of `ffmpeg -f wav -`."""
    (tmp_path / "a.wav").write_bytes(wav_bytes(S16))
    command = ["ffmpeg", "-v", "error", "-i", str(tmp_path / "a.wav"), "-f", "wav", "-"]
    (tmp_path / "piped.wav").write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    samples, warnings = read(tmp_path / "piped.wav")
    assert (len(samples), warnings) == (len(SIGNAL), [])


def test_without_any_helper_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No PyAV and no ffmpeg: an m4a is refused with the cure, a FLAC is still read."""
    monkeypatch.setattr(decoders, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("a.m4a", "a.flac"):
        FORMATS[name].write(tmp_path / name)
    with pytest.raises(AudioError, match=r"pip install 'asrctl\[media\]'"):
        read(tmp_path / "a.m4a")
    assert len(read(tmp_path / "a.flac")[0]) == len(SIGNAL)


def test_video_with_sound_that_starts_later_keeps_its_times(tmp_path: Path) -> None:
    """Times in the transcript are times of the film: the lead is silence, and no reason to warn."""
    path = write_media(tmp_path / "film.mkv", SIGNAL, "flac", picture_s=7, audio_from_s=1.5)
    samples, warnings = read(path)
    assert warnings == []
    assert not samples[: int(1.4 * 16_000)].any()
    assert len(samples) == pytest.approx(6.5 * 16_000, abs=100)


def test_gaps_become_silence_and_are_reported(tmp_path: Path) -> None:
    """What a lossy recording left out keeps its place in time, and is declared."""
    path = write_media(tmp_path / "holes.mkv", SIGNAL, "flac", skipped=range(20, 40))
    samples, warnings = read(path)
    assert warnings == ["gaps: 1.3 s are missing in between and became silence"]
    assert len(samples) == pytest.approx(len(SIGNAL), abs=100)
    assert snr_db(samples[-16_000:], SIGNAL[-16_000:]) > 10


def test_a_clock_that_jumps_by_years_is_no_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The silence that a container can ask for is limited; a longer jump is reported and not filled."""
    monkeypatch.setattr("asrctl.audio.libav.MAX_SILENCE_S", 1.0)
    path = write_media(tmp_path / "jump.mkv", SIGNAL, "flac", skipped=range(20, 40))
    with ExitStack() as resources:
        size = path.stat().st_size
        stream = open_libav(str(path), 0, size, True, None, resources)
        n_frames = sum(piece.n_frames for piece in stream.pieces())
    assert stream.notes == ["damaged: its clock jumps by 1 s; times are wrong after that"]
    assert n_frames == len(SIGNAL) - 20 * 1024
