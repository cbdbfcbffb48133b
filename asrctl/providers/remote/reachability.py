"""How long a server is tried that refuses connections, or answers nothing that helps."""

from __future__ import annotations

import asyncio
import errno
import os
import random as random_module
import socket
import ssl
import time
from collections.abc import Awaitable, Callable

from asrctl.errors import ProviderError
from asrctl.network.failures import LinkFailure, network_failure
from asrctl.network.retry import LAST_TRY_S, Attempts, GaveUp
from asrctl.policy.backoff import BackoffOptions
from asrctl.policy.breaker import BreakerOptions, CircuitBreaker
from asrctl.providers.remote.settings import RemoteSettings

BACKOFF = BackoffOptions(first_s=0.25, max_s=5.0)
"""Short waits, since somebody waits for the text."""

NOBODY_THERE = frozenset(
    os.strerror(code).lower() for code in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH)
)
"""Reasons of failures that tell at once that no server is there."""


class Unreachable(LinkFailure):
    """Nobody is there: no such host, or nothing that listens."""


def failure_of(error: OSError) -> LinkFailure:
    """What an error of the network means; one that tells at once that nobody is there is `Unreachable`."""
    failure = network_failure(error)
    is_slow = isinstance(error, TimeoutError | ssl.SSLError)
    if not is_slow and (isinstance(error, socket.gaierror) or failure.reason in NOBODY_THERE):
        return Unreachable(failure.reason)
    return failure


def attempts_for(
    settings: RemoteSettings,
    backoff: BackoffOptions,
    *,
    wait_for_answer_s: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    random: Callable[[], float] = random_module.random,
) -> Attempts:
    """The attempts of one stream or one request; they end with the outage, or when they are used up."""
    never = CircuitBreaker(BreakerOptions(backoff.max_attempts + 1), clock)
    return Attempts(
        backoff,
        never,
        wait_for_answer_s=wait_for_answer_s,
        outage_s=settings.outage_s,
        clock=clock,
        sleep=sleep,
        random=random,
    )


class FirstContact:
    """Waits for a server that has never answered; where it may be waited for, nothing is sent before."""

    def __init__(self, settings: RemoteSettings, ask: Callable[[], Awaitable[None]]) -> None:
        """Prepare; `ask` sees whether the server is there, and raises LinkFailure if not."""
        self._settings = settings
        self._ask = ask
        self._over = not settings.wait_for_server_s

    async def wait_ready(self) -> None:
        """Ask whether the server is there, and again until it has answered, if it may be waited for.

        Raises:
            ProviderError: It refuses, or has not answered in time.
        """
        try:
            await (self._ask() if self._over else self._ask_again())
        except LinkFailure as failure:
            raise ProviderError(failure.reason) from None
        except GaveUp as error:
            raise ProviderError(str(error)) from None
        self._over = True

    async def wait_once(self) -> None:
        """The same, but only where that is to come before anything is sent, and has not been."""
        if not self._over:
            await self.wait_ready()

    async def _ask_again(self) -> None:
        patience_s = self._settings.wait_for_server_s
        attempts = attempts_for(self._settings, BACKOFF, wait_for_answer_s=patience_s)
        async for attempt in attempts:
            with attempt:
                try:
                    left_s = attempts.left_s
                    async with asyncio.timeout(None if left_s is None else max(left_s, LAST_TRY_S)):
                        await self._ask()
                except TimeoutError:
                    raise LinkFailure("no answer in time") from None


class Reachability:
    """What is known of a server that may be gone."""

    def __init__(self, settings: RemoteSettings, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with a server that nobody has met."""
        self._restart_s = settings.restart_s
        self._clock = clock
        self._gone_since_s: float | None = None
        self.reached = False
        """Whether it was ever there."""

    def answered(self) -> None:
        """It is there."""
        self.reached, self._gone_since_s = True, None

    def assess(self, failure: LinkFailure) -> LinkFailure:
        """The failure, made fatal if nobody was ever there, or for so long that it is no restart."""
        if not isinstance(failure, Unreachable):
            self._gone_since_s = None
        elif not self.reached:
            failure.fatal = True
        elif self._gone_since_s is None:
            self._gone_since_s = self._clock()
        elif self._clock() - self._gone_since_s >= self._restart_s:
            failure.fatal = True
            failure.reason += f"; gave up after {self._restart_s:g} s"
        return failure
