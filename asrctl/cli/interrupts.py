"""Ctrl-C and SIGTERM as something to be asked for, where work is to be brought to an end first."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

STOP_GRACE_S = 1.0
"""A source that was stopped may take so long to give its last audio; one that hangs is not waited for."""

TERMINATE_GRACE_S = 1.0
"""After SIGTERM, what was said may take so long to be transcribed: whoever sent it waits 3 s, say, in all."""


class Interrupts:
    """While entered, the first two interrupts are counted; the third raises KeyboardInterrupt as ever.

    A signal that is ignored, as in a job that a shell runs in the background, stays ignored.

    Attributes:
        count: How many there were.
        terminated: Whether one was SIGTERM, whose sender does not wait long.
    """

    def __init__(self, tell: Callable[[], object]) -> None:
        """Prepare.

        Args:
            tell: Called in the signal handler: it must be reentrant, as `SimpleQueue.put` is.
        """
        self.count = 0
        self.terminated = False
        self._tell = tell
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self.terminated = self.terminated or number == signal.SIGTERM
        if self.count > 1:
            self._restore()
        self._tell()

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())
