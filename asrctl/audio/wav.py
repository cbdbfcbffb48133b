"""WAV with PCM or float samples, read front to back: works on a pipe, and knows what the header promised.

libsndfile reads WAV too, but not from a pipe that Python holds, and it quietly replaces a header's promise by
what it finds; so truncation would go unseen. Everything unusual (A-law, ADPCM, big endian) is left to it.

Sizes lie: recorders die before they write them, or write them now and then; files are joined by `cat`. So
what follows the samples is looked at, as what it is: another WAV, another chunk of data or of something else,
or samples that go on. Other readers stop where the first size says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from struct import unpack, unpack_from
from typing import BinaryIO, NamedTuple

from asrctl.audio.convert import check_header
from asrctl.audio.mpeg import begins_mpeg
from asrctl.audio.pcm import SAMPLE_BYTES, Block, PcmEncoding, PcmFramer, block_frames

MAX_HEADER_BYTES = 1 << 20  # cover art and cue lists come before the data in some files

_MAGIC = (b"RIFF", b"RF64", b"BW64")
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
_UNKNOWN_FROM = 0xFFFFF000  # sizes that mean: not known when the header was written
_MAX_CHUNK_BYTES = 1 << 28  # of something that is not audio
_NAME_BYTES = frozenset(b" -._0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICS")  # of MP3, which some programs put behind any file


@dataclass(frozen=True)
class WavHeader:
    """What a WAV header says; data_bytes is None where the writer did not know how long it would get."""

    rate_hz: int
    channels: int
    encoding: PcmEncoding
    data_bytes: int | None
    riff_end: int | None = field(default=None, compare=False)
    """Where the whole file ends, as a position in the stream."""

    @property
    def frame_bytes(self) -> int:
        return self.channels * SAMPLE_BYTES[self.encoding]

    def seconds(self, n_bytes: int) -> float:
        """How long so many bytes of samples last."""
        return n_bytes / self.frame_bytes / self.rate_hz


class _Format(NamedTuple):
    channels: int
    rate_hz: int
    encoding: PcmEncoding


class HeaderReader:
    """Reads from a stream front to back, with a way to put back what was read too far.

    Attributes:
        seen: All that `take` gave, so that another reader can start from the beginning; None once it is not
            kept any more.
        position: Bytes read so far, less those that were put back.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        # read1 does not wait on a pipe until the block is full
        self._read_some = getattr(stream, "read1", stream.read)
        self._held = b""
        self.seen: bytes | None = b""
        self.position = 0

    def take(self, n_bytes: int) -> bytes:
        """Exactly n bytes, or fewer at the end of the stream."""
        taken = bytearray(self._from_held(n_bytes))
        while len(taken) < n_bytes and (piece := self._stream.read(n_bytes - len(taken))):
            taken += piece
        self.position += len(taken)
        if self.seen is not None:
            self.seen += taken
        return bytes(taken)

    def some(self, n_bytes: int) -> bytes:
        """What is there already, at least a byte and at most n; nothing at the end of the stream."""
        data: bytes = self._from_held(n_bytes) or self._read_some(n_bytes)
        self.position += len(data)
        return data

    def put_back(self, data: bytes) -> None:
        """Lets the next read begin with these bytes, which were the last read."""
        self._held = data + self._held
        self.position -= len(data)
        if self.seen is not None:
            self.seen = self.seen.removesuffix(data)

    def skip(self, n_bytes: int) -> None:
        """Leaves bytes out, without holding them."""
        while n_bytes > 0 and (piece := self.some(min(n_bytes, MAX_HEADER_BYTES))):
            n_bytes -= len(piece)

    def _from_held(self, n_bytes: int) -> bytes:
        data, self._held = self._held[:n_bytes], self._held[n_bytes:]
        return data


def read_wav_header(reader: HeaderReader) -> WavHeader | None:
    """Reads up to the first byte of samples; None if this is not a WAV that can be read front to back."""
    start = reader.position
    riff = reader.take(12)
    if len(riff) < 12 or riff[:4] not in _MAGIC or riff[8:] != b"WAVE":
        return None
    fmt: _Format | None = None
    long_data_bytes: int | None = None
    while len(chunk := reader.take(8)) == 8:
        kind, size = unpack("<4sI", chunk)
        header_bytes = reader.position - start
        if kind == b"data":
            riff_size = unpack_from("<I", riff, 4)[0]
            data_bytes = _data_bytes(size, riff_size, long_data_bytes, header_bytes)
            riff_end = None if riff_size >= _UNKNOWN_FROM else start + 8 + riff_size
            return fmt and WavHeader(fmt.rate_hz, fmt.channels, fmt.encoding, data_bytes, riff_end)
        if header_bytes + size > MAX_HEADER_BYTES:
            return None
        body = reader.take(size)
        _skip_pad(reader, size)
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
    if data_size >= _UNKNOWN_FROM or 0x7FFFEF00 <= data_size <= 0x80000000:
        return None
    if data_size == 0 and (riff_size + 8 <= header_bytes or riff_size == 0xFFFFFFFF):
        return None
    return data_size


def samples(reader: HeaderReader, header: WavHeader) -> Iterator[Block]:
    """The samples that the header states, as they arrive, at most half a second at a time; where it states no
    length, those up to the end of the stream, or to the header of another WAV.
    """
    yield from _framed(reader, header, PcmFramer(header.channels, header.encoding))


def _framed(reader: HeaderReader, header: WavHeader, framer: PcmFramer) -> Iterator[Block]:
    block_bytes = block_frames(header.rate_hz, header.channels) * header.frame_bytes
    left_bytes, another = header.data_bytes, False
    while (left_bytes is None or left_bytes > 0) and not another:
        data = reader.some(block_bytes if left_bytes is None else min(block_bytes, left_bytes))
        if not data:
            break
        if left_bytes is None:
            data, another = _up_to_header(reader, data)
        else:
            left_bytes -= len(data)
        if len(frames := framer.feed(data)):
            yield Block(frames, header.rate_hz)


def _up_to_header(reader: HeaderReader, data: bytes) -> tuple[bytes, bool]:
    """The samples before another WAV's header, which is put back, and whether there is one."""
    at = data.find(b"R")
    while at >= 0:
        if len(data) - at < 12 and b"RIFF".startswith(data[at : at + 4]):
            data += reader.take(12 - (len(data) - at))  # it may be cut
        if data[at : at + 4] == b"RIFF" and data[at + 8 : at + 12] == b"WAVE":
            reader.put_back(data[at:])
            return data[:at], True
        at = data.find(b"R", at + 1)
    return data, False


class WavDecoder:
    """The samples after a WAV header, and of all that follows them; or raw PCM, the same without one.

    See `Decoder` for the attributes.
    """

    tolerance, is_whole = 0.0, False
    n_tracks = track = 1

    def __init__(self, reader: HeaderReader, header: WavHeader, file_bytes: int | None = None) -> None:
        """Takes over a stream whose header was read.

        Args:
            reader: Stands at the first byte of samples.
            header: Their format.
            file_bytes: Length of the whole, if it is a file.

        Raises:
            AudioError: a rate or a number of channels that no speech recording has.
        """
        check_header(header.rate_hz, header.channels, header.encoding)
        reader.seen = None
        self._reader = reader
        self.header = header
        self.notes: list[str] = []
        self.promised_s: float | None = 0.0
        known_bytes = header.data_bytes if file_bytes is None else file_bytes - reader.position
        self.expected_s = None if known_bytes is None else header.seconds(known_bytes)

    def blocks(self) -> Iterator[Block]:
        """As Decoder.blocks."""
        header: WavHeader | None = self.header
        framer: PcmFramer | None = None
        while header is not None:
            framer = framer or PcmFramer(header.channels, header.encoding)
            yield from self._counted(header, framer)
            last, (header, goes_on) = header, self._more(header)
            if header is None or not goes_on:
                if left_bytes := framer.pending_bytes:
                    self.notes.append(f"ends in the middle of a frame: {left_bytes} bytes left over")
                framer, header = None, header or self._another(last)

    def _counted(self, header: WavHeader, framer: PcmFramer) -> Iterator[Block]:
        check_header(header.rate_hz, header.channels, header.encoding)
        start = self._reader.position
        yield from _framed(self._reader, header, framer)
        heard_bytes = self._reader.position - start
        stated_bytes = heard_bytes if header.data_bytes is None else header.data_bytes
        self.promised_s = (self.promised_s or 0.0) + header.seconds(stated_bytes)

    def _more(self, header: WavHeader) -> tuple[WavHeader | None, bool]:
        """Further samples of the file, if any, and whether a cut frame goes on there, since sizes lie."""
        reader = self._reader
        if header.data_bytes is None:
            return None, False
        self._skip_padding(header.data_bytes)
        while len(head := reader.take(12)) >= 8:
            kind, size = unpack_from("<4sI", head)
            reader.put_back(head[8:])
            if head[:4] in _MAGIC and head[8:] == b"WAVE":
                reader.put_back(head[:8])
                return None, False
            if kind == b"data":
                return replace(header, data_bytes=None if size >= _UNKNOWN_FROM else size), False
            if not _is_chunk(kind, size, self._left_bytes(header)):
                reader.put_back(head[:8])
                return self._unannounced(header), True
            reader.skip(size - len(body := reader.take(min(size, 40))))
            _skip_pad(reader, size)
            if kind == b"fmt ":
                if (fmt := _parse_format(body)) is None:
                    break  # `_another` says what is not read
                header = replace(header, **fmt._asdict())
        return None, False

    def _skip_padding(self, data_bytes: int) -> None:
        """A chunk of odd length is followed by a zero, but not by every writer, nor if its length lies."""
        if data_bytes % 2 == 0:
            return
        head = self._reader.take(13)
        padded = head[:1] == b"\0" and (len(head) < 9 or _is_name(head[1:5]))
        self._reader.put_back(head[1:] if padded else head)

    def _left_bytes(self, header: WavHeader) -> int:
        """Bytes up to the stated end of the file; 0 if that was passed."""
        return max(0, (header.riff_end or 0) - self._reader.position)

    def _unannounced(self, header: WavHeader) -> WavHeader | None:
        """Bytes that are no chunk, behind the samples announced: samples too, unless they are few."""
        if left_bytes := self._left_bytes(header):
            return replace(header, data_bytes=left_bytes)
        ahead = self._reader.take(min(header.rate_hz * header.frame_bytes, MAX_HEADER_BYTES))
        self._reader.put_back(ahead)
        are_few = header.seconds(len(ahead)) < 1 and len(ahead) < MAX_HEADER_BYTES
        if are_few or ahead.startswith(_TAGS) or begins_mpeg(ahead):
            return None
        self.notes.append(f"its header states {self.promised_s:.1f} s; what follows was read as audio too")
        return replace(header, data_bytes=None)

    def _another(self, last: WavHeader) -> WavHeader | None:
        """The header of a WAV that was joined to this one."""
        ahead = self._reader.take(1 << 16)  # a pipe may take long to bring more
        self._reader.put_back(ahead)
        header = read_wav_header(self._reader)
        if header is None:
            start, is_mpeg = self._reader.position, begins_mpeg(ahead)
            self._reader.skip(1 << 62)
            unread_bytes = self._reader.position - start
            if is_mpeg or last.seconds(unread_bytes) >= 1:  # less may be tags
                self.notes.append(f"not all read: {unread_bytes} bytes follow the end that the header states")
        return header


def _skip_pad(reader: HeaderReader, chunk_bytes: int) -> None:
    """Skips the byte behind a chunk of odd length, which some writers leave out: not where a name begins."""
    ahead = reader.take(4 * (chunk_bytes % 2))
    reader.put_back(ahead if _is_name(ahead) else ahead[1:])


def _is_chunk(kind: bytes, size: int, left_bytes: int) -> bool:
    """True if these can be a chunk's name and size; samples hardly ever look so."""
    return _is_name(kind) and size <= (left_bytes or _MAX_CHUNK_BYTES)


def _is_name(kind: bytes) -> bool:
    return all(byte in _NAME_BYTES for byte in kind)


def open_wav_file(file: BinaryIO) -> WavDecoder | None:
    """A decoder for a regular file, whose size shows where the header cannot be right.

    A WAV counts its bytes in 32 bits; past 4 GiB many recorders wrap around, which loses hours if believed.
    """
    reader = HeaderReader(file)
    header = read_wav_header(reader)
    if header is None:
        return None
    file_bytes = os.fstat(file.fileno()).st_size
    if header.data_bytes is not None:
        behind_bytes = file_bytes - reader.position - header.data_bytes
        wrapped_bytes = max(0, behind_bytes) >> 32 << 32
        header = replace(header, data_bytes=header.data_bytes + wrapped_bytes)
    return WavDecoder(reader, header, file_bytes)
