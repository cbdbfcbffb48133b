"""Whether a file ends before its own sizes say, where its format states no length in seconds to compare with.

A container of several tracks may state one length for all, and a recording written as it came states none;
but the sizes of its chunks say how many bytes there have to be. What stands behind the media, such as an
index, is not counted: without it nothing is lost that is heard.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterator
from pathlib import Path

from asrctl.audio.mpeg import first_frame, xing_bytes
from asrctl.audio.parts import Part
from asrctl.audio.sniff import boxes

OGG_TAIL_BYTES = 1 << 17  # a page is at most 65 kB


def how_truncated(path: Path, kind: str) -> str | None:
    """What is missing at the end of a file, in a line; None if nothing is, or if its format does not tell.

    Args:
        path: A regular file that is not empty.
        kind: As `sniff.kind_of` says.
    """
    if kind == "ogg":
        return None if _has_ogg_end(path) else "truncated: the Ogg stream has no end mark"
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        n_bytes = len(data)
        stated = max(_ends(data, kind), default=0)
    if stated <= n_bytes:
        return None
    return f"truncated: the header promised {stated} bytes, got {n_bytes}"


def is_whole(path: str, part: Part) -> bool:
    """True if a part of MPEG audio has all bytes that its Xing header states."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = first_frame(data, part.start)
        stated = None if at is None else xing_bytes(data, at)
        return at is not None and stated is not None and at + stated <= part.end


def _has_ogg_end(path: Path) -> bool:
    """True if the last page is whole and carries the end-of-stream flag (RFC 3533, section 6)."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - OGG_TAIL_BYTES))
        tail = file.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < 27 or len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]]):
        return False
    return bool(page[5] & 4)


def _ends(data: mmap.mmap, kind: str) -> Iterator[int]:
    """Where the chunks that hold media end by their headers, in order."""
    if kind == "mp4":
        # media, and what describes it in a recording that is written in fragments
        return (end for _, name, end in boxes(data) if name in (b"mdat", b"moof"))
    if kind == "matroska":
        return _matroska(data)
    if kind == "caf":
        return _caf(data)
    return next((ends(data) for magic, ends in _MAGIC.items() if magic.match(data)), iter(()))


def _matroska(data: mmap.mmap) -> Iterator[int]:
    """Clusters; of those without a size, as live recordings have, the blocks; the segment if it ends so."""
    at, segment_end, last = 0, 0, b""
    for _ in range(_MAX_CHUNKS):
        name, size, at = _element(data, at)
        last = name if name != _VOID else last
        if name not in _ELEMENTS or (size is None and name not in (_SEGMENT, _CLUSTER)):
            break
        if name == _SEGMENT:
            segment_end = at + (size or 0)
        elif size is not None:
            at += size
            if name in _MEDIA:
                yield at
        if at >= len(data):
            break
    if last in (_SEGMENT, *_MEDIA):
        yield segment_end


def _element(data: mmap.mmap, at: int) -> tuple[bytes, int | None, int]:
    """Name and size of an element of Matroska, and where its content begins; no size if it is not known."""
    name_bytes = 9 - data[at].bit_length()
    name, at = data[at : at + name_bytes], at + name_bytes
    width = 9 - data[at].bit_length() if at < len(data) else 0
    unknown = (1 << 7 * width) - 1
    size = int.from_bytes(data[at : at + width], "big") & unknown
    return name, None if size == unknown else size, at + width


_SEGMENT, _CLUSTER, _VOID = b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75", b"\xec"
_MEDIA = (_CLUSTER, b"\xa0", b"\xa3")  # and BlockGroup, SimpleBlock
_ELEMENTS = {
    *(b"\x1aE\xdf\xa3", _SEGMENT, _VOID, b"\xbf"),  # header, and what may stand anywhere
    *(b"\x11\x4d\x9b\x74", b"\x15\x49\xa9\x66", b"\x16\x54\xae\x6b", b"\x1c\x53\xbb\x6b"),  # of a segment
    *(b"\x19\x41\xa4\x69", b"\x10\x43\xa7\x70", b"\x12\x54\xc3\x67"),
    *(*_MEDIA, b"\xe7", b"\x58\x54", b"\xa7", b"\xab", b"\xaf"),  # of a cluster
}


def _caf(data: mmap.mmap) -> Iterator[int]:
    at = 8
    for _ in range(_MAX_CHUNKS):
        head = data[at : at + 12]
        size = int.from_bytes(head[4:], "big", signed=True)
        if len(head) < 12 or size < 0:  # -1: up to the end of the file
            return
        at += 12 + size
        if head[:4] == b"data":
            yield at


def _wave64(data: mmap.mmap) -> Iterator[int]:
    """Chunks with names of 16 bytes, and sizes of 8 that count both and are padded to 8."""
    at = 40
    for _ in range(_MAX_CHUNKS):
        head = data[at : at + 24]
        size = int.from_bytes(head[16:], "little")
        if not 24 <= size < 1 << 62:
            return
        if head[:4] == b"data":
            yield at + size
        at += size + -size % 8


def _avi(data: mmap.mmap) -> Iterator[int]:
    """The lists of media, one in each RIFF chunk."""
    at = 0
    for _ in range(_MAX_CHUNKS):
        head = data[at : at + 12]
        size = 4 if head[:4] == b"RIFF" else int.from_bytes(head[4:8], "little")
        if len(head) < 12 or size >= 0x7FFFEF00:  # not known when the header was written
            return
        at += 8 + size
        if head[:4] == b"LIST" and head[8:] == b"movi":
            yield at
        at += size % 2


def _voc(data: mmap.mmap) -> Iterator[int]:
    """Blocks of a type and a size of three bytes; type 0 is the end."""
    at = int.from_bytes(data[20:22], "little")
    for _ in range(_MAX_CHUNKS):
        head = data[at : at + 4]
        if len(head) < 4 or not head[0]:
            return
        at += 4 + int.from_bytes(head[1:], "little")
        yield at


_MAX_CHUNKS = 1 << 20
_MAGIC = {
    re.compile(rb"riff"): _wave64,
    re.compile(rb"RIFF.{4}AVI", re.DOTALL): _avi,
    re.compile(rb"Creative Voice File"): _voc,
}
