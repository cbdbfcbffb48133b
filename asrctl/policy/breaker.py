"""Circuit breaker: after failures in a row leave the other side alone, then try once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from asrctl.errors import UsageError


class BreakerState(Enum):
    """Closed lets everything through, open nothing, half-open one trial."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class BreakerOptions:
    """When the circuit opens, and for how long.

    Attributes:
        failures: So many in a row open it.
        open_s: How long nothing is tried. A trial of which nothing was heard for as long is given up.

    Raises:
        UsageError: A value that makes no sense.
    """

    failures: int = 5
    open_s: float = 60.0

    def __post_init__(self) -> None:
        """Validate once, at the edge."""
        if self.failures < 1 or self.open_s <= 0:
            raise UsageError("breaker: failures must be at least 1, and open_s positive")


class CircuitBreaker:
    """One for each server, which several clients may share in one thread."""

    def __init__(self, options: BreakerOptions, clock: Callable[[], float]) -> None:
        """Begin closed; `clock` gives monotonic seconds."""
        self._options = options
        self._clock = clock
        self._failures = 0
        self._shut_until_s: float | None = None
        self._trial = False

    @property
    def state(self) -> BreakerState:
        """What the breaker would do now."""
        if self._shut_until_s is None:
            return BreakerState.CLOSED
        return BreakerState.HALF_OPEN if self._trial or self.wait_s() == 0.0 else BreakerState.OPEN

    def wait_s(self) -> float:
        """Seconds until something may be tried; 0 if that is now."""
        return 0.0 if self._shut_until_s is None else max(0.0, self._shut_until_s - self._clock())

    def allow(self) -> bool:
        """Ask before a try, and report how it went; while a trial is out, nobody else gets one."""
        if self.wait_s() > 0.0:
            return False
        if self._shut_until_s is not None:
            self._trial = True
            self._shut_until_s = self._clock() + self._options.open_s
        return True

    def succeeded(self) -> None:
        """A try went well: the circuit is closed, and failures are counted afresh."""
        self._failures, self._shut_until_s, self._trial = 0, None, False

    def failed(self) -> None:
        """A try failed."""
        self._failures += 1
        if self._trial or self._failures >= self._options.failures:
            self._trial = False
            self._shut_until_s = self._clock() + self._options.open_s
