"""Files of another kind that were joined to one: where each begins.

`cat a.wav b.mp3`: no library looks beyond the end of the first. What has a header of its own is found by
that; frames that have none (MP3, AAC) are found where the first file says that it ends, or by a row of them
that reaches the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import chain
from mmap import mmap

from asrctl.audio.mpeg import id3_bytes, is_tag, parse_frame
from asrctl.audio.sniff import kind_of

# Not FLAC within Ogg, nor the private data of a track of Matroska.
_FLAC = rb"(?<!\x7fFLAC\x01.{3})(?<!\x63\xa2.)(?<!\x63\xa2.{2})fLaC[\x00\x80]\x00\x00\x22"
_HEADERS = {
    b"WAVE": (8, rb"(?:RIFF.{4}WAVE(?:fmt |JUNK|bext|LIST)|(?:RF64|BW64).{4}WAVEds64)"),
    b"AIF": (8, rb"FORM.{4}AIF[FC]"),
    b"fLaC": (0, _FLAC),
    b"OggS\x00\x02": (0, rb"OggS\x00\x02\x00{8}"),
    b"\x1aE\xdf\xa3": (0, rb"\x1aE\xdf\xa3.{1,60}?(?:webm|matroska)"),
    b"ftyp": (4, rb"\x00\x00\x00[\x10-\x80]ftyp"),
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": (0, rb".{8}\xa6\xd9\x00\xaa\x00\x62\xce\x6c"),
    b"#!AMR": (0, rb"#!AMR(?:-WB)?\n"),
    b".snd\x00\x00": (0, rb"\.snd\x00\x00.{6}\x00{3}[\x01-\x1b]"),
    b"caff\x00\x01": (0, rb"caff\x00\x01\x00\x00desc"),
    b"ID3": (0, rb"ID3[\x02-\x04]\x00"),
}
"""What is looked for, where in a header it stands, and the header."""
_HEADER = {what: (at, re.compile(pattern, re.DOTALL)) for what, (at, pattern) in _HEADERS.items()}
_BLOCK_BYTES = 1 << 20
_LONGEST = 16
_SYNC = re.compile(rb"\xff[\xe2-\xff]")
_ROW = 12
"""So many frames of MPEG audio behind each other are no accident."""
_TAIL_BYTES = 1 << 15
_MAX_PAD = 1 << 12
_SAMPLES = {"wav", "aiff", "au", "caf"}


def foreign_starts(data: mmap, kind: str, end_of: Callable[[mmap], int] | None) -> Iterator[int]:
    """Where files of another kind begin, and all that follow them, of whatever kind.

    Args:
        data: A whole file.
        kind: What it begins with, as `sniff.kind_of` says.
        end_of: Where the first file ends, by its own sizes, where they tell; what is before is its own.
    """
    begin = end_of(data) if end_of else id3_bytes(data)
    if begin >= len(data) or (kind in _SAMPLES and not _follows(data, begin)):
        return
    heads = [*_headers(data, begin)]
    bare: Iterator[int] = iter(())
    if not any(data[at : at + 3] == b"ID3" for at in heads):
        bare = chain(_frames_at(data, begin) if end_of else (), _row_at_the_end(data, begin, kind))
    found_foreign, last = False, -_MAX_PAD
    for at in sorted({*bare, *heads}):
        found = kind_of(data[at : at + 64])
        found_foreign |= found != kind and at > 0
        if found_foreign and not (found == "ogg" and 0 <= at - last < _MAX_PAD):
            yield at
        last = at if found == "ogg" else -_MAX_PAD


def _follows(data: mmap, end: int) -> bool:
    """True if another file begins where this one ends: else it is samples, of which sizes say too little."""
    near = any(at < end + _MAX_PAD for at in _headers(data, end, end + _MAX_PAD))
    return near or any(_frames_at(data, end))


def _headers(data: mmap, begin: int, until: int | None = None) -> Iterator[int]:
    """Where headers stand, in no order; searching blocks is many times faster than searching the file."""
    for start in range(begin, min(until or len(data), len(data)), _BLOCK_BYTES):
        block = data[start : start + _BLOCK_BYTES + _LONGEST]
        for what, (offset, header) in _HEADER.items():
            found = block.find(what)
            while found >= 0:
                at = start + found - offset
                if at >= begin and header.match(data, at) and (what != b"ID3" or is_tag(data, at)):
                    yield at
                found = block.find(what, found + 1)


def _frames_at(data: mmap, at: int) -> Iterator[int]:
    """Bare frames where the first file ends."""
    if _is_row(data, at, 3) or data[at : at + 2] == b"\x0b\x77":
        yield at


def _frame_bytes(data: mmap, at: int) -> int:
    """Length of the frame of MPEG audio or AAC (ADTS) at this place; 0 if there is none."""
    head = data[at : at + 6]
    if len(head) == 6 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        return length if length > 7 else 0
    frame = parse_frame(data, at)
    return frame.n_bytes if frame else 0


def _row_at_the_end(data: mmap, begin: int, kind: str) -> Iterator[int]:
    """The first of a row of bare frames, if the file ends in one."""
    tail_at = max(begin, len(data) - _TAIL_BYTES)
    if kind in {"mpeg", "other", "sndfile"} or _row(data, tail_at) is None:
        return
    first = _row(data, begin)
    if first is not None:
        yield first


def _row(data: mmap, begin: int) -> int | None:
    return next(
        (at for match in _SYNC.finditer(data, begin) if _is_row(data, at := match.start(), _ROW)), None
    )


def _is_row(data: mmap, at: int, count: int) -> bool:
    """True if so many frames stand here behind each other."""
    for _ in range(count):
        n_bytes = _frame_bytes(data, at)
        if not n_bytes:
            return False
        at += n_bytes
    return True
