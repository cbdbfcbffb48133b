"""When to try again: backoff, breaker and what the server asked for, put together."""

from __future__ import annotations

from collections.abc import Callable

from asrctl.network.failures import LinkFailure
from asrctl.policy.backoff import Backoff, BackoffOptions
from asrctl.policy.breaker import BreakerState, CircuitBreaker


class Retry:
    """What one client knows about how its connections went."""

    def __init__(
        self,
        options: BackoffOptions,
        breaker: CircuitBreaker,
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        """Begin with no attempt made.

        Args:
            options: Waits, and how many attempts.
            breaker: Asked before each attempt.
            clock: Monotonic seconds.
            random: Numbers in [0, 1).
        """
        self._options = options
        self._breaker = breaker
        self._clock = clock
        self._backoff = Backoff(options, random)
        self._ready_at_s: float | None = None
        self._resuming = False
        self._proved = False

    @property
    def attempts(self) -> int:
        """Attempts in a row."""
        return self._backoff.attempts

    @property
    def max_attempts(self) -> int:
        """How many there may be."""
        return self._backoff.max_attempts

    @property
    def breaker(self) -> BreakerState:
        """The breaker's state."""
        return self._breaker.state

    @property
    def shut_s(self) -> float:
        """For how long the breaker lets nothing through."""
        return self._breaker.wait_s()

    def begin(self, *, resuming: bool) -> bool:
        """Begin an attempt, if the breaker allows it; `resuming` a session, or to begin one."""
        if not self._breaker.allow():
            return False
        self._backoff.began()
        self._ready_at_s, self._resuming, self._proved = None, resuming, False
        return True

    def ready(self) -> None:
        """The server is ready; this is not success yet."""
        self._ready_at_s = self._clock()

    def alive(self) -> None:
        """The server does its work: a link for which that is true long enough has succeeded."""
        if self._ready_s >= self._options.forgive_after_s:
            self._breaker.succeeded()

    def proved(self) -> None:
        """The server gave what was asked for: this link has succeeded, however long it lasts."""
        self._proved = True
        self._breaker.succeeded()

    def done(self) -> None:
        """All was said."""
        self._breaker.succeeded()

    def failed(self, failure: LinkFailure) -> float | None:
        """Seconds to wait before the next attempt; None if there shall be none."""
        new_session_will_do = failure.at_once and self._resuming
        if new_session_will_do or self._ready_s >= self._options.forgive_after_s:
            self._breaker.succeeded()
        else:
            self._breaker.failed()
        wait_s = self._backoff.failed(self._ready_s, failure.retry_after_s, failure.soon)
        if wait_s is None or failure.fatal:
            return None
        return 0.0 if new_session_will_do else max(wait_s, self._breaker.wait_s())

    @property
    def _ready_s(self) -> float:
        """How long the link has been ready, or was when lost; 0 if never, enough if it proved itself."""
        ready_s = 0.0 if self._ready_at_s is None else self._clock() - self._ready_at_s
        return max(ready_s, self._options.forgive_after_s) if self._proved else ready_s
