"""What the provider `remote` is, whichever way it asks its server."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable

from asrctl.errors import ProviderError
from asrctl.network.failures import LinkFailure
from asrctl.network.retry import LAST_TRY_S, GaveUp
from asrctl.policy.backoff import BackoffOptions
from asrctl.policy.breaker import BreakerOptions, CircuitBreaker
from asrctl.providers.remote.key import find_key, redacted
from asrctl.providers.remote.reachability import BACKOFF, attempts_for
from asrctl.providers.remote.settings import RemoteSettings


class RemoteService(ABC):
    """A server, whether it may be asked now, and what it is called in messages."""

    name = "remote"

    def __init__(self, settings: RemoteSettings, backoff: BackoffOptions, clock: Callable[[], float]) -> None:
        """Prepare; nothing is connected yet.

        Args:
            settings: Which server.
            backoff: Attempts of a stream or a window, and the waits between them.
            clock: Monotonic seconds.
        """
        self._settings = settings
        self._address = settings.address
        self._backoff = backoff
        self._key = find_key(settings)
        self._breaker = CircuitBreaker(BreakerOptions(1, settings.pause_s), clock)
        self._why = ""
        """Why the server was given up last."""
        self._was_awaited = not settings.wait_for_server_s
        self._closed = False
        self.model = settings.model or self.name
        self.description = self._address.place

    def pids(self) -> list[int]:
        """It has no processes."""
        return []

    async def wait_ready(self) -> None:
        """See whether the server is there; see `Recognizer.wait_ready`."""
        try:
            await self._wait_for_server()
        except ProviderError as error:
            raise ProviderError(self._says(str(error))) from None

    async def _wait_for_server(self) -> None:
        """Ask whether the server is there, and again until it has answered once, if it may be waited for.

        Raises:
            ProviderError: It refuses, or has not answered in time.
        """
        try:
            await (self._greet() if self._was_awaited else self._greet_until_answered())
        except LinkFailure as failure:
            raise ProviderError(failure.reason) from None
        except GaveUp as error:
            raise ProviderError(str(error)) from None
        self._was_awaited = True

    async def _wait_for_first_answer(self) -> None:
        """The same, but only where that is to come before anything is sent, and has not been."""
        if not self._was_awaited:
            await self._wait_for_server()

    @abstractmethod
    async def _greet(self) -> None:
        """See whether the server is there; raises LinkFailure if not."""

    async def _greet_until_answered(self) -> None:
        attempts = attempts_for(self._settings, BACKOFF, wait_for_answer_s=self._settings.wait_for_server_s)
        async for attempt in attempts:
            with attempt:
                try:
                    left_s = attempts.left_s
                    async with asyncio.timeout(None if left_s is None else max(left_s, LAST_TRY_S)):
                        await self._greet()
                except TimeoutError:
                    raise LinkFailure("no answer in time") from None

    def _refuse_while_it_rests(self) -> None:
        """Raises ProviderError if the server was given up a short while ago."""
        if not self._breaker.allow():
            raise ProviderError(f"{self._why}; tried again in {self._breaker.wait_s():.0f} s")

    def _says(self, reason: str) -> str:
        return f"{self._address.place}: {redacted(reason, self._key, self._address)}"
