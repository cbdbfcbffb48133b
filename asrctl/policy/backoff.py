"""Backoff: how long to wait before a connection is tried again, and when to stop trying."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from asrctl.errors import UsageError


@dataclass(frozen=True, slots=True)
class BackoffOptions:
    """Waits in seconds.

    Attributes:
        first_s: The first wait; each further one is twice as long.
        max_s: The longest wait.
        jitter: A wait is longer or shorter by up to this share, so that clients do not come all at once.
        max_attempts: Connections tried in a row before it is given up.
        forgive_after_s: A link that was ready for so long makes all attempts before it count no more.
        max_retry_after_s: What a server asks for is honoured up to this.

    Raises:
        UsageError: The values make no sense together.
    """

    first_s: float = 1.0
    max_s: float = 60.0
    jitter: float = 0.2
    max_attempts: int = 15
    forgive_after_s: float = 30.0
    max_retry_after_s: float = 300.0

    def __post_init__(self) -> None:
        """Validate once, at the edge."""
        if not (0 < self.first_s <= self.max_s and 0 <= self.jitter < 1 and self.max_attempts >= 1):
            raise UsageError("backoff: 0 < first_s <= max_s, 0 <= jitter < 1 and max_attempts >= 1 must hold")


class Backoff:
    """Counts attempts and spaces them; one for each thing that is connected to."""

    def __init__(self, options: BackoffOptions, random: Callable[[], float]) -> None:
        """Begin with no attempt made; `random` gives numbers in [0, 1)."""
        self._options = options
        self._random = random
        self._waits = 0
        self._attempts = 0

    @property
    def attempts(self) -> int:
        """Connections tried since it last went well."""
        return self._attempts

    def began(self) -> None:
        """A connection is being tried."""
        self._attempts += 1

    def failed(
        self,
        ready_s: float = 0.0,
        retry_after_s: float | None = None,
        soon: bool = False,
        at_once: bool = False,
    ) -> float | None:
        """The attempt failed, or the link it made was lost.

        Args:
            ready_s: How long the link was ready; 0 if it never was.
            retry_after_s: What the server asked for, which wins. Never less is waited, and a little more.
            soon: The server restarts and wants its clients back: the first wait is anywhere below `first_s`.
            at_once: The server is well, and wants another beginning: no wait, nor a longer one next time.

        Returns:
            Seconds to wait before the next attempt; None if there shall be none.
        """
        if ready_s >= self._options.forgive_after_s:
            self._attempts = self._waits = 0
        if self._attempts >= self._options.max_attempts:
            return None
        if at_once:
            return 0.0
        self._waits += 1
        if retry_after_s is not None and retry_after_s >= 0:
            asked_s = min(retry_after_s, self._options.max_retry_after_s)
            return asked_s * (1 + self._options.jitter * self._random())
        if soon and self._waits == 1:
            return self._options.first_s * self._random()
        return self._doubled_s() * (1 + self._options.jitter * (2 * self._random() - 1))

    def _doubled_s(self) -> float:
        doublings = min(self._waits - 1, math.ceil(math.log2(self._options.max_s / self._options.first_s)))
        return min(self._options.first_s * 2.0**doublings, self._options.max_s)
