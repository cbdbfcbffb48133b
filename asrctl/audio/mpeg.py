"""MPEG audio frames (MP3 and its older layers): headers, the Xing/Info frame, and where joined files meet.

Sources: ISO/IEC 11172-3 section 2.4.2.3 and 13818-3 for the header; the Xing header as LAME writes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from mmap import mmap
from typing import NamedTuple

_KBITS = {
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_HZ = (44_100, 48_000, 32_000)
_HEADER_BYTES = 4
_XING_FIELDS = ((1, 4), (2, 4), (4, 100), (8, 4))  # flag and length: frames, bytes, contents, quality
_LAME_DELAYS_AT = 21  # behind the fields: two numbers of 12 bits
_RESYNC_BYTES = 1 << 16  # how far to look for the next frame behind something that is none

Buffer = bytes | mmap


class Frame(NamedTuple):
    """A frame's header."""

    rate_hz: int
    channels: int
    samples: int
    n_bytes: int
    side_bytes: int
    """Where a Xing header would stand, counted from the frame's first byte."""


def parse_frame(data: Buffer, at: int) -> Frame | None:
    """The header of a frame of known length at this place, None if there is none."""
    head = data[at : at + _HEADER_BYTES]
    if len(head) < _HEADER_BYTES or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version_bits, layer_bits = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate_bits, rate_bits, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version_bits == 1 or not layer_bits or bitrate_bits in (0, 15) or rate_bits == 3:
        return None
    layer, version = 4 - layer_bits, 1 if version_bits == 3 else 2
    rate_hz = _RATES_HZ[rate_bits] >> {3: 0, 2: 1, 0: 2}[version_bits]
    channels = 1 if head[3] >> 6 == 3 else 2
    bits_s = 1000 * _KBITS[version, layer][bitrate_bits]
    if layer == 1:
        return Frame(rate_hz, channels, 384, (12 * bits_s // rate_hz + padding) * 4, 0)
    samples = 576 if layer == 3 and version == 2 else 1152
    side_bytes = {(1, 2): 36, (1, 1): 21, (2, 2): 21, (2, 1): 13}[version, channels] if layer == 3 else 0
    return Frame(rate_hz, channels, samples, samples // 8 * bits_s // rate_hz + padding, side_bytes)


def id3_bytes(data: Buffer, at: int = 0) -> int:
    """Length of the ID3v2 tag that begins at this place, 0 if none does."""
    head = data[at : at + 10]
    if len(head) < 10 or head[:3] != b"ID3" or head[3] == 0xFF or any(byte & 0x80 for byte in head[6:]):
        return 0
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return 10 + size + (10 if head[5] & 0x10 else 0)


def tags_end(data: Buffer, at: int = 0) -> int:
    """Where the ID3v2 tags end that begin at this place, one behind the other."""
    while skipped := id3_bytes(data, at):
        at += skipped
    return at


def xing_s(data: Buffer, at: int) -> float | None:
    """Length in seconds by the Xing or Info header in the frame at this place, None if it has none.

    Less what LAME's extension says was added before and after the sound, which players leave out.
    """
    frame = parse_frame(data, at)
    if frame is None or not (xing := _xing(data, at, frame)):
        return None
    start = at + frame.side_bytes
    n_frames = int.from_bytes(xing[8:12], "big")
    fields_bytes = sum(n_bytes for bit, n_bytes in _XING_FIELDS if xing[7] & bit)
    lame = start + 8 + fields_bytes + _LAME_DELAYS_AT
    delays = data[lame : lame + 3]
    added = (delays[0] << 4 | delays[1] >> 4) + ((delays[1] & 15) << 8 | delays[2]) if len(delays) == 3 else 0
    return max(0, n_frames * frame.samples - added) / frame.rate_hz


def xing_bytes(data: Buffer, at: int) -> int | None:
    """Length in bytes by the same header, counted from its frame's first; None if it states none."""
    frame = parse_frame(data, at)
    xing = b"" if frame is None else _xing(data, at, frame)
    return int.from_bytes(xing[12:16], "big") if len(xing) == 16 and xing[7] & 2 else None


def _xing(data: Buffer, at: int, frame: Frame) -> bytes:
    """The first 16 bytes of a Xing or Info header with the number of frames; nothing if there is none."""
    start = at + frame.side_bytes
    xing = data[start : start + 16] if frame.side_bytes else b""
    is_header = xing[:4] in (b"Xing", b"Info") and len(xing) >= 12 and xing[7] & 1
    return xing if is_header else b""


def first_frame(data: Buffer, start: int = 0) -> int | None:
    """Where the first frame that is followed by another begins, behind tags and rubbish."""
    at = tags_end(data, start)
    for candidate in range(at, min(at + _RESYNC_BYTES, len(data))):
        if data[candidate] == 0xFF and (frame := parse_frame(data, candidate)):
            follower = candidate + frame.n_bytes
            if follower >= len(data) or parse_frame(data, follower):
                return candidate
    return None


def begins_mpeg(data: Buffer) -> bool:
    """True if two frames stand at the very beginning, or behind the tag there."""
    at = id3_bytes(data)
    frame = parse_frame(data, at)
    return frame is not None and parse_frame(data, at + frame.n_bytes) is not None


def joined_starts(data: Buffer) -> Iterator[int]:
    """Where a further file begins behind the first: at its tag, or at its Xing header."""
    begin = first_frame(data)
    if begin is None:
        return
    tags = [at for at in _found(data, b"ID3") if at > begin and is_tag(data, at)]
    behind_tags = {at + id3_bytes(data, at) for at in tags}
    xings = [at for at in _xing_frames(data) if at > begin and at not in behind_tags]
    yield from sorted({*tags, *xings})


def is_tag(data: Buffer, at: int) -> bool:
    """True if a tag stands at this place, and a frame behind it."""
    behind = at + id3_bytes(data, at)
    return behind > at and parse_frame(data, behind) is not None


def _xing_frames(data: Buffer) -> Iterator[int]:
    for place in (at for name in (b"Xing", b"Info") for at in _found(data, name)):
        for side_bytes in (36, 21, 13):
            at = place - side_bytes
            frame = parse_frame(data, at) if at >= 0 else None
            if frame and frame.side_bytes == side_bytes and xing_s(data, at) is not None:
                yield at
                break


def format_changes(data: Buffer, start: int, end: int) -> Iterator[int]:
    """Where rate or channels of the frames change; walks through every header, about 0.3 s for an hour."""
    at = first_frame(data, start)
    last: tuple[int, int] | None = None
    while at is not None and at < end:
        frame = parse_frame(data, at)
        if frame is None:
            at = first_frame(data, at)
            continue
        found = (frame.rate_hz, frame.channels)
        if last is not None and found != last:
            if not _goes_on(data, at, found):
                at = first_frame(data, at + 1)  # damage that looks like a frame
                continue
            yield at
        last = found
        at += frame.n_bytes


def _goes_on(data: Buffer, at: int, wanted: tuple[int, int]) -> bool:
    """True if three frames of this rate and so many channels stand here, or as many as there is room for."""
    for _ in range(3):
        frame = parse_frame(data, at)
        if frame is None:
            return at >= len(data)
        if (frame.rate_hz, frame.channels) != wanted:
            return False
        at += frame.n_bytes
    return True


def _found(data: Buffer, what: bytes) -> Iterator[int]:
    at = data.find(what)
    while at >= 0:
        yield at
        at = data.find(what, at + 1)
