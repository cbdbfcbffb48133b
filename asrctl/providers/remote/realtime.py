"""One stream over any number of links to a realtime server, until it is given up."""

from __future__ import annotations

import asyncio

from asrctl.errors import ProviderError, StreamRefused
from asrctl.network.failures import LinkFailure
from asrctl.network.retry import GaveUp
from asrctl.policy.backoff import BackoffOptions
from asrctl.providers.base import DecodeOptions
from asrctl.providers.remote.backlog import Backlog
from asrctl.providers.remote.conversation import Conversation
from asrctl.providers.remote.detection import dialect_for
from asrctl.providers.remote.link import Link, allow, connected
from asrctl.providers.remote.reachability import Reachability, attempts_for
from asrctl.providers.remote.settings import RemoteSettings


class Realtime:
    """Connects and connects again; each link begins with the oldest utterance that has no text."""

    def __init__(
        self,
        settings: RemoteSettings,
        key: str,
        decode: DecodeOptions,
        backlog: Backlog,
        wake: asyncio.Event,
        backoff: BackoffOptions,
    ) -> None:
        """Prepare; nothing is sent before `run`.

        Args:
            settings: Which server.
            key: Proves that we may use it; empty for none.
            decode: Language and prompt.
            backlog: Filled by the caller.
            wake: Set whenever that was done.
            backoff: How many attempts in a row, and the waits between them.
        """
        self._settings = settings
        self._key = key
        self._decode = decode
        self._backlog = backlog
        self._wake = wake
        self._attempts = attempts_for(settings, backoff)
        self._reachability = Reachability(settings)
        self._lost_before = False
        self._served = False

    async def run(self) -> None:
        """Carry the stream until the server is given up, which is raised as a ProviderError."""
        try:
            async for attempt in self._attempts:
                with attempt:
                    await self._bounded_link()
        except GaveUp as error:
            raise ProviderError(str(error)) from None

    async def _bounded_link(self) -> None:
        """One link, which ends an outage or is ended by its end."""
        try:
            async with asyncio.timeout(self._attempts.left_s if self._lost_before else None) as outage:
                await self._one_link(outage)
        except LinkFailure as failure:
            self._lost_before = True
            if failure.fatal and not self._served:
                raise StreamRefused(failure.reason) from None
            raise self._reachability.assess(failure) from None
        except TimeoutError:
            raise ProviderError("no text came, although it was tried again") from None

    async def _one_link(self, outage: asyncio.Timeout) -> None:
        async with connected(self._settings, self._key, self._decode) as socket:
            self._reachability.answered()
            conversation = Conversation(dialect_for(self._settings, self._decode), self._backlog)
            is_ready, completed = False, 0

            def moved() -> None:
                """Tell the attempts what the link has achieved; one that does its work ends an outage."""
                nonlocal is_ready, completed
                if conversation.ready and not is_ready:
                    is_ready = True
                    self._attempts.ready()
                if conversation.completed > completed:
                    completed = conversation.completed
                    self._attempts.proved()
                elif is_ready and not self._backlog.owed:
                    self._attempts.alive()
                if self._attempts.left_s is None:
                    allow(outage, None)

            try:
                await Link(socket, conversation, self._settings, self._wake, moved).run()
            except LinkFailure as failure:  # there are servers that close the connection after each utterance
                failure.at_once = bool(conversation.completed) and not conversation.owed
                raise
            finally:
                self._served = self._served or bool(conversation.completed)


async def probe(settings: RemoteSettings, key: str) -> None:
    """See whether a realtime server would take audio.

    Raises:
        LinkFailure: It would not, and why.
    """
    nothing = Backlog(0.0, "", lambda spoken: None)
    decode = DecodeOptions(language="auto")
    async with connected(settings, key, decode) as socket:
        conversation = Conversation(dialect_for(settings, decode), nothing)
        await Link(socket, conversation, settings, asyncio.Event()).prepare()
