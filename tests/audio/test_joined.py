"""Files that are several files, or whose format changes: all of it is decoded, at its speed and its time."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from asrctl.audio.parts import Part, parts_of
from asrctl.audio.sample import sample_speech
from asrctl.audio.sniff import HEAD_BYTES, kind_of
from asrctl.errors import AudioError
from tests.audio.heard import SENTENCE_S, read, sentences_at_s
from tests.audio.samples import s16_bytes, wav_bytes, write_media, write_sound
from tests.audio.test_isolated import without

DATA = Path(__file__).parent / "data"
TOOLS = ["PyAV", "ffmpeg", "libsndfile"]
FOR_LIBSNDFILE = {".mp3", ".ogg", ".opus", ".flac", ".aiff", ".au", ".caf", ".w64", ".wav"}


@pytest.fixture(params=TOOLS)
def tool(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is installed: PyAV, only the ffmpeg program, or neither."""
    name: str = request.param
    if name == "ffmpeg" and shutil.which("ffmpeg") is None:
        pytest.skip("the ffmpeg program is not installed")
    without(monkeypatch, pyav=name != "PyAV", ffmpeg=name == "libsndfile")
    return name


def refused(path: Path) -> None:
    """No format of libsndfile: one line says what would decode it."""
    with pytest.raises(AudioError, match=r"PyAV|ffmpeg"):
        read(str(path))


GIVEN = {
    "mono_then_stereo.mp3": (0.0, 2.93),
    "joined_same.mp3": (0.0, 2.93),
    "joined.opus": (0.0, 2.93),
    "opus_then_vorbis.ogg": (0.0, 2.93),
    "broadcast_20_51.ts": (0.01, 2.95),  # stereo, then six channels
    "mono_then_stereo.aac": (0.06, 3.03),
}


@pytest.mark.parametrize("name", GIVEN)
def test_a_format_that_changes_is_followed(name: str, tool: str) -> None:
    """The sentence is heard twice, the second time where the first ended, and nothing is complained about."""
    if tool == "libsndfile" and Path(name).suffix not in FOR_LIBSNDFILE:
        return refused(DATA / name)
    samples, warnings = read(str(DATA / name))
    assert sentences_at_s(samples) == pytest.approx(GIVEN[name], abs=0.03)
    assert warnings == []


def _wav(path: Path, rate_hz: int) -> Path:
    speech = np.repeat(sample_speech(), rate_hz // 16_000)
    path.write_bytes(wav_bytes(s16_bytes(speech), rate_hz=rate_hz))
    return path


def _sound(container: str, subtype: str) -> Callable[[Path, int], Path]:
    def write(path: Path, rate_hz: int) -> Path:
        speech = np.repeat(sample_speech(), rate_hz // 16_000)
        return write_sound(path, speech, container, subtype, rate_hz)

    return write


def _media(codec: str) -> Callable[[Path, int], Path]:
    def write(path: Path, rate_hz: int) -> Path:
        return write_media(path, np.repeat(sample_speech(), rate_hz // 16_000), codec, rate_hz)

    return write


def _flash(path: Path) -> Path:
    sound = write_sound(path.with_suffix(".mp3"), sample_speech(), "MP3", "MPEG_LAYER_III", 22_050)
    with av.open(str(sound)) as source, av.open(str(path), "w") as film:
        stream = film.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = stream
                film.mux(packet)
    return path


_made: dict[tuple[str, int], bytes] = {}


def made(name: str, rate_hz: int, scratch: Path) -> bytes:
    """The content of a file of `MADE`, encoded once for all tests of this process."""
    if (name, rate_hz) not in _made:
        _made[name, rate_hz] = MADE[name](scratch / f"made{Path(name).suffix}", rate_hz).read_bytes()
    return _made[name, rate_hz]


MADE: dict[str, Callable[[Path, int], Path]] = {
    "a.wav": _wav,
    "ulaw.wav": _sound("WAV", "ULAW"),
    "ima.wav": _sound("WAV", "IMA_ADPCM"),
    "a.aiff": _sound("AIFF", "PCM_16"),
    "a.au": _sound("AU", "PCM_16"),
    "a.caf": _sound("CAF", "PCM_16"),
    "a.flac": _sound("FLAC", "PCM_16"),
    "a.mp3": _sound("MP3", "MPEG_LAYER_III"),
    "a.ogg": _sound("OGG", "VORBIS"),
    "a.m4a": _media("aac"),
    "a.mkv": _media("flac"),
    "a.mp2": _media("mp2"),
    "a.ts": _media("aac"),
    "a.wv": _media("wavpack"),
}
RARER = {
    "a.nut": _media("pcm_s16le"),
    "a.avi": _media("pcm_s16le"),
    "a.wtv": _media("mp2"),
    "a.adx": _media("adpcm_adx"),
    "a.ast": _media("pcm_s16be_planar"),
    "a.swf": lambda path, _: _flash(path),
    "a.voc": _sound("VOC", "PCM_16"),
    "a.wv": MADE["a.wv"],
    "a.rm": lambda path, _: Path(shutil.copyfile(DATA / "clock_stands_still.rm", path)),
}


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("second_hz", [16_000, 48_000])
def test_joined_files_are_read_to_the_end(name: str, second_hz: int, tool: str, tmp_path: Path) -> None:
    """`cat a b` of any format we can write, also where the rates differ: both sentences, at their speed."""
    suffix = Path(name).suffix
    path = tmp_path / name
    path.write_bytes(made(name, 16_000, tmp_path) + made(name, second_hz, tmp_path))
    if tool == "libsndfile" and suffix not in FOR_LIBSNDFILE | {".mp2"}:
        return refused(path)
    samples, warnings = read(str(path))
    starts = sentences_at_s(samples)
    assert len(starts) == 2
    assert starts[1] - starts[0] == pytest.approx(SENTENCE_S, abs=0.15)
    assert warnings == []


def test_joined_wav_of_another_codec_is_read(tmp_path: Path) -> None:
    """PCM, then mu-law: our own reader leaves such a file to one that knows both."""
    pcm, law = tmp_path / "pcm.wav", write_sound(tmp_path / "law.wav", sample_speech(), "WAV", "ULAW")
    pcm.write_bytes(wav_bytes(s16_bytes(sample_speech())))
    (tmp_path / "both.wav").write_bytes(pcm.read_bytes() + law.read_bytes())
    samples, warnings = read(str(tmp_path / "both.wav"))
    assert sentences_at_s(samples) == pytest.approx([0, SENTENCE_S], abs=0.01)
    assert warnings == []


@pytest.mark.parametrize("second", ["a.mp3", "a.wav", "a.flac", "a.ogg", "a.m4a"])
@pytest.mark.parametrize("first", ["a.wav", "a.flac", "a.ogg", "a.m4a", "a.mp3", "a.aiff"])
def test_a_file_of_another_kind_behind_is_read(first: str, second: str, tool: str, tmp_path: Path) -> None:
    """Both sentences, at their speed; what no library here knows is said."""
    path = tmp_path / "joined"
    path.write_bytes(made(first, 16_000, tmp_path) + made(second, 48_000, tmp_path))
    if tool == "libsndfile" and first == second == "a.m4a":
        return refused(path)
    samples, warnings = read(str(path))
    starts = sentences_at_s(samples)
    if tool == "libsndfile" and "a.m4a" in (first, second):
        assert len(starts) == 1 and any("not all read" in line for line in warnings), warnings
        return None
    assert len(starts) == 2 and starts[1] - starts[0] == pytest.approx(SENTENCE_S, abs=0.15)
    return None


def test_a_second_format_within_a_wav_takes_effect(tmp_path: Path) -> None:
    """Two chunks of data, the second after a format of its own; one that we do not read is said."""
    first, second = (_wav(tmp_path / "part.wav", rate_hz).read_bytes()[12:] for rate_hz in (16_000, 48_000))
    path = tmp_path / "two.wav"
    for tag, times in ((b"\x01", 2), (b"\x55", 1)):
        chunks = first + second[:8] + tag + second[9:]
        path.write_bytes(b"RIFF" + (len(chunks) + 4).to_bytes(4, "little") + b"WAVE" + chunks)
        samples, warnings = read(str(path))
        assert sentences_at_s(samples) == pytest.approx([0, SENTENCE_S][:times], abs=0.03)
        assert ["not all read" in warning for warning in warnings] == [True] * (2 - times)


@pytest.mark.parametrize("n_bytes", [300, 4000, 300_000])
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".opus", ".m4a"])
def test_a_tag_in_front_is_no_file(suffix: str, n_bytes: int, tool: str, tmp_path: Path) -> None:
    """ID3 tags, as some programs put before any file, however long: all is read, no complaint."""
    path = tmp_path / f"tagged{suffix}"
    if suffix in {".wav", ".flac"}:
        write_sound(path, sample_speech(), suffix[1:].upper())
    else:
        write_media(path, sample_speech(), "libopus" if suffix == ".opus" else "aac")
    tag = b"ID3\x03\0\0" + bytes(n_bytes >> shift & 127 for shift in (21, 14, 7, 0)) + bytes(n_bytes)
    path.write_bytes(tag * 2 + path.read_bytes())
    if tool == "libsndfile" and suffix == ".m4a":
        return refused(path)
    samples, warnings = read(str(path))
    assert sentences_at_s(samples) == pytest.approx([0], abs=0.05)
    assert warnings == []


def test_a_part_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    """The parts before and behind it are decoded."""
    good = write_sound(tmp_path / "good.flac", sample_speech(), "FLAC").read_bytes()
    (tmp_path / "three.flac").write_bytes(good + good[:42] + bytes(5000) + good)
    samples, warnings = read(str(tmp_path / "three.flac"))
    assert len(sentences_at_s(samples)) == 2
    assert any("part 2 of 3 joined files" in line for line in warnings), warnings


@pytest.mark.parametrize("name", ["a.mp3", "a.flac", "a.ogg", "a.m4a", "a.mkv", "a.aiff", "a.caf", "a.au"])
def test_one_file_is_one_part(name: str, tmp_path: Path) -> None:
    """A file by itself is not taken apart."""
    path = MADE[name](tmp_path / name, 16_000)
    content = path.read_bytes()
    assert parts_of(str(path), kind_of(content[:HEAD_BYTES])) == [Part(0, len(content))]


@pytest.mark.parametrize("name", RARER)
def test_rarer_containers_are_taken_apart_where_they_are_joined(name: str, tmp_path: Path) -> None:
    """FFmpeg would read the first only, or the second at a wrong time."""
    one = RARER[name](tmp_path / name, 16_000).read_bytes()
    kind = kind_of(one[:HEAD_BYTES])
    assert parts_of(str(tmp_path / name), kind) == [Part(0, len(one))]
    (tmp_path / name).write_bytes(one + one)
    assert parts_of(str(tmp_path / name), kind) == [Part(0, len(one)), Part(len(one), 2 * len(one))]


def test_the_length_of_flash_is_no_promise(tmp_path: Path) -> None:
    """Nothing is missing, whatever its header makes of the frames of a picture."""
    samples, warnings = read(str(RARER["a.swf"](tmp_path / "a.swf", 22_050)))
    assert len(samples) == pytest.approx(len(sample_speech()) * 16_000 / 22_050, abs=2000)
    assert warnings == []


def test_a_cluster_that_comes_twice_is_heard_once(tool: str) -> None:
    """A recorder that uploads a piece again does not make anybody say it again; that is noted by PyAV."""
    if tool == "libsndfile":
        return refused(DATA / "repeated_cluster.webm")
    samples, warnings = read(str(DATA / "repeated_cluster.webm"))
    assert len(samples) == pytest.approx(SENTENCE_S * 16_000, abs=400)
    assert len(warnings) == 1 and ("repeated: 50 packets" in warnings[0] or "damaged" in warnings[0])


def test_a_clock_that_stands_still_loses_nothing(tool: str) -> None:
    """RealAudio whose packets all say that they begin at 0: all of it is heard, at its speed."""
    if tool == "libsndfile":
        return refused(DATA / "clock_stands_still.rm")
    samples, warnings = read(str(DATA / "clock_stands_still.rm"))
    assert len(samples) == pytest.approx(SENTENCE_S * 16_000, abs=800)
    assert warnings == []
