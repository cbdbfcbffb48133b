"""What is freed goes back to the system."""

from __future__ import annotations

import platform
import subprocess
import sys
import weakref

import pytest

from asrctl.audio.heap import return_what_is_free

FREES = """
import psutil
from asrctl.audio.heap import return_large_blocks
return_large_blocks()
rss = psutil.Process().memory_info
bytearray(b"1") * (2 << 20)  # freed at once: glibc's bound would be this now
before = rss().rss
kept = [(bytearray(b"1") * (1 << 20), bytearray(b"1") * 10_000) for _ in range(100)]
kept = [small for _, small in kept]
print((rss().rss - before) >> 20)
"""

HOLES = """
import psutil
from asrctl.audio.heap import return_what_is_free
rss = psutil.Process().memory_info
before = rss().rss
blocks = [bytes(10_000) for _ in range(10_000)]
blocks = blocks[::20]
return_what_is_free()
print((rss().rss - before) >> 20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator is not used here")
def test_large_blocks_leave_no_holes() -> None:
    """Of 100 MB in blocks between small ones that stay, nearly all goes back."""
    done = subprocess.run([sys.executable, "-c", FREES], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator is not used here")
def test_holes_are_given_back() -> None:
    """Of 100 MB in small blocks, of which every twentieth stays, most goes back."""
    done = subprocess.run([sys.executable, "-P", "-c", HOLES], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 50


def test_circles_are_given_back() -> None:
    """What refers to itself, such as a session that is over, goes without waiting for many new objects."""

    class Session:
        me: Session

    session = Session()
    session.me, gone = session, weakref.ref(session)
    del session
    return_what_is_free()
    assert gone() is None
