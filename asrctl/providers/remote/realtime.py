"""One stream over any number of links to a realtime server, until it is given up."""

from __future__ import annotations

import asyncio

from asrctl.errors import ProviderError
from asrctl.network.failures import LinkFailure
from asrctl.providers.base import DecodeOptions
from asrctl.providers.remote.attempts import Attempts
from asrctl.providers.remote.backlog import Backlog
from asrctl.providers.remote.conversation import Conversation
from asrctl.providers.remote.guess import dialect_for
from asrctl.providers.remote.link import Link, allow, open_socket
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
        attempts: Attempts,
    ) -> None:
        """Prepare; nothing is sent before `run`.

        Args:
            settings: Which server.
            key: Proves that we may use it; empty for none.
            decode: Language and prompt.
            backlog: Filled by the caller.
            wake: Set whenever that was done.
            attempts: Says when to try again.
        """
        self._settings = settings
        self._key = key
        self._decode = decode
        self._backlog = backlog
        self._wake = wake
        self._attempts = attempts
        self._outage: asyncio.Timeout | None = None

    async def run(self) -> None:
        """Carry the stream until the server is given up, which is raised as a ProviderError."""
        while True:
            self._attempts.begin()
            try:
                await self._bounded_link()
            except LinkFailure as failure:
                await asyncio.sleep(self._attempts.failed(failure))

    async def _bounded_link(self) -> None:
        """One link, which ends an outage or is ended by its end."""
        try:
            async with asyncio.timeout(self._attempts.left_s) as self._outage:
                await self._one_link()
        except TimeoutError:
            limit_s = self._settings.outage_s
            raise ProviderError(f"no text came for {limit_s:g} s of trying") from None

    async def _one_link(self) -> None:
        async with open_socket(self._settings, self._key) as socket:
            self._attempts.reached = True
            conversation = Conversation(dialect_for(self._settings, self._decode), self._backlog)
            completed = 0

            def moved() -> None:
                nonlocal completed
                if conversation.completed > completed:
                    self._attempts.proved()
                elif conversation.ready and not self._backlog.owed:
                    self._attempts.works()
                completed = conversation.completed
                if self._attempts.left_s is None:
                    allow(self._outage, None)

            await Link(socket, conversation, self._settings, self._wake, moved).run()


async def probe(settings: RemoteSettings, key: str) -> None:
    """See whether a realtime server would take audio.

    Raises:
        LinkFailure: It would not, and why.
    """
    nothing = Backlog(0.0, "", lambda spoken: None)
    async with open_socket(settings, key) as socket:
        conversation = Conversation(dialect_for(settings, DecodeOptions(language="auto")), nothing)
        await Link(socket, conversation, settings, asyncio.Event()).prepare()
