"""Files that are several files joined: where each begins.

`cat a.mp3 b.mp3` is how podcasts, voice services and recorders make one file of many, and an Ogg stream may
be chained by its standard (RFC 3533, section 4). No library reads all of these to the end, and none knows
them all; so the parts are found here, and each is decoded as if it were alone.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Literal, NamedTuple

from asrctl.audio import mpeg
from asrctl.audio.foreign import foreign_starts
from asrctl.audio.sniff import boxes

MAX_PARTS = 10_000


class Part(NamedTuple):
    """A range of bytes that is a file by itself; whether it is of another kind than the first."""

    start: int
    end: int
    is_foreign: bool = False


def parts_of(path: str, kind: str, *, same_format: bool = False) -> list[Part]:
    """The files that are joined in this one, at least one.

    Args:
        path: A regular file that is not empty.
        kind: As `sniff.kind_of` says.
        same_format: Also cut where rate or channels of MPEG audio change, for a decoder that cannot.
    """
    find = _FINDERS.get(kind)
    with open(path, "rb") as file:
        n_bytes = os.fstat(file.fileno()).st_size
        if find is None or not n_bytes:
            return [Part(0, n_bytes)]
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            foreign = set() if find is _signed else set(foreign_starts(data, kind, _ENDS.get(kind)))
            starts = sorted({0, *(at for at in find(data) if at < n_bytes), *foreign})[:MAX_PARTS]
            if len(starts) > 1 and mpeg.tags_end(data) == starts[1]:  # a tag alone is no file
                del starts[0]
            parts = [Part(at, end, at in foreign) for at, end in pairwise([*starts, n_bytes])]
            if kind == "mpeg" and (same_format or _is_layer_two(data)):
                parts = [piece for part in parts for piece in _of_one_format(data, part)]
    return parts


def promised_s(path: str, part: Part) -> float | None:
    """Length of a part of MPEG audio by its Xing header, which FFmpeg and libsndfile do not tell from a
    guess."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = mpeg.first_frame(data, part.start)
        return None if at is None else mpeg.xing_s(data, at)


def _is_layer_two(data: mmap.mmap) -> bool:
    """True for MP2, whose rate FFmpeg takes from further on in the file if it changes."""
    at = mpeg.first_frame(data)
    frame = None if at is None else mpeg.parse_frame(data, at)
    return frame is not None and frame.side_bytes == 0


def _of_one_format(data: mmap.mmap, part: Part) -> list[Part]:
    if part.is_foreign:
        return [part]
    changes = [at for at in mpeg.format_changes(data, part.start, part.end) if at > part.start]
    return [Part(*edges) for edges in pairwise([part.start, *changes, part.end])]


def _ogg(data: mmap.mmap) -> Iterator[int]:
    """Links of a chain: a page that begins a stream, behind one that does not."""
    in_heads, at = True, data.find(b"OggS")
    while at >= 0:
        if len(page := data[at : at + 27]) < 27:
            return
        if page[4] != 0:  # not a page: these four bytes stood in a packet
            at = data.find(b"OggS", at + 1)
            continue
        begins = bool(page[5] & 2)
        if begins and not in_heads:
            yield at
        in_heads = begins
        lacing = data[at + 27 : at + 27 + page[26]]
        after = at + 27 + page[26] + sum(lacing)
        at = after if data[after : after + 4] == b"OggS" else data.find(b"OggS", at + 1)


def _pattern(pattern: bytes) -> Callable[[mmap.mmap], Iterator[int]]:
    """Every place where a file's first bytes stand again."""
    compiled = re.compile(pattern, re.DOTALL)
    return lambda data: (match.start() for match in compiled.finditer(data))


_WITH_INITIAL = re.escape(bytes(byte for byte in range(256) if byte & 8))
_SIGNATURES = [
    re.compile(pattern, re.DOTALL)
    for pattern in (
        # WavPack: a block that begins a file: of index 0, with samples, and the first of its channels.
        rb"wvpk.{4}[\x02-\x10]\x04\x00.{5}\x00{4}(?!\x00{4}).{5}[" + _WITH_INITIAL + rb"]",
        rb"MAC .{2}\x00\x00\x34\x00\x00\x00",  # Monkey's Audio
        rb"nut/multimedia container\x00",
        rb"RIFF.{4}AVI LIST",
        rb"\.RMF\x00\x00\x00[\x10-\x40]",
        rb"\xb7\xd8\x00\x20\x37\x49\xda\x11\xa6\x4e\x00\x07\xe9\x5e\xad\x8d",  # Windows Television
        rb"Creative Voice File\x1a",
        rb"\x80\x00.{2}\x03\x12\x04[\x01-\x08]",  # ADX
        rb"STRM.{4}\x00[\x00\x01]\x00\x10",  # AST
    )
]


def _signed(data: mmap.mmap) -> Iterator[int]:
    """What stands at the beginning stands again."""
    if data[:3] == b"FWS":  # Flash; the four bytes left out are a length that may lie
        same = re.compile(re.escape(data[:4]) + b".{4}" + re.escape(data[8:12]), re.DOTALL)
        yield from (match.start() for match in same.finditer(data))
    for signature in _SIGNATURES:
        if signature.match(data):
            yield from (match.start() for match in signature.finditer(data))


def _flac(data: mmap.mmap) -> Iterator[int]:
    """Where the marker stands again with the block that has to follow it; a tag before it goes with it."""
    skipped = mpeg.id3_bytes(data)
    for match in re.finditer(rb"fLaC[\x00\x80]\x00\x00\x22", data):
        if match.start() != skipped:
            yield match.start()


def _mp4(data: mmap.mmap) -> Iterator[int]:
    """A second `ftyp` among the boxes of the top level."""
    return (at for at, name, _ in boxes(data) if name == b"ftyp")


def _mp4_end(data: mmap.mmap) -> int:
    """Where what follows is no box: a name of four letters, and a size."""
    return next((at for at, name, _ in boxes(data) if not _BOX_NAME.fullmatch(name)), len(data))


_BOX_NAME = re.compile(rb"[a-zA-Z0-9 \xa9_-]{4}")


def _matroska_end(data: mmap.mmap) -> int:
    """Behind the segment, if it states its size; where it does not, as live recordings, that is not known."""
    at = 0
    while data[at : at + 4] in (b"\x1aE\xdf\xa3", b"\x18\x53\x80\x67"):
        at += 4  # the identifier of the header, and of the segment
        first = data[at] if at < len(data) else 0
        width = 9 - first.bit_length()
        size = int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
        if width > 8 or size == (1 << 7 * width) - 1:
            return len(data)
        at += width + size
    return at


def _chunks(order: Literal["little", "big"], magic: bytes) -> _Edges:
    """RIFF and its kin: the next file begins where the first says that it ends."""

    def edges(data: mmap.mmap) -> Iterator[int]:
        at = 0
        while data[at : at + 4] == magic:
            yield at
            size = int.from_bytes(data[at + 4 : at + 8], order)
            at += 8 + size + size % 2
        yield at

    return edges


def _au(data: mmap.mmap) -> Iterator[int]:
    """Headers that state where the samples begin, and how many bytes they are."""
    at = 0
    while data[at : at + 4] == b".snd":
        yield at
        at += int.from_bytes(data[at + 4 : at + 8], "big") + int.from_bytes(data[at + 8 : at + 12], "big")
    yield at


def _caf(data: mmap.mmap) -> Iterator[int]:
    """A header among the chunks, which have sizes of 64 bits; -1 is up to the end of the file."""
    at = 0
    while len(head := data[at : at + 12]) == 12:
        if head[:4] == b"caff":
            yield at
            at += 8
            continue
        size = int.from_bytes(head[4:], "big", signed=True)
        if head[:4] not in _CAF_CHUNKS or size < 0:
            break
        at += 12 + size
    yield at if data[at : at + 4] not in _CAF_CHUNKS else len(data)


_CAF_CHUNKS = frozenset(
    b"desc data pakt kuki chan free info strg mark regn inst midi ovvw peak edct umid uuid".split()
)


def _starts(edges: _Edges) -> _Edges:
    return lambda data: iter([*edges(data)][:-1])


def _end(edges: _Edges) -> Callable[[mmap.mmap], int]:
    return lambda data: [*edges(data)][-1]


def _ogg_end(data: mmap.mmap) -> int:
    """Behind the last of the pages that follow each other."""
    at = 0
    while data[at : at + 4] == b"OggS" and len(page := data[at : at + 27]) == 27:
        at += 27 + page[26] + sum(data[at + 27 : at + 27 + page[26]])
    return at


_Edges = Callable[[mmap.mmap], Iterator[int]]
"""Where files begin; of formats with sizes, and where the last one ends."""
_WAV, _AIFF = _chunks("little", b"RIFF"), _chunks("big", b"FORM")
_ENDS = {
    "wav": _end(_WAV),
    "aiff": _end(_AIFF),
    "au": _end(_au),
    "caf": _end(_caf),
    "mp4": _mp4_end,
    "matroska": _matroska_end,
    "ogg": _ogg_end,
}
_FINDERS: dict[str, _Edges] = {
    "other": _signed,
    "sndfile": _signed,
    "stream": lambda data: iter(()),
    "mpeg": mpeg.joined_starts,
    "ogg": _ogg,
    "flac": _flac,
    "mp4": _mp4,
    "matroska": _pattern(rb"\x1aE\xdf\xa3.{1,60}?(?:webm|matroska)"),
    "asf": _pattern(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c"),
    "flv": _pattern(rb"FLV\x01[\x00-\x07]\x00\x00\x00\x09"),
    "tta": _pattern(rb"TTA[12][\x01-\x03]\x00"),
    "amr": _pattern(rb"#!AMR(?:-WB)?\n"),
    "au": _starts(_au),
    "caf": _starts(_caf),
    "wav": _starts(_WAV),
    "aiff": _starts(_AIFF),
}
