"""Which functions of asrctl a piece of work calls, in order."""

from __future__ import annotations

import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType

import asrctl

_PACKAGE = Path(asrctl.__file__).parent


@contextmanager
def calls_of(wanted: Collection[str]) -> Iterator[list[str]]:
    """Collects calls of functions such as `policy.packing.Packer.push`, of this process's threads.

    Each time that a generator or a coroutine goes on counts as a call.
    """
    names: dict[CodeType, str] = {}
    called: list[str] = []

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event != "call":
            return
        code = frame.f_code
        if code not in names:
            name = _name(code)
            names[code] = name if name in wanted else ""
        if names[code]:
            called.append(names[code])

    before = sys.getprofile()
    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield called
    finally:
        sys.setprofile(before)
        threading.setprofile(before)


def _name(code: CodeType) -> str:
    """A function's name within the package; empty for what is not of it."""
    path = Path(code.co_filename)
    if not path.is_relative_to(_PACKAGE):
        return ""
    module = ".".join(path.relative_to(_PACKAGE).with_suffix("").parts).removesuffix(".__init__")
    return f"{module}.{code.co_qualname}"
