"""A window on its way through the pool."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from asrctl.errors import AsrctlError
from asrctl.policy.priority import Ticket
from asrctl.providers.base import DecodeOptions
from asrctl.transcript import Hypothesis, Samples


def _future() -> asyncio.Future[Hypothesis]:
    return asyncio.get_running_loop().create_future()


@dataclass(slots=True, eq=False)
class Job:
    """A decode that somebody awaits; once `future` is done, cancelled included, nobody does."""

    number: int
    ticket: Ticket
    samples: Samples
    options: DecodeOptions
    future: asyncio.Future[Hypothesis] = field(default_factory=_future)
    attempts: int = 0
    asked_s: float = field(default_factory=time.monotonic)

    def succeed(self, hypothesis: Hypothesis) -> None:
        """Give the caller the result, if it still waits."""
        if not self.future.done():
            self.future.set_result(hypothesis)

    def fail(self, error: AsrctlError) -> None:
        """Give the caller an error, if it still waits."""
        if not self.future.done():
            self.future.set_exception(error)
