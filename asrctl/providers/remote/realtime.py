"""One stream over any number of links to a realtime server, until it is given up."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from asrctl.errors import ProviderError
from asrctl.network.failures import LinkFailure
from asrctl.policy.breaker import CircuitBreaker
from asrctl.providers.base import DecodeOptions, Spoken
from asrctl.providers.remote.backlog import Backlog
from asrctl.providers.remote.conversation import Conversation
from asrctl.providers.remote.guess import dialect_for
from asrctl.providers.remote.link import Link
from asrctl.providers.remote.loop import allow
from asrctl.providers.remote.options import RemoteOptions
from asrctl.providers.remote.retry import Retry
from asrctl.providers.remote.socket import open_socket


class Realtime:
    """Connects and connects again; each link begins with the oldest utterance that has no text."""

    def __init__(
        self,
        options: RemoteOptions,
        key: str,
        decode: DecodeOptions,
        backlog: Backlog,
        wake: asyncio.Event,
        tell: Callable[[Spoken], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = random.random,
    ) -> None:
        """Prepare; nothing is sent before `run`.

        Args:
            options: Which server.
            key: Proves that we may use it; empty for none.
            decode: Language and prompt.
            backlog: Filled by the caller.
            wake: Set whenever that was done.
            tell: Takes what is to be said.
            clock: Monotonic seconds.
            sleep: Waits so many seconds.
            random: Numbers in [0, 1), for the jitter.
        """
        self._options = options
        self._address = options.address
        self._key = key
        self._decode = decode
        self._backlog = backlog
        self._wake = wake
        self._tell = tell
        self._clock = clock
        self._sleep = sleep
        self._retry = Retry(options.backoff, CircuitBreaker(options.breaker, clock), clock, random)
        self._away_since_s: float | None = None
        self._outage: asyncio.Timeout | None = None

    async def run(self) -> None:
        """Carry the stream for ever.

        Raises:
            ProviderError: The server was given up, and why.
        """
        reason = ""
        while True:
            while not self._retry.begin(resuming=False):
                await self._pause(self._retry.shut_s, reason)
            try:
                await self._bounded_link()
            except LinkFailure as failure:
                reason = failure.reason
                if self._away_since_s is None:
                    self._away_since_s = self._clock()
                await self._pause(self._wait_after(failure), reason)

    def _wait_after(self, failure: LinkFailure) -> float:
        wait_s = self._retry.failed(failure)
        if wait_s is None:
            tried = "" if failure.fatal else f"; gave up after {self._retry.attempts} attempts"
            raise ProviderError(f"{failure.reason}{tried}")
        return wait_s

    async def _pause(self, wait_s: float, reason: str) -> None:
        """Wait, if the outage does not last too long then."""
        if wait_s >= self._left_s:
            raise ProviderError(f"{reason}; gave up after {self._options.outage_s:g} s")
        if wait_s > 0:
            await self._sleep(wait_s)

    @property
    def _left_s(self) -> float:
        """How long the outage may go on."""
        away_s = 0.0 if self._away_since_s is None else self._clock() - self._away_since_s
        return self._options.outage_s - away_s

    async def _bounded_link(self) -> None:
        """One link, which ends an outage or is ended by its end."""
        limit_s = None if self._away_since_s is None else self._left_s
        try:
            async with asyncio.timeout(limit_s) as self._outage:
                await self._one_link()
        except TimeoutError:
            raise ProviderError(f"no text came for {self._options.outage_s:g} s of trying") from None

    async def _one_link(self) -> None:
        socket = await open_socket(self._address, self._key, self._options)
        dialect = dialect_for(self._address.dialect, self._options.model, self._decode)
        conversation = Conversation(dialect, self._backlog)
        progress = _Progress(conversation, self._backlog)

        def told(spoken: list[Spoken]) -> None:
            for each in spoken:
                self._tell(each)
            if progress.became_ready():
                self._retry.ready()
            if progress.completed_some():
                self._retry.proved()
            if spoken or progress.nothing_is_owed:
                self._well()

        await Link(socket, conversation, self._options, self._wake, told).run()

    def _well(self) -> None:
        """The link does its work: an outage is over."""
        if self._away_since_s is not None:
            self._away_since_s = None
            allow(self._outage, None)


class _Progress:
    """What is new in a conversation since it was last looked at."""

    def __init__(self, conversation: Conversation, backlog: Backlog) -> None:
        self._conversation = conversation
        self._backlog = backlog
        self._ready = False
        self._completed = 0

    def became_ready(self) -> bool:
        before, self._ready = self._ready, self._conversation.ready
        return self._ready and not before

    def completed_some(self) -> bool:
        before, self._completed = self._completed, self._conversation.completed
        return self._completed > before

    @property
    def nothing_is_owed(self) -> bool:
        return self._ready and not self._backlog.owed
