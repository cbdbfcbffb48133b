"""Trying again: the one loop that connects, waits and connects again, and knows when to stop.

    attempts = Attempts(BackoffOptions(), CircuitBreaker(BreakerOptions(), time.monotonic))
    async for attempt in attempts:
        with attempt:  # keeps a `LinkFailure`: there is another attempt then, or `GaveUp`
            async with connect(timeout_s=attempts.left_s) as link:
                attempts.ready()
                ...

The iteration ends after an attempt that did not fail.
"""

from __future__ import annotations

import asyncio
import random as random_module
import time
from collections.abc import Awaitable, Callable

from asrctl.network.failures import LinkFailure
from asrctl.policy.backoff import Backoff, BackoffOptions
from asrctl.policy.breaker import BreakerState, CircuitBreaker

PATIENCE_S = 5.0
"""A server that has never answered is waited for so long, if nobody says how long."""
LAST_TRY_S = 1.0
"""An attempt should have at least so long, also where patience is about to end."""


class GaveUp(Exception):
    """There shall be no further attempt; the text says why the last one failed, and what was tried."""


class Attempt:
    """One attempt; as a context manager it keeps the failure in which the attempt ends, if it does."""

    failure: LinkFailure | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if isinstance(error, LinkFailure):
            self.failure = error
        return self.failure is not None


class Attempts:
    """An asynchronous iterator of attempts, and what is known about how they went."""

    def __init__(
        self,
        options: BackoffOptions,
        breaker: CircuitBreaker,
        *,
        wait_for_answer_s: float | None = None,
        wait_for_ready_s: float | None = None,
        outage_s: float | None = None,
        changed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        """Begin with no attempt made.

        Args:
            options: Waits, and how many attempts.
            breaker: Asked before each attempt.
            wait_for_answer_s: A server that has never answered is tried for so long, however often that is;
                None or 0 to treat it like any other.
            wait_for_ready_s: The same for one that answers and was never ready, as it is full, or loads.
            outage_s: The longest time without a link that works; None for any.
            changed: Called when a wait begins, and when an attempt does.
            clock: Monotonic seconds.
            sleep: Waits so many seconds.
            random: Numbers in [0, 1), for the jitter.
        """
        self.answered = not wait_for_answer_s
        """Whether the server has ever answered, or need not have."""
        self.reason = ""
        """Why the last attempt failed, or the link that it made; empty while one goes well."""
        self._options = options
        self._breaker = breaker
        self._wait_for_answer_s = wait_for_answer_s
        self._wait_for_ready_s = wait_for_ready_s or None
        self._was_ready = False
        self._outage_s = outage_s
        self._changed = changed
        self._clock = clock
        self._sleep = sleep
        self._backoff = Backoff(options, random)
        self._random = random
        self._away_since_s: float | None = None
        self._working = False
        self._ready_at_s: float | None = None
        self._proved = False
        self._wait_until_s = 0.0
        self._last: Attempt | None = None

    @property
    def number(self) -> int:
        """Attempts in a row."""
        return self._backoff.attempts

    @property
    def max_number(self) -> int:
        """How many there may be."""
        return self._options.max_attempts

    @property
    def is_awaited(self) -> bool:
        """Whether the server is still waited for for the first time, and it is time that counts."""
        return not self.answered or (self._wait_for_ready_s is not None and not self._was_ready)

    @property
    def breaker(self) -> BreakerState:
        """The breaker's state."""
        return self._breaker.state

    @property
    def wait_s(self) -> float:
        """What is left of the present wait."""
        return max(0.0, self._wait_until_s - self._clock())

    @property
    def left_s(self) -> float | None:
        """How long an attempt may take; None for as long as it likes."""
        if self._patience_s is None or self._working:
            return None
        away_s = 0.0 if self._away_since_s is None else self._clock() - self._away_since_s
        return max(0.0, self._patience_s - away_s)

    @property
    def _patience_s(self) -> float | None:
        """How long it may last until a link works; at first, until the server answers, or is ready."""
        if not self.answered:
            return self._wait_for_answer_s
        return self._wait_for_ready_s if self.is_awaited else self._outage_s

    # What the caller tells

    def heard(self) -> None:
        """The server answered at all: from now on it is attempts that count."""
        if not self.answered:
            self.answered, self._backoff = True, Backoff(self._options, self._random)
            self._backoff.began()

    def ready(self) -> None:
        """The server is ready; this is not success yet."""
        self.heard()
        self._was_ready = True
        self.reason, self._ready_at_s = "", self._clock()

    def alive(self) -> None:
        """The server does its work: a link for which that is true long enough has succeeded."""
        self._working = True
        if self._ready_s >= self._options.forgive_after_s:
            self._breaker.succeeded()

    def proved(self) -> None:
        """The server gave what was asked for: this link has succeeded, however long it lasts."""
        self._working = self._proved = True
        self._breaker.succeeded()

    # The iteration

    def __aiter__(self) -> Attempts:
        return self

    async def __anext__(self) -> Attempt:
        """Wait until an attempt may be made.

        Raises:
            GaveUp: There shall be none.
        """
        if self._last is not None:
            if self._last.failure is None:
                self._breaker.succeeded()
                raise StopAsyncIteration
            await self._wait_after(self._last.failure)
        else:
            self._away_since_s = self._clock()
        while not self._breaker.allow():
            await self._wait(self._breaker.wait_s())
        self._backoff.began()
        self._ready_at_s, self._proved = None, False
        self._last = Attempt()
        self._changed()
        return self._last

    async def _wait_after(self, failure: LinkFailure) -> None:
        self.reason = failure.reason
        if failure.answered:
            self.heard()
        if self._working:
            self._working, self._away_since_s = False, self._clock()
        asked = failure.retry_after_s is not None  # by a server that is well, and full
        well = failure.at_once or asked or self._ready_s >= self._options.forgive_after_s
        if well or self.is_awaited:
            self._breaker.succeeded()
        else:
            self._breaker.failed()
        wait_s = self._backoff.failed(self._ready_s, failure.retry_after_s, failure.soon, failure.at_once)
        if failure.fatal:
            raise GaveUp(failure.reason)
        if wait_s is None:
            if not self.is_awaited:
                raise GaveUp(f"{failure.reason}; gave up after {self.number} attempts")
            wait_s = self._asked_s(failure)
        if not failure.at_once:
            await self._wait(max(wait_s, self._breaker.wait_s()), asked=asked)

    def _asked_s(self, failure: LinkFailure) -> float:
        """The wait where attempts are not counted any more: what the server asks for, or the longest."""
        options, asked_s = self._options, failure.retry_after_s
        return (
            options.max_s
            if asked_s is None
            else max(options.first_s, min(asked_s, options.max_retry_after_s))
        )

    async def _wait(self, wait_s: float, *, asked: bool = False) -> None:
        """Wait, but no longer than there is time for another attempt, unless the server asked for it."""
        left_s = self.left_s
        if left_s is not None and wait_s >= left_s:
            if left_s == 0.0 or (asked and not self.is_awaited):
                reason = self.reason or "it failed too often to be tried"
                advice = "" if not self.is_awaited else " (--wait-for-server waits longer)"
                raise GaveUp(f"{reason}; gave up after {self._patience_s:g} s{advice}")
            wait_s = left_s
        if wait_s > 0.0:
            self._wait_until_s = self._clock() + wait_s
            self._changed()
            await self._sleep(wait_s)
            self._wait_until_s = 0.0

    @property
    def _ready_s(self) -> float:
        """How long the link has been ready, or was when lost; 0 if never, enough if it proved itself."""
        ready_s = 0.0 if self._ready_at_s is None else self._clock() - self._ready_at_s
        return max(ready_s, self._options.forgive_after_s) if self._proved else ready_s
