"""DTS and AC-3 inside PCM: discs and receivers carry them as if they were samples, and as samples they are
noise."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

LOOKED_AT_BYTES = 1 << 18  # films begin with silence, which is coded too
_MIN_FRAMES = 3
_MIN_FRAME_BYTES = 64
_MAX_AC3_BYTES = 4096  # a frame of E-AC-3; audio that repeats itself has a sync word at equal distances too

_SYNC_WORDS = {
    # ETSI TS 102 114: frames of 16 or 14 bits a word, either byte order; a normal frame has ones after the
    # word
    "DTS": rb"\x7f\xfe\x80\x01[\xfc-\xff]|\xfe\x7f\x01\x80.[\xfc-\xff]|\x1f\xff\xe8\x00\x07[\xf0-\xff]"
    rb"|\xff\x1f\x00\xe8[\xf0-\xff]\x07",
    # IEC 61937: the burst preamble, by which a receiver knows AC-3, E-AC-3 or DTS on a digital output
    "a bitstream for a receiver (IEC 61937)": rb"\x72\xf8\x1f\x4e|\xf8\x72\x4e\x1f",
    # ATSC A/52, as it is or with the bytes of each word swapped
    "AC-3": rb"\x0b\x77|\x77\x0b",
}


class Coded(NamedTuple):
    """What is coded in samples, and at which byte it begins."""

    name: str
    start: int


def coded_in_pcm(data: bytes) -> Coded | None:
    """What is coded in these samples, None if they are samples: its sync words come at equal distances."""
    for name, pattern in _SYNC_WORDS.items():
        places = [match.start() for match in re.finditer(pattern, data, re.DOTALL)]
        wanted = _MIN_FRAMES if name != "AC-3" else 3 * _MIN_FRAMES  # two bytes are found by chance
        longest = LOOKED_AT_BYTES if name != "AC-3" else _MAX_AC3_BYTES
        run, last = 1, 0
        for number, (before, after) in enumerate(pairwise(places)):
            distance = after - before
            run = run + 1 if distance == last else 2
            last = distance
            if run >= wanted and _MIN_FRAME_BYTES <= distance <= longest:
                return Coded(name, places[number + 2 - run])
    return None


def may_be_coded(begin: bytes) -> bool:
    """True if the first samples of a stream are worth waiting for more of them."""
    for name, pattern in _SYNC_WORDS.items():
        find = re.match if name == "AC-3" else re.search
        if find(pattern, begin, re.DOTALL):
            return True
    return False
