"""When a server that failed is tried again, and when it is given up."""

from __future__ import annotations

import errno
import os
import random as random_module
import socket
import ssl
import time
from collections.abc import Callable

from asrctl.errors import ProviderError
from asrctl.network.failures import LinkFailure, network_failure
from asrctl.policy.backoff import Backoff, BackoffOptions
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


class Attempts:
    """What one stream, or one request, knows about how its attempts went."""

    def __init__(
        self,
        settings: RemoteSettings,
        backoff: BackoffOptions = BACKOFF,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        """Begin with no attempt made.

        Args:
            settings: How long an outage may last.
            backoff: How many attempts there may be in a row, and the waits between them.
            clock: Monotonic seconds.
            random: Numbers in [0, 1), for the jitter.
        """
        self._settings = settings
        self._options = backoff
        self._clock = clock
        self._random = random
        self._backoff = Backoff(backoff, random)
        self._away_since_s: float | None = None
        self.reached = False
        """Whether the server was ever there."""

    @property
    def left_s(self) -> float | None:
        """How long the outage may go on; None if there is none."""
        if self._away_since_s is None:
            return None
        return max(0.0, self._settings.outage_s - (self._clock() - self._away_since_s))

    def begin(self) -> None:
        """An attempt is made."""
        self._backoff.began()

    def works(self) -> None:
        """The server does what it should: an outage is over."""
        self.reached = True
        self._away_since_s = None

    def proved(self) -> None:
        """The server gave what was asked for: earlier attempts do not count any more."""
        self.works()
        self._backoff = Backoff(self._options, self._random)

    def failed(self, failure: LinkFailure) -> float:
        """Seconds to wait before the next attempt.

        Raises:
            ProviderError: The server is given up, and why.
        """
        now_s, limit_s = self._clock(), self._settings.outage_s
        if self._away_since_s is None:
            self._away_since_s = now_s
        if isinstance(failure, Unreachable):
            limit_s = min(limit_s, self._settings.restart_s) if self.reached else 0.0
        wait_s = self._backoff.failed(0.0, failure.retry_after_s, failure.soon)
        if failure.fatal or not limit_s:
            raise ProviderError(failure.reason)
        if wait_s is None:
            raise ProviderError(f"{failure.reason}; gave up after {self._backoff.attempts} attempts")
        if now_s - self._away_since_s + wait_s >= limit_s:
            raise ProviderError(f"{failure.reason}; gave up after {limit_s:g} s")
        return wait_s
