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

from asrctl.network.failures import LinkFailure, network_failure
from asrctl.network.retry import Attempts
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
