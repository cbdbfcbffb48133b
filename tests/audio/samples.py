"""Real audio files made from a known signal, and `BAD_INPUTS`: all the ways an input can be wrong."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

RATE_HZ = 16_000
PCM, FLOAT = 1, 3
"""Format tags of WAV."""

Samples = NDArray[np.float32]


def chirp(seconds: float = 2.0, rate_hz: int = RATE_HZ, amplitude: float = 0.5) -> Samples:
    """A tone that glides from 200 Hz to 2 kHz, so that any shift in time shows."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    phase = 2 * np.pi * (200 * time_s + 900 / seconds * time_s**2)
    return (amplitude * np.sin(phase)).astype(np.float32)


def tone(hz: float, seconds: float, rate_hz: int, amplitude: float = 0.5) -> Samples:
    """A sine."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return (amplitude * np.sin(2 * np.pi * hz * time_s)).astype(np.float32)


def s16_bytes(samples: Samples) -> bytes:
    """Samples in [-1, 1] as 16-bit little-endian PCM."""
    return np.round(samples * 32767).astype("<i2").tobytes()


def wav_bytes(
    data: bytes,
    *,
    rate_hz: int = RATE_HZ,
    channels: int = 1,
    bits: int = 16,
    tag: int = PCM,
    block_bytes: int | None = None,
    data_size: int | None = None,
    riff_size: int | None = None,
) -> bytes:
    """A WAV by hand, so that each field of its header can lie."""
    block_bytes = channels * bits // 8 if block_bytes is None else block_bytes
    data_size = len(data) if data_size is None else data_size
    riff_size = min(36 + data_size, 0xFFFFFFFF) if riff_size is None else riff_size
    rate_bytes = min(rate_hz * block_bytes, 0xFFFFFFFF)
    fmt = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_bytes, block_bytes & 0xFFFF, bits)
    riff = b"RIFF" + struct.pack("<I", riff_size) + b"WAVE"
    return riff + b"fmt " + struct.pack("<I", 16) + fmt + b"data" + struct.pack("<I", data_size) + data


def rf64_bytes(data: bytes, long_data_size: int) -> bytes:
    """The 64-bit WAV of EBU Tech 3306; programs that write to a pipe leave the long size 0."""
    ds64 = struct.pack("<QQQI", 72 + long_data_size, long_data_size, long_data_size // 2, 0)
    fmt = struct.pack("<HHIIHH", PCM, 1, RATE_HZ, 2 * RATE_HZ, 2, 16)
    head = b"RF64\xff\xff\xff\xffWAVEds64" + struct.pack("<I", len(ds64)) + ds64
    return head + b"fmt " + struct.pack("<I", 16) + fmt + b"data\xff\xff\xff\xff" + data


def write_sound(
    path: Path, samples: Samples, container: str, subtype: str | None = None, rate_hz: int = RATE_HZ
) -> Path:
    """Through libsndfile, in small pieces: its Vorbis encoder overflows the stack on long ones."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(path, "w", rate_hz, channels, subtype, format=container) as file:
        for start in range(0, len(samples), 4096):
            file.write(samples[start : start + 4096])
    return path


def write_media(
    path: Path,
    samples: Samples | None,
    codec: str = "aac",
    rate_hz: int = RATE_HZ,
    *,
    picture_s: float = 0.0,
    audio_from_s: float = 0.0,
    skipped: range = range(0),
    options: Mapping[str, str] | None = None,
) -> Path:
    """Through PyAV; the name's end chooses the container.

    Args:
        samples: None for a video without sound.
        picture_s: Length of a video track, 0 for none.
        audio_from_s: Where in the file the sound begins.
        skipped: Numbers of audio frames of 1024 samples that are left out, as a lossy recording does.
        options: Of FFmpeg's muxer.
    """
    if options is None:
        options = {"movflags": "+faststart"} if path.suffix in {".m4a", ".mp4"} else {}
    with av.open(str(path), "w", options=dict(options)) as container:
        picture = container.add_stream("mpeg4", rate=10) if picture_s else None
        sound = container.add_stream(codec, rate=rate_hz, layout="mono") if samples is not None else None
        if picture:
            _encode_picture(container, picture, picture_s)
        if sound and samples is not None:
            _encode_sound(container, sound, samples, audio_from_s, skipped)
    return path


def _encode_picture(container: Any, stream: Any, seconds: float) -> None:
    stream.width = stream.height = 64
    for number in range(round(seconds * 10)):
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), number % 256, np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _encode_sound(container: Any, stream: Any, samples: Samples, from_s: float, skipped: range) -> None:
    rate_hz = stream.rate
    kind = next(each.name for each in stream.codec.audio_formats if each.name[:2] != "u8")
    for number, start in enumerate(range(0, len(samples), 1024)):
        if number in skipped:
            continue
        piece = samples[np.newaxis, start : start + 1024]
        data = np.round(piece * 32767).astype(np.int16) if kind in ("s16", "s16p") else piece
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(data), format=kind, layout="mono")
        frame.sample_rate = rate_hz
        frame.pts = round(from_s * rate_hz) + start
        frame.time_base = Fraction(1, rate_hz)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


@dataclass(frozen=True)
class BadInput:
    """One row of BAD_INPUTS.

    Attributes:
        build: Makes the input inside a directory and gives the argument that names it.
        kind: "error": nothing comes out and AudioError is raised (exit code 1); "warning": what is there is
            transcribed, and a line says what is wrong; "accepted": it only looks bad, and passes in silence.
        message: A part of that line; "" if accepted.
        raw_rate_hz: If given, the input is headerless PCM of this rate.
        waits: Only a timeout ends it; set `asrctl.audio.sources.FIFO_WAIT_S` low.
        in_process_only: No operating system lets this be an argument of a new process.
    """

    build: Callable[[Path], str]
    kind: Literal["error", "warning", "accepted"]
    message: str
    raw_rate_hz: int | None = None
    waits: bool = False
    in_process_only: bool = field(default=False, kw_only=True)


def _file(content: bytes | Callable[[], bytes], name: str = "input.wav") -> Callable[[Path], str]:
    def build(directory: Path) -> str:
        path = os.path.join(directory, name)
        with open(path, "wb") as file:
            file.write(content() if callable(content) else content)
        return path

    return build


def _name(name: str) -> Callable[[Path], str]:
    return lambda directory: f"{directory}/{name}"


def _made(make: Callable[[Path], object], name: str) -> Callable[[Path], str]:
    def build(directory: Path) -> str:
        make(directory / name)
        return str(directory / name)

    return build


def _cut(make: Callable[[Path], Path], name: str, share: float) -> Callable[[Path], str]:
    def cut(path: Path) -> None:
        make(path)
        os.truncate(path, int(path.stat().st_size * share))

    return _made(cut, name)


def _damaged(make: Callable[[Path], Path], name: str) -> Callable[[Path], str]:
    def damage(path: Path) -> None:
        make(path)
        content = bytearray(path.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 2000] = np.random.default_rng(3).bytes(2000)
        path.write_bytes(content)

    return _made(damage, name)


def _through_a_file(directory: Path) -> str:
    (directory / "file").write_bytes(b"x")
    return f"{directory}/file/input.wav"


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("speech.wav", wav_bytes(s16_bytes(chirp())))


def _png() -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(9 * 8))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _floats(samples: Samples, channels: int = 1, rate_hz: int = RATE_HZ) -> bytes:
    data = samples.astype("<f4").tobytes()
    return wav_bytes(data, bits=32, tag=FLOAT, channels=channels, rate_hz=rate_hz)


def _with(value: float) -> bytes:
    samples = chirp()
    samples[100:110] = value
    return _floats(samples)


def _opposite() -> bytes:
    return _floats(np.stack([chirp(), -chirp()], axis=1), channels=2)


def _sound(container: str, subtype: str | None = None, seconds: float = 10.0) -> Callable[[Path], Path]:
    return lambda path: write_sound(path, chirp(seconds), container, subtype)


def _m4a(path: Path) -> Path:
    return write_media(path, chirp(10))


GOOD = wav_bytes(s16_bytes(chirp()))
PLAYLIST = b"#EXTM3U\n#EXTINF:10,\nhttp://example.com/a.ts\n"
NON_UTF8 = os.fsdecode(b"sp\xffch\xfe.wav")
NOISE = np.random.default_rng(1).bytes(50_000)

BAD_INPUTS: Mapping[str, BadInput] = {
    # what is not a file
    "missing": BadInput(_name("none.wav"), "error", "no such file"),
    "missing, newline in its name": BadInput(_name("no\nne.wav"), "error", "no such file"),
    "missing, not UTF-8": BadInput(_name(NON_UTF8), "error", "no such file"),
    "missing, terminal codes in its name": BadInput(_name("\x1b[31m.wav"), "error", "no such file"),
    "empty name": BadInput(lambda directory: "", "error", "no such file"),
    "name too long": BadInput(_name("x" * 300), "error", "File name too long"),
    "NUL in its name": BadInput(_name("a\0b.wav"), "error", "null byte", in_process_only=True),
    "directory": BadInput(str, "error", "it is a directory"),
    "path through a file": BadInput(_through_a_file, "error", "Not a directory"),
    "symbolic link to itself": BadInput(_made(_loop, "loop"), "error", "symbolic links"),
    "device without end": BadInput(lambda directory: "/dev/zero", "error", "it is a device"),
    "web address": BadInput(lambda directory: "https://example.com/a.mp3", "error", "web addresses"),
    "pipe that nobody writes to": BadInput(
        _made(os.mkfifo, "pipe"), "error", "nothing was written", waits=True
    ),
    # what is not audio
    "empty": BadInput(_file(b""), "error", "it is empty"),
    "empty raw PCM": BadInput(_file(b""), "error", "0 samples", 16_000),
    "text": BadInput(_file(b"Hello, this is text.\n"), "error", "it is text"),
    "text in UTF-8": BadInput(_file("Gr\u00fc\u00dfe \u4f60\u597d".encode() * 2000), "error", "it is text"),
    "html": BadInput(_file(b"<!doctype html><title>404</title>"), "error", "it is text"),
    "json": BadInput(_file(b'{"error": "not found"}'), "error", "it is text"),
    "playlist": BadInput(_file(PLAYLIST, "list.m3u8"), "error", "name the files in it"),
    "cue sheet": BadInput(_file(b'TITLE "a"\n  FILE "a.wav" WAVE\n'), "error", "name the files in it"),
    "concat script": BadInput(_file(b"ffconcat version 1.0\nfile a.wav\n"), "error", "it is text"),
    "image": BadInput(_file(_png, "image.png"), "error", "no audio track"),
    "zip": BadInput(_made(_zip, "speech.zip"), "error", "not audio"),
    "random bytes": BadInput(_file(NOISE), "error", "not audio"),
    "zero bytes": BadInput(_file(bytes(50_000)), "error", "not audio"),
    "video without sound": BadInput(
        _made(lambda path: write_media(path, None, picture_s=1), "mute.mp4"), "error", "no audio track"
    ),
    # headers that lie
    "4 bytes of a header": BadInput(_file(b"RIFF"), "error", "not audio"),
    "half a header": BadInput(_file(GOOD[:30]), "error", "not audio"),
    "header without samples": BadInput(_file(wav_bytes(b"")), "error", "0 samples"),
    "FLAC header only": BadInput(_file(b"fLaC\x00\x00\x00\x22" + bytes(34)), "error", "input.wav"),
    "0 channels": BadInput(_file(wav_bytes(bytes(999), channels=0)), "error", "input.wav"),
    "65535 channels": BadInput(
        _file(wav_bytes(bytes(999), channels=65535, bits=8)), "error", "65535 channels"
    ),
    "0 Hz": BadInput(_file(wav_bytes(bytes(999), rate_hz=0)), "error", "sample rate of 0 Hz"),
    "4 GHz": BadInput(_file(wav_bytes(bytes(999), rate_hz=4_000_000_000)), "error", "outside 1000 to 768000"),
    "0 bits": BadInput(_file(wav_bytes(bytes(999), bits=0)), "error", "input.wav"),
    "block align 0": BadInput(_file(wav_bytes(s16_bytes(chirp()), block_bytes=0)), "accepted", ""),
    "size 0xFFFFFFFF": BadInput(_file(wav_bytes(s16_bytes(chirp()), data_size=0xFFFFFFFF)), "accepted", ""),
    "size 0, writer died": BadInput(_file(wav_bytes(s16_bytes(chirp()), data_size=0)), "accepted", ""),
    "RF64 promising 8 EiB": BadInput(_file(rf64_bytes(s16_bytes(chirp()), 1 << 63)), "warning", "truncated"),
    # damage
    "truncated wav": BadInput(_file(GOOD[:-20_000]), "warning", "the header promised 2.0 s, got 1.4 s"),
    "truncated flac": BadInput(_cut(_sound("FLAC"), "a.flac", 0.6), "warning", "truncated"),
    "truncated mp3": BadInput(_cut(_sound("MP3"), "a.mp3", 0.6), "warning", "truncated"),
    "truncated ogg": BadInput(_cut(_sound("OGG", "VORBIS", 30), "a.ogg", 0.6), "warning", "truncated"),
    "ogg without its last bytes": BadInput(
        _cut(_sound("OGG", "VORBIS", 30), "a.ogg", 0.999), "warning", "truncated"
    ),
    "truncated m4a": BadInput(_cut(_m4a, "a.m4a", 0.6), "warning", "truncated"),
    "m4a cut in its index": BadInput(_cut(_m4a, "a.m4a", 0.01), "error", "damaged, or not audio"),
    "damaged flac": BadInput(_damaged(_sound("FLAC"), "a.flac"), "warning", "missing in between"),
    "damaged mp3": BadInput(_damaged(_sound("MP3"), "a.mp3"), "warning", "damaged"),
    "two wavs joined": BadInput(_file(GOOD + GOOD), "accepted", ""),
    "odd byte at the end of raw PCM": BadInput(
        _file(s16_bytes(chirp()) + b"x", "a.raw"), "warning", "1 bytes left over", 16_000
    ),
    # samples that are wrong
    "NaN": BadInput(_file(partial(_with, np.nan)), "warning", "replaced 10 NaN"),
    "infinite": BadInput(_file(partial(_with, np.inf)), "warning", "replaced 10 NaN or infinite"),
    "all NaN": BadInput(_file(_floats(np.full(9999, np.nan, np.float32))), "warning", "replaced 9999"),
    "clipped": BadInput(_file(_floats(np.clip(chirp() * 4, -1, 1))), "warning", "clipped"),
    "floats at integer scale": BadInput(
        _file(_floats(chirp() * 32768)), "warning", "integers stored as floats"
    ),
    "silent": BadInput(_file(wav_bytes(bytes(64_000))), "warning", "silent"),
    "opposite phase": BadInput(_file(_opposite), "warning", "cancel each other"),
    # what only looks bad
    "1 sample": BadInput(_file(wav_bytes(s16_bytes(chirp()[50:51]))), "accepted", ""),
    "10 ms": BadInput(_file(wav_bytes(s16_bytes(chirp()[:160]))), "accepted", ""),
    "8 kHz": BadInput(_file(_floats(chirp(2, 8000), rate_hz=8000)), "accepted", ""),
    "192 kHz": BadInput(_file(_floats(chirp(2, 192_000), rate_hz=192_000)), "accepted", ""),
    "8 channels": BadInput(_file(_floats(np.repeat(chirp(), 8), channels=8)), "accepted", ""),
    "no end to its name": BadInput(_file(GOOD, "speech"), "accepted", ""),
    "wrong end to its name": BadInput(_file(GOOD, "speech.mp3"), "accepted", ""),
    "not UTF-8 in its name": BadInput(_file(GOOD, NON_UTF8), "accepted", ""),
    "newline in its name": BadInput(_file(GOOD, "a\nb.wav"), "accepted", ""),
    "like a protocol of FFmpeg": BadInput(_made(_sound("MP3"), "concat:a|b"), "accepted", ""),
}
