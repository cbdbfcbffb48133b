"""Inputs that users of other tools reported, each with its right value."""

from __future__ import annotations

import gzip
import io
import shutil
import struct
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from asrctl.audio.files import open_audio
from asrctl.audio.sample import sample_speech
from asrctl.audio.sniff import refuse_protected
from asrctl.errors import AudioError, UsageError
from tests.audio.heard import SENTENCE_S, read, sentences_at_s
from tests.audio.samples import FLOAT, PCM, Samples, s16_bytes, wav_bytes, write_media, write_sound
from tests.audio.test_isolated import without
from tests.audio.test_joined import DATA, tool

__all__ = ["tool"]  # the fixture

S16 = s16_bytes(sample_speech())
LIST = b"LIST" + struct.pack("<I", 8) + b"INFOabcd"


def chunk(data: bytes, size: int | None = None) -> bytes:
    return b"data" + struct.pack("<I", len(data) if size is None else size) + data


def wav_of(*chunks: bytes) -> bytes:
    """A WAV of 16 kHz mono with these chunks, and the right RIFF size."""
    head = wav_bytes(b"")[12:36]
    body = b"WAVE" + head + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


TWICE, ONCE = (0.0, SENTENCE_S), (0.0,)
HALF = len(S16) // 4 * 2
UNKNOWN = wav_bytes(S16, data_size=0xFFFFFFFF)
LYING_SIZES: dict[str, tuple[bytes, tuple[float, ...], str]] = {
    "two data chunks": (wav_of(chunk(S16), chunk(S16)), TWICE, ""),
    "a chunk between data chunks": (wav_of(chunk(S16), LIST, chunk(S16)), TWICE, ""),
    "data size 0, RIFF right": (wav_of(chunk(S16, 0)), ONCE, ""),
    "data size half, RIFF right": (wav_of(chunk(S16, HALF)), ONCE, ""),
    "data size odd": (wav_of(chunk(S16, HALF + 1)), ONCE, ""),
    "both sizes half": (wav_bytes(S16, data_size=HALF), ONCE, "its header states 1.5 s"),
    "data size half, RIFF 0": (wav_bytes(S16, data_size=HALF, riff_size=0), ONCE, "its header states 1.5 s"),
    "RIFF 0": (wav_bytes(S16, riff_size=0), ONCE, ""),
    "joined": (wav_bytes(S16) * 2, TWICE, ""),
    "joined three times": (wav_bytes(S16) * 3, (*TWICE, 2 * SENTENCE_S), ""),
    "joined, lengths unknown": (UNKNOWN * 2, TWICE, ""),
    "joined, formats differ": (
        wav_bytes(S16) + wav_bytes(s16_bytes(np.repeat(sample_speech(), 6)), rate_hz=48_000, channels=2),
        TWICE,
        "",
    ),
    "joined behind an odd length": (
        wav_bytes(bytes(3), bits=8, tag=PCM) + b"\0" + wav_bytes(S16),
        ONCE,
        "",
    ),
    "a tag behind it": (wav_bytes(S16) + b"TAG" + bytes(125), ONCE, ""),
}


@pytest.mark.parametrize("way", ["file", "pipe"])
@pytest.mark.parametrize("name", LYING_SIZES)
def test_sizes_that_lie_lose_nothing(name: str, way: str, tmp_path: Path) -> None:
    """Whatever the sizes say, all samples are read, from a file and from `cat … | asrctl transcribe -`."""
    content, starts, warning = LYING_SIZES[name]
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with open_audio("-", stdin=io.BytesIO(content)) if way == "pipe" else open_audio(str(path)) as reader:
        samples = np.concatenate(list(reader))
    assert sentences_at_s(samples) == pytest.approx(starts, abs=0.01)
    assert len(reader.warnings) == bool(warning)
    assert warning in "".join(reader.warnings)


@pytest.mark.parametrize("way", ["file", "pipe"])
def test_what_is_not_read_behind_a_wav_is_said(way: str, tmp_path: Path) -> None:
    """A second WAV cut in its header, or a long tag, is no audio that could be read."""
    content = wav_bytes(S16) + b"ID3" + bytes(40_000)
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with open_audio("-", stdin=io.BytesIO(content)) if way == "pipe" else open_audio(str(path)) as reader:
        assert len(sentences_at_s(np.concatenate(list(reader)))) == 1
    assert "not all read" in reader.warnings[0]


@pytest.mark.parametrize("way", ["file", "pipe"])
def test_an_mp3_joined_behind_a_wav_is_read_or_said(way: str, tmp_path: Path) -> None:
    """It is as short as a tag, and holds a sentence: it is not read as samples; on a pipe it is named."""
    path = tmp_path / "a.wav"
    mp3 = write_sound(tmp_path / "b.mp3", sample_speech(), "MP3", "MPEG_LAYER_III").read_bytes()
    for tag in (b"", b"ID3\x03\0\0\0\0\0\x14" + bytes(20)):
        content = wav_bytes(S16) + tag + mp3
        path.write_bytes(content)
        with open_audio("-", stdin=io.BytesIO(content)) if way == "pipe" else open_audio(str(path)) as reader:
            sentences = len(np.concatenate(list(reader))) / len(sample_speech())
        assert sentences == pytest.approx(1 if way == "pipe" else 2, abs=0.05)
        assert [line[:12] for line in reader.warnings] == ["not all read"] * (way == "pipe")


PROMISES = {
    "ima.wav": 2.93,
    "vbr_noxing.mp3": 3.02,
    "vbr_noxing_quiet_start.mp3": 13.03,
}


@pytest.mark.parametrize("name", PROMISES)
def test_an_estimate_is_no_promise(name: str, tool: str) -> None:
    """Lengths that a library guesses, or a byte rate, do not make a whole file "truncated"."""
    samples, warnings = read(str(DATA / name))
    assert len(samples) / 16_000 == pytest.approx(PROMISES[name], abs=0.03)
    assert len(sentences_at_s(samples)) == 1
    assert warnings == []


def test_a_recording_that_starts_late_is_not_truncated(tmp_path: Path) -> None:
    """The first sound at 0.25 s of the container's clock: no false warning, and no time is added."""
    for name in ("late.m4a", "late.mkv", "late.mp4"):
        path = write_media(tmp_path / name, sample_speech(), audio_from_s=0.25)
        samples, warnings = read(str(path))
        assert len(samples) / 16_000 == pytest.approx(SENTENCE_S, abs=0.3)
        assert warnings == []


def test_eight_channels_do_not_crash(tool: str) -> None:
    """7.1 AAC with speech in two of eight channels: read, and about as loud as it was."""
    path = str(DATA / "eight_channels.m4a")
    if tool == "libsndfile":
        with pytest.raises(AudioError, match="install PyAV"):
            read(path)
        return
    samples, warnings = read(path)
    assert sentences_at_s(samples) == pytest.approx([0], abs=0.03)
    assert np.sqrt(np.mean(samples**2)) > 0.5 * np.sqrt(np.mean(sample_speech() ** 2))
    assert warnings == []


@pytest.mark.parametrize("channels", [8, 9, 16, 32])
@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_f32le"])
def test_many_channels_are_read(channels: int, codec: str, tmp_path: Path) -> None:
    """Layouts that have no name, too."""
    pytest.importorskip("av")
    if shutil.which("ffmpeg") is None:
        pytest.skip("the ffmpeg program, which writes the file, is not installed")
    many = np.zeros((len(sample_speech()), channels), np.float32)
    many[:, channels // 2] = sample_speech()
    wav, path = tmp_path / "many.wav", tmp_path / "many.mkv"
    wav.write_bytes(wav_bytes(s16_bytes(many), channels=channels))
    command = ["ffmpeg", "-v", "error", "-i", str(wav), "-c:a", codec, str(path)]
    subprocess.run(command, check=True)
    for each in (wav, path):
        samples, warnings = read(str(each))
        assert sentences_at_s(samples) == pytest.approx([0], abs=0.01)
        assert np.sqrt(np.mean(samples**2)) > 0.8 * np.sqrt(np.mean(sample_speech() ** 2))
        assert warnings == []


def test_what_is_too_quiet_is_not_called_zeros(tmp_path: Path) -> None:
    """Float samples can be below what 16 bits hold."""
    path = write_sound(tmp_path / "a.wav", sample_speech() * np.float32(1e-5), "WAV", "FLOAT")
    assert read(str(path))[1] == ["silent: nothing above -102 dB of full scale; was the microphone muted?"]


def test_opposite_phase_in_a_part_is_mended_and_said(tool: str) -> None:
    """The second sentence is out of phase: it is heard as the first is, and the warning says how long."""
    samples, warnings = read(str(DATA / "inverted_after_3s.flac"))
    assert sentences_at_s(samples) == pytest.approx([0, 3.43], abs=0.03)
    assert len(warnings) == 1 and "opposite phase) for 2.9 s" in warnings[0]


def refused(path: Path) -> None:
    """No format of libsndfile: one line says what would decode it."""
    with pytest.raises(AudioError, match=r"PyAV|ffmpeg"):
        read(str(path))


def test_the_default_track_is_taken(tool: str) -> None:
    """Track 1 is silent, and track 2 is marked as the default."""
    if tool == "libsndfile":
        return refused(DATA / "tracks_default2.mkv")
    samples, warnings = read(str(DATA / "tracks_default2.mkv"))
    assert len(samples) / 16_000 == pytest.approx(11, abs=0.1)
    assert np.abs(samples).max() > 0.1
    assert warnings == []


def test_which_track_was_taken_is_hinted(tool: str) -> None:
    """Where nobody chose; not where there is but one."""
    if tool == "libsndfile":
        return refused(DATA / "tracks_default2.mkv")
    path = str(DATA / "tracks_default2.mkv")
    with open_audio(path) as reader, open_audio(path, track=1) as chosen:
        assert reader.hint == "it has 2 audio tracks: this is track 2, its default; --track N takes another"
        assert chosen.hint == ""
    with open_audio(str(DATA / "eight_channels.m4a")) as only:
        assert only.hint == ""


def test_a_track_can_be_chosen(tool: str) -> None:
    """By its number, from 1; a silent one says that there are others; one that is not there is refused."""
    if tool == "libsndfile":
        return refused(DATA / "silent_then_speech.mkv")
    path = str(DATA / "silent_then_speech.mkv")
    samples, warnings = read(path, track=1)
    assert not samples.any()
    assert warnings == ["silent: nothing but zeros; it has 2 audio tracks: try another"]
    samples, warnings = read(path, track=2)
    assert (len(sentences_at_s(samples)), warnings) == (1, [])
    with pytest.raises(AudioError, match="there is no audio track 3: it has 2"):
        read(path, track=3)


def test_a_file_of_one_track_has_no_second(tmp_path: Path) -> None:
    """Whichever decoder reads it."""
    wav = tmp_path / "a.wav"
    wav.write_bytes(wav_bytes(S16))
    for path in (wav, write_sound(tmp_path / "a.aiff", sample_speech(), "AIFF", "PCM_16")):
        with pytest.raises(AudioError, match="there is no audio track 2"):
            read(str(path), track=2)
        assert len(sentences_at_s(read(str(path), track=1)[0])) == 1
    for options in ({"track": 0}, {"channel": 0}):
        with pytest.raises(UsageError, match="counted from 1"):
            read(str(wav), **options)


def test_a_channel_can_be_chosen(tmp_path: Path) -> None:
    """Speech beside a noisy channel: alone it is heard as it was spoken."""
    noise = np.random.default_rng(5).uniform(-0.5, 0.5, len(sample_speech())).astype(np.float32)
    wav = tmp_path / "a.wav"
    both: Samples = np.stack([noise, sample_speech()], axis=1)
    wav.write_bytes(wav_bytes(s16_bytes(both), channels=2))
    assert sentences_at_s(read(str(wav))[0]) == []
    assert sentences_at_s(read(str(wav), channel=2)[0]) == [0]
    with pytest.raises(AudioError, match="there is no channel 3: it has 2 channels"):
        read(str(wav), channel=3)


def test_a_chosen_channel_that_a_part_lacks_is_said(tmp_path: Path) -> None:
    """Stereo, then mono: the mono part is heard whole."""
    stereo = wav_bytes(s16_bytes(np.repeat(sample_speech(), 2)), channels=2)
    (tmp_path / "a.wav").write_bytes(stereo + wav_bytes(S16))
    samples, warnings = read(str(tmp_path / "a.wav"), channel=2)
    assert sentences_at_s(samples) == pytest.approx(TWICE, abs=0.01)
    assert warnings == ["channel 2: in a part with 1 of them, all were mixed"]


def test_samples_without_a_header_are_told_of_the_option(tool: str, tmp_path: Path) -> None:
    """Where anything looked at it, "not audio" names what raw PCM needs."""
    (tmp_path / "a.pcm").write_bytes(S16)
    wanted = "--raw-rate" if tool != "libsndfile" else "not audio"
    with pytest.raises(AudioError, match=wanted):
        read(str(tmp_path / "a.pcm"))


def test_progress_runs_to_the_end_of_a_recording_that_starts_late(tmp_path: Path) -> None:
    """Matroska's length counts from 0, though the first sound comes at 20 s."""
    pytest.importorskip("av")
    path = write_media(tmp_path / "late.mka", sample_speech(), "flac", audio_from_s=20)
    with open_audio(str(path)) as reader:
        assert reader.duration_s == pytest.approx(SENTENCE_S, abs=0.1)


def encrypt(source: Path, path: Path) -> None:
    """As films are streamed: the index can be read, the sound cannot."""
    key = {"encryption_key": "00" * 16, "encryption_kid": "11" * 16, "encryption_scheme": "cenc-aes-ctr"}
    with av.open(str(source)) as clear, av.open(str(path), "w", options=key) as film:
        stream = film.add_stream_from_template(clear.streams.audio[0])
        for packet in clear.demux():
            if packet.dts is not None:
                packet.stream = stream
                film.mux(packet)


def test_encrypted_sound_is_told_from_a_title(tmp_path: Path) -> None:
    """By its entry in the index, before a decoder makes noise of it; "encanta" in a title is none."""
    clear = write_media(tmp_path / "clear.m4a", sample_speech())
    encrypt(clear, tmp_path / "encrypted.mp4")
    with pytest.raises(AudioError, match="protected by DRM"):
        refuse_protected(str(tmp_path / "encrypted.mp4"))
    titled = tmp_path / "titled.m4a"
    with av.open(str(clear)) as source, av.open(str(titled), "w", format="mp4") as target:
        target.metadata["title"] = "Me encanta"
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    assert b"encanta" in titled.read_bytes()
    refuse_protected(str(titled))


def test_speech_too_quiet_to_be_found_is_said(tmp_path: Path) -> None:
    """Words are lost without a word otherwise; there is no warning where they are still found."""
    for name, level_db in (("heard", -55), ("too quiet", -75)):
        path = tmp_path / f"{name}.wav"
        speech = sample_speech() / np.abs(sample_speech()).max() * 10 ** (level_db / 20)
        path.write_bytes(wav_bytes(speech.astype("<f4").tobytes(), tag=FLOAT, bits=32))
        quiet = f"quiet: nothing above {level_db} dB of full scale; if words are missing, try --no-vad"
        assert read(str(path))[1] == ([quiet] if name == "too quiet" else [])


HELPFUL = {
    "nomoov.mp4": "the recording was not finished: its index is missing (no moov atom)",
    "cluster.webm": "a later piece of a recording (WebM)",
    "segment.m4s": "a later piece of a recording (MP4)",
    "encrypted.mp4": "it is protected by DRM",
    "response.wav": "its audio begins at byte 45: remove what stands before it",
    "song.mid": "MIDI holds notes",
    "pointer.mp3": "a Git LFS pointer",
    "bought.m4p": "it is protected by DRM",
    "talk.wav.gz": "an archive: unpack it first",
    "zeros.wav.gz": "an archive: unpack it first",
}


@pytest.mark.parametrize("name", HELPFUL)
def test_the_message_says_what_helps(name: str, tool: str, tmp_path: Path) -> None:
    """Not what a library could not do, but what the file lacks."""
    path = tmp_path / name
    if name == "nomoov.mp4":
        whole = write_media(tmp_path / "whole.mov", sample_speech()).read_bytes()
        path.write_bytes(whole[: len(whole) * 2 // 3])
    elif name == "cluster.webm":
        whole = (DATA / "repeated_cluster.webm").read_bytes()
        path.write_bytes(whole[whole.find(b"\x1f\x43\xb6\x75") :])
    elif name == "segment.m4s":
        path.write_bytes(struct.pack(">I", 16) + b"moof" + bytes(8) + bytes(2000))
    elif name == "encrypted.mp4":
        encrypt(write_media(tmp_path / "whole.m4a", sample_speech()), path)
    elif name == "response.wav":
        path.write_bytes(b"HTTP/1.1 200 OK\r\nContent-Type: audio/wave\r\n\r\n" + wav_bytes(S16))
    elif name == "bought.m4p":
        whole = write_media(tmp_path / "whole.m4a", sample_speech()).read_bytes()
        path.write_bytes(whole.replace(b"mp4a", b"drms").replace(b"esds", b"sinf"))
    elif name == "zeros.wav.gz":  # in which libsndfile finds frames of MPEG
        path.write_bytes(gzip.compress(bytes(10_000_000), 1))
    elif name == "talk.wav.gz":
        path.write_bytes(gzip.compress(wav_bytes(S16)))
    elif name == "song.mid":
        path.write_bytes(b"MThd" + struct.pack(">IHHH", 6, 0, 1, 96) + b"MTrk" + bytes(8))
    else:
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(AudioError) as caught:
        read(str(path))
    assert HELPFUL[name] in str(caught.value)
    assert str(caught.value).isprintable()


def test_nothing_prints(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Complaints of libmpg123 and others stay in the decoding process."""
    without(monkeypatch, pyav=True, ffmpeg=True)
    damaged = bytearray((DATA / "joined_same.mp3").read_bytes())
    damaged[3000:4000] = np.random.default_rng(3).bytes(1000)
    (tmp_path / "a.mp3").write_bytes(damaged)
    read(str(tmp_path / "a.mp3"))
    assert capfd.readouterr() == ("", "")
