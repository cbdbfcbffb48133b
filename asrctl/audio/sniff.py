"""What an input is, by its bytes and never by its name."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator

from asrctl.audio.mpeg import first_frame, id3_bytes, parse_frame
from asrctl.errors import AudioError

HEAD_BYTES = 4096

_MP4_BOXES = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
_MAGIC = (
    (b"RF64", "wav"),
    (b"BW64", "wav"),
    (b"fLaC", "flac"),
    (b"OggS", "ogg"),
    (b"FORM", "aiff"),
    (b"\x1aE\xdf\xa3", "matroska"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
    (b".snd", "au"),
    (b"caff", "caf"),
    (b"riff", "sndfile"),  # Sony Wave64
    (b"Creative Voice File", "sndfile"),
    (b"RIFX", "sndfile"),
    (b"FLV\x01", "flv"),
    (b"TTA1", "tta"),
    (b"#!AMR", "amr"),
    (b"\x0b\x77", "stream"),  # AC-3
    (b"\x7f\xfe\x80\x01", "stream"),  # DTS
)
_PLAYLIST = re.compile(rb'^(?:#EXTM3U|\[playlist\]|\s*FILE ")', re.MULTILINE)
_PROTECTED = re.compile(rb"stsd.{12}(?:drms|aavd|enca)", re.DOTALL)
"""The sample entries of bought music, audiobooks and films."""
_DRM = "it is protected by DRM and cannot be decoded"
_SOUND = re.compile(rb"hdlr.{8}soun", re.DOTALL)
_BEGINS_AUDIO = re.compile(
    rb"RIFF.{4}WAVE|fLaC[\x00\x80]\x00\x00\x22|OggS\x00\x02|ID3[\x02-\x04]\x00|\x00\x00\x00.ftyp", re.DOTALL
)
_INDEX_BYTES = 1 << 20
_ARCHIVES = (
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ\0",
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07",
    b"\x28\xb5\x2f\xfd",
)
WITHOUT_CLOCK = {"mpeg", "amr", "stream"}
"""Kinds that carry no times: what FFmpeg makes of them is wrong where the format changes."""


def kind_of(head: bytes) -> str:
    """The container, from HEAD_BYTES: a name in _MAGIC, "mpeg" for MP3 and its kin, "mp4", or "other"."""
    if head.startswith(b"RIFF"):
        return "wav" if head[8:12] == b"WAVE" else "other"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[4:8] in _MP4_BOXES:
        return "mp4"
    if tag_bytes := id3_bytes(head):  # the audio may be beyond what was read: MP3, the most common by far
        behind = head[tag_bytes : tag_bytes + 4]
        if behind == b"fLaC":
            return "flac"
        return "stream" if _is_adts(behind) else "mpeg"
    if parse_frame(head, 0) or (head[:1] == b"\0" and _padded_mpeg(head)):
        return "mpeg"
    return "stream" if _is_adts(head) else "other"


def _is_adts(head: bytes) -> bool:
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0


def _padded_mpeg(head: bytes) -> bool:
    """True for frames behind a run of zeros, which some recorders write first."""
    begin = len(head) - len(head.lstrip(b"\0"))
    return begin < len(head) and first_frame(head[begin:]) == 0 and parse_frame(head, begin) is not None


def refuse_no_audio(head: bytes) -> None:
    """Raises AudioError if the first HEAD_BYTES of an input already show that it is not audio."""
    if not head:
        raise AudioError("it is empty")
    if head.startswith(_ARCHIVES):  # in which a decoder may find something that looks like frames
        raise AudioError("not audio, but an archive: unpack it first")
    if head.startswith(b"version https://git-lfs"):
        raise AudioError("it is text, not audio: a Git LFS pointer; run 'git lfs pull'")
    if is_text(head):
        what = ": a playlist or cue sheet; name the files in it" if _PLAYLIST.search(head) else ""
        raise AudioError(f"it is text, not audio{what}")


def is_text(head: bytes) -> bool:
    """True if the start of a file is readable text and nothing else."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # else a character that was cut in half
            return False
        text = head[: error.start].decode("utf-8")
    return bool(text) and all(character.isprintable() or character in "\t\r\n\f\ufeff" for character in text)


def refuse_protected(path: str) -> None:
    """Refuse an MP4 all of whose audio is encrypted, in which a decoder may find something like frames.

    Raises:
        AudioError: It is.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        index = _index(data) or b""
    protected = len(_PROTECTED.findall(index))
    if protected and protected >= len(_SOUND.findall(index)):
        raise AudioError(_DRM)


def explain(path: str, kind: str) -> str | None:
    """Why nothing can read this, where the bytes show more than a decoder says; else None."""
    with open(path, "rb") as file:
        if kind == "mp4":
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                index = _index(data)
            if index is None:
                return "the recording was not finished: its index is missing (no moov atom)"
            if _PROTECTED.search(index):
                return _DRM
        head = file.read(HEAD_BYTES)
    if head.startswith(b"\x1f\x43\xb6\x75") or head[4:8] in (b"moof", b"styp", b"sidx"):
        what = "WebM" if head[:1] == b"\x1f" else "MP4"
        return f"a later piece of a recording ({what}); join it behind its first piece, which has the header"
    if head.startswith(b"MThd"):
        return "MIDI holds notes, not sound"
    if kind == "other" and (begin := _BEGINS_AUDIO.search(head)):
        return (
            f"its audio begins at byte {begin.start()}: remove what stands before it, such as HTTP's headers"
        )
    return None


def _index(data: mmap.mmap) -> bytes | None:
    """The beginning of a box `moov` (or a fragment's `moof`) among those of the top level; None without."""
    at = next((at for at, name, _ in boxes(data) if name in (b"moov", b"moof")), None)
    return None if at is None else data[at : at + _INDEX_BYTES]


def boxes(data: mmap.mmap) -> Iterator[tuple[int, bytes, int]]:
    """Where each box of the top level of an MP4 begins, its name, and where it says that it ends."""
    at = 0
    while len(head := data[at : at + 16]) >= 8:
        size = int.from_bytes(head[:4], "big")
        if size == 1 and len(head) == 16:
            size = int.from_bytes(head[8:], "big")
        yield at, head[4:8], at + size
        if size < 8:  # 0: up to the end of the file
            return
        at += size
