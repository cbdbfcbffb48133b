"""Ctrl-C, SIGTERM and SIGHUP as something to be asked for, where work is to be brought to an end first.

SIGHUP comes when the terminal is closed, and whatever is written to that fails from then on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

STOP_GRACE_S = 1.0
"""A source that was stopped may take so long to give its last audio; one that hangs is not waited for."""

TERMINATE_GRACE_S = 1.0
"""After SIGTERM, what was said may take so long to be transcribed: whoever sent it waits 3 s, say, in all."""

SILENCE_S = 5.0
"""After Ctrl-C, a server may say nothing for so long: one that hangs is not waited for."""


_HANG_UP: int | None = getattr(signal, "SIGHUP", None)
"""Windows has none."""


def interrupt_at_signals() -> None:
    """Have SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does; `nohup` keeps SIGHUP ignored."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if _HANG_UP is not None and signal.getsignal(_HANG_UP) is not signal.SIG_IGN:
        signal.signal(_HANG_UP, _hang_up)


def _hang_up(number: int, frame: FrameType | None) -> None:
    _leave_terminal()
    signal.default_int_handler(number, frame)


def _leave_terminal() -> None:
    """Drop what is written from here on to a terminal that is gone: each attempt would fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(descriptor).st_mode) and not os.isatty(descriptor):
                os.dup2(nowhere, descriptor)
    os.close(nowhere)


class Interrupts:
    """While entered, the first two interrupts are counted; the third raises KeyboardInterrupt as ever.

    A signal that is ignored, as in a job that a shell runs in the background, stays ignored.

    Attributes:
        count: How many there were.
        terminated: Whether one was SIGTERM or SIGHUP, whose senders do not wait long.
    """

    def __init__(self, tell: Callable[[], object]) -> None:
        """Prepare.

        Args:
            tell: Called in the signal handler: it must be reentrant, as `SimpleQueue.put` is.
        """
        self.count = 0
        self.terminated = False
        self._tell = tell
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in filter(None, (signal.SIGINT, signal.SIGTERM, _HANG_UP)):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self.terminated = self.terminated or number != signal.SIGINT
        if number == _HANG_UP:
            _leave_terminal()
        if self.count > 1:
            self._restore()
        self._tell()

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())
