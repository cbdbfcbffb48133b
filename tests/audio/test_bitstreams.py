"""DTS and AC-3 that travel as PCM: recognised, decoded where something can, and refused where nothing can."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from asrctl.audio.bitstreams import coded_in_pcm, may_be_coded
from asrctl.audio.files import open_audio
from asrctl.audio.sample import sample_speech
from asrctl.errors import AudioError
from tests.audio.heard import read, sentences_at_s
from tests.audio.samples import s16_bytes, tone, wav_bytes
from tests.audio.test_isolated import without
from tests.audio.test_joined import tool

__all__ = ["tool"]  # the fixture

ENCODERS = {
    "DTS": ["-ar", "44100", "-c:a", "dca", "-strict", "-2", "-b:a", "1411200", "-f", "dts"],
    "AC-3": ["-ar", "48000", "-c:a", "ac3", "-b:a", "640k", "-f", "ac3"],
    "IEC 61937": ["-ar", "48000", "-c:a", "ac3", "-b:a", "640k", "-f", "spdif"],
}


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The sentence in each coding, as the bytes of 16-bit samples."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("the ffmpeg program, which encodes them, is not installed")
    wav = tmp_path_factory.mktemp("coded") / "a.wav"
    wav.write_bytes(wav_bytes(s16_bytes(sample_speech())))
    found = {}
    for name, options in ENCODERS.items():
        command = ["ffmpeg", "-v", "error", "-i", str(wav), "-ac", "2", *options, "pipe:1"]
        found[name] = subprocess.run(command, capture_output=True, check=True).stdout
    return found


def swapped(data: bytes) -> bytes:
    return np.frombuffer(data[: len(data) // 2 * 2], ">i2").astype("<i2").tobytes()


ORDERS = ("as it is", "bytes swapped", "behind silence")
KNOWN = [
    (name, order)
    for name in ENCODERS
    for order in ORDERS
    if (name, order) != ("IEC 61937", "bytes swapped")  # FFmpeg knows it in the order of WAV only
]


@pytest.mark.parametrize(("name", "order"), KNOWN)
def test_coded_samples_are_decoded(
    name: str, order: str, coded: dict[str, bytes], tool: str, tmp_path: Path
) -> None:
    """They are heard as speech and not as noise; without a decoder, one line says what is in there."""
    data = coded[name]
    data = swapped(data) if order == "bytes swapped" else data
    data = bytes(40_000) + data if order == "behind silence" else data
    rate_hz = 44_100 if name == "DTS" else 48_000
    path = tmp_path / "a.wav"
    path.write_bytes(wav_bytes(data, rate_hz=rate_hz, channels=2))
    if tool == "libsndfile":
        with pytest.raises(AudioError, match=f"it holds .*{name}.* not samples; install PyAV"):
            read(str(path))
        return
    samples, warnings = read(str(path))
    begin_s = 10_000 / rate_hz if order == "behind silence" else 0.0
    assert sentences_at_s(samples) == pytest.approx([begin_s], abs=0.05)
    assert warnings == []


def test_coded_samples_on_a_pipe_are_decoded(coded: dict[str, bytes]) -> None:
    """They show in what is there already; then it is worth a copy to a file."""
    content = wav_bytes(swapped(coded["DTS"]), rate_hz=44_100, channels=2)
    with open_audio("-", stdin=io.BytesIO(content)) as reader:
        assert len(sentences_at_s(np.concatenate(list(reader)))) == 1
    assert reader.warnings == []


def test_samples_are_not_taken_for_codes() -> None:
    """Speech, noise, silence, tones and square waves of full scale are what they are."""
    chance = np.random.default_rng(7)
    square = np.where(np.arange(100_000) // 40 % 2, 32766, -32767).astype("<i2").tobytes()
    signals = [s16_bytes(sample_speech()), chance.bytes(1 << 18), bytes(1 << 18), square]
    signals += [s16_bytes(tone(hz, 4, 16_000, 0.999)) for hz in (50, 100, 125, 200, 250, 500, 1000)]
    for signal in signals:
        assert coded_in_pcm(signal) is None
    assert not may_be_coded(s16_bytes(sample_speech()))


def test_what_looks_coded_and_is_not_is_read_as_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder that finds no code in it reads samples."""
    without(monkeypatch, pyav=False, ffmpeg=True)
    data = np.frombuffer(s16_bytes(sample_speech()), "<i2").copy()
    data[100::500] = 0x0B77  # an AC-3 sync word at equal distances
    path = tmp_path / "a.wav"
    path.write_bytes(wav_bytes(data.tobytes()))
    found = coded_in_pcm(data.tobytes())
    assert found and (found.name, found.start) == ("AC-3", 200)
    samples, warnings = read(str(path))
    assert len(samples) == len(sample_speech())
    assert warnings == ["it looks like AC-3 inside a WAV, and was read as samples"]


def test_audio_that_repeats_itself_is_not_coded() -> None:
    """Two bytes that are a sync word by chance come back with each round; no frame is so long."""
    once = np.zeros(16_000, "<i2")
    once[100] = 0x0B77
    assert coded_in_pcm(np.tile(once, 12).tobytes()) is None
