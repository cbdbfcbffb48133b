"""WAV with PCM or float samples, read front to back: works on a pipe, and knows what the header promised.

libsndfile reads WAV too, but not from a pipe that Python holds, and it quietly replaces a header's promise by
what it finds; so truncation would go unseen. Everything unusual (A-law, ADPCM, big endian) is left to it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from struct import unpack, unpack_from
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from asrctl.audio.pcm import SAMPLE_BYTES, PcmEncoding, PcmFramer, block_frames

MAX_HEADER_BYTES = 1 << 20  # cover art and cue lists come before the data in some files

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")  # after the format tag of an extensible header
_ENCODINGS: dict[tuple[int, int], PcmEncoding] = {
    (_PCM, 8): "u8",
    (_PCM, 16): "s16le",
    (_PCM, 24): "s24le",
    (_PCM, 32): "s32le",
    (_FLOAT, 32): "f32le",
    (_FLOAT, 64): "f64le",
}


@dataclass(frozen=True)
class WavHeader:
    """What a WAV header says; data_bytes is None where the writer did not know how long it would get."""

    rate_hz: int
    channels: int
    encoding: PcmEncoding
    data_bytes: int | None

    @property
    def frame_bytes(self) -> int:
        return self.channels * SAMPLE_BYTES[self.encoding]


class _Format(NamedTuple):
    channels: int
    rate_hz: int
    encoding: PcmEncoding


class HeaderReader:
    """Reads from a stream and remembers what it read, so that another reader can start from the beginning."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.seen = b""

    def take(self, n_bytes: int) -> bytes:
        """Exactly n bytes, or fewer at the end of the stream."""
        taken = bytearray()
        while len(taken) < n_bytes and (piece := self._stream.read(n_bytes - len(taken))):
            taken += piece
        self.seen += taken
        return bytes(taken)


def read_wav_header(reader: HeaderReader) -> WavHeader | None:
    """Reads up to the first byte of samples; None if this is not a WAV that can be read front to back."""
    riff = reader.take(12)
    if len(riff) < 12 or riff[:4] not in (b"RIFF", b"RF64") or riff[8:] != b"WAVE":
        return None
    fmt: _Format | None = None
    long_data_bytes: int | None = None
    while len(chunk := reader.take(8)) == 8:
        kind, size = unpack("<4sI", chunk)
        if kind == b"data":
            return fmt and WavHeader(
                fmt.rate_hz,
                fmt.channels,
                fmt.encoding,
                _data_bytes(size, unpack_from("<I", riff, 4)[0], long_data_bytes, len(reader.seen)),
            )
        if len(reader.seen) + size > MAX_HEADER_BYTES:
            return None
        body = reader.take(size + size % 2)
        if kind == b"fmt ":
            fmt = _parse_format(body)
        elif kind == b"ds64" and len(body) >= 16:
            long_data_bytes = unpack_from("<Q", body, 8)[0]
    return None


def _parse_format(body: bytes) -> _Format | None:
    if len(body) < 16:
        return None
    tag, channels, rate_hz, _, block_bytes, bits = unpack_from("<HHIIHH", body)
    if tag == _EXTENSIBLE and len(body) >= 40 and body[26:40] == _GUID_TAIL:
        tag = unpack_from("<H", body, 24)[0]
    encoding = _ENCODINGS.get((tag, bits))
    if encoding is None or channels == 0 or block_bytes != channels * SAMPLE_BYTES[encoding]:
        return None
    return _Format(channels, rate_hz, encoding)


def _data_bytes(data_size: int, riff_size: int, long_data_bytes: int | None, header_bytes: int) -> int | None:
    """The promised length, None for the values that programs write to a pipe and never correct.

    ffmpeg writes 0xFFFFFFFF (as does RF64, with the length elsewhere), GStreamer 0 in both sizes, sox
    0x7FFFF000 and arecord 0x80000000, each less the header in one of the two sizes. Recorders that write
    the sizes last, and died before, leave 0 with a RIFF that ends at the header.
    """
    if data_size == 0xFFFFFFFF and long_data_bytes:
        return long_data_bytes
    if data_size >= 0xFFFFF000 or 0x7FFFEF00 <= data_size <= 0x80000000:
        return None
    if data_size == 0 and (riff_size + 8 <= header_bytes or riff_size == 0xFFFFFFFF):
        return None
    return data_size


class WavDecoder:
    """The samples after a WAV header, or raw PCM, which is the same without one."""

    def __init__(self, stream: BinaryIO, header: WavHeader) -> None:
        self._stream = stream
        self._header = header
        self.rate_hz = header.rate_hz
        self.channels = header.channels
        self.promised_frames = None if header.data_bytes is None else header.data_bytes // header.frame_bytes
        self.promise_tolerance = 0.0
        self.notes: list[str] = []

    @property
    def expected_s(self) -> float | None:
        return None if self.promised_frames is None else self.promised_frames / max(self.rate_hz, 1)

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Frames as they arrive, shape (frames, channels), at most half a second each."""
        framer = PcmFramer(self.channels, self._header.encoding)
        # read1 does not wait on a pipe until the block is full
        read = getattr(self._stream, "read1", self._stream.read)
        block_bytes = block_frames(self.rate_hz, self.channels) * self._header.frame_bytes
        left_bytes = self._header.data_bytes
        while left_bytes is None or left_bytes > 0:
            data = read(block_bytes if left_bytes is None else min(block_bytes, left_bytes))
            if not data:
                break
            if left_bytes is not None:
                left_bytes -= len(data)
            yield framer.feed(data)
        if framer.pending_bytes:
            self.notes.append(f"ends in the middle of a frame: {framer.pending_bytes} bytes left over")


def open_wav_file(file: BinaryIO) -> WavDecoder | None:
    """A decoder for a regular file, whose size shows where the header cannot be right.

    A WAV counts its bytes in 32 bits; past 4 GiB many recorders wrap around, which loses hours if believed.
    """
    reader = HeaderReader(file)
    header = read_wav_header(reader)
    if header is None:
        return None
    if header.data_bytes is None:
        return WavDecoder(file, header)
    data_start = len(reader.seen)
    file_bytes = os.fstat(file.fileno()).st_size
    wrapped_bytes = max(0, file_bytes - data_start - header.data_bytes) >> 32 << 32
    decoder = WavDecoder(file, replace(header, data_bytes=header.data_bytes + wrapped_bytes))
    riff_end = unpack_from("<I", reader.seen, 4)[0] + 8
    unread_bytes = file_bytes - max(riff_end, data_start + header.data_bytes + wrapped_bytes)
    if unread_bytes > header.rate_hz * header.frame_bytes:  # less than a second may be tags
        decoder.notes.append(f"not all read: {unread_bytes} bytes follow the end that the header states")
    return decoder
