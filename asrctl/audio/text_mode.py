"""Audio that was sent, stored or converted as if it were text, so that what is left of it is noise.

PNG begins with bytes that show this; audio does not. So it is told by what such a change leaves behind, or by
what it leaves none of.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

from asrctl.audio.pcm import SAMPLE_BYTES

if TYPE_CHECKING:
    from asrctl.audio.wav import WavHeader

_ENOUGH = 8
"""So many line feeds, each behind a carriage return, are no chance: it is one in 256 for each."""
_CURE = "fetch or copy it again as binary"
ADDED = f"its bytes were changed as if it were text (line feeds became CR LF): {_CURE}"
REMOVED = f"its bytes were changed as if it were text (CR LF became line feeds): {_CURE}"
RECODED = f"its bytes were changed as if it were text (in another character encoding): {_CURE}"
_MAGIC = ("RIFF", "OggS", "fLaC", "ID3", "FORM")
_LOOKED_AT_BYTES = 1 << 16
_SEARCHED_BYTES = 1 << 26
"""Audio has a line feed in every few hundred bytes; only silence has none, which may be hours."""
_IN_TEXT = frozenset(b"\t\r\n") | frozenset(range(32, 127))
_LOST_SHARE = 1 / 1000  # of loud speech one byte in 20,000; of compressed audio one in 65,536


def text_mode_damage(path: str) -> str | None:
    """How a file was changed as if it were text, in a line; None if that is not seen in any format alike."""
    with _mapped(path) as data:
        if _was_recoded(data[:_LOOKED_AT_BYTES]):
            return RECODED
        return ADDED if has_added_returns(data) else None


def has_lost_returns(path: str, header: WavHeader, start: int) -> bool:
    """True if a WAV lacks a few bytes and any CR LF, and bytes of its samples have changed places.

    Args:
        path: The file.
        header: What it states.
        start: Where its samples begin.
    """
    if not header.data_bytes or not header.riff_end:
        return False
    with _mapped(path) as data:
        lost_bytes = header.riff_end - len(data)
        if not 0 < lost_bytes <= 1 + header.data_bytes * _LOST_SHARE or data.find(b"\r\n") >= 0:
            return False
        return _is_shifted(data, header, start)


def _mapped(path: str) -> mmap.mmap:
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def has_added_returns(data: bytes | mmap.mmap) -> bool:
    """True if there are enough line feeds outside of text, and none without a carriage return before it.

    Behind silence of `_SEARCHED_BYTES` they are not looked for.
    """
    count, at = 0, data.find(b"\n", 0, _SEARCHED_BYTES)
    while at >= 0:
        if data[max(0, at - 1) : at] != b"\r":
            return False
        beside = data[max(0, at - 2) : at - 1] + data[at + 1 : at + 2]
        count += not _IN_TEXT.issuperset(beside)
        at = data.find(b"\n", at + 1, at + _SEARCHED_BYTES)
    return count >= _ENOUGH


def _was_recoded(head: bytes) -> bool:
    """Text of 16 bits that begins as audio does; or UTF-8 with what stands in no text."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return head.decode("utf-16", "replace").startswith(_MAGIC)
    for cut in range(4):  # a character may be cut
        try:
            text = head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError as error:
            if error.start < len(head) - 3:
                return False
        else:
            return sum(each == "\ufffd" or "\x80" <= each < "\xa0" for each in text) >= _ENOUGH
    return False


def _is_shifted(data: mmap.mmap, header: WavHeader, start: int) -> bool:
    """True if the bytes of samples stand in one place where those of others stand elsewhere.

    In sound the highest byte of a sample changes least from one to the next, unless a lower one is not used.
    """
    import numpy as np

    width, stride = SAMPLE_BYTES[header.encoding], header.frame_bytes
    step_bytes = max(2, header.rate_hz // 4) * stride
    found = set()
    for at in range(start, len(data) - step_bytes if width > 1 else 0, step_bytes):
        frames = np.frombuffer(data[at : at + step_bytes], np.int8).reshape(-1, stride).astype(np.int16)
        rough = np.abs(np.diff(frames, axis=0)).mean(axis=0).reshape(-1, width)
        if (highest := rough[:, -1].min()) > 1:
            found.add(bool(rough[:, :-1].min() < highest / 2))
    return len(found) == 2
