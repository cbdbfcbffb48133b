"""Keeps a process that runs for long from holding on to memory it does not use."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys

LARGE_BYTES = 256 * 1024
"""4 s of audio as floats."""
_M_MMAP_THRESHOLD = -3  # malloc.h


def return_what_is_free() -> None:
    """Give back to the system what nothing needs any more.

    Python keeps what refers to itself in circles, such as a session that is over with its audio, until many
    objects are made; glibc keeps what is free between small blocks.
    """
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # musl
            ctypes.CDLL(None).malloc_trim(0)


def return_large_blocks(from_bytes: int = LARGE_BYTES) -> None:
    """Have each block from this size on given back to the system when it is freed.

    glibc does so at first, but raises the bound to the largest block freed so far: windows of audio then
    leave holes in the heap that smaller blocks pin down. Ten sessions for five minutes: parent 73 MB at most
    instead of 89. Other C libraries have no such bound; there it does nothing.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # musl
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, from_bytes)
