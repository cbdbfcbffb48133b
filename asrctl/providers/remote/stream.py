"""A stream into a server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from asrctl.errors import ProviderError
from asrctl.providers.outbox import Outbox, OutboxStream
from asrctl.providers.recognizer import Lost
from asrctl.providers.remote.backlog import Backlog
from asrctl.transcript import Samples

_log = logging.getLogger(__name__)


class RemoteStream(OutboxStream):
    """Made by `RemoteRecognizer.open`."""

    def __init__(
        self,
        outbox: Outbox,
        backlog: Backlog,
        carry: Callable[[], Awaitable[None]],
        wake: asyncio.Event,
        lost: Callable[[ProviderError], ProviderError],
        ended: Callable[[RemoteStream], None],
    ) -> None:
        """Begin to connect.

        Args:
            outbox: Says what comes back.
            backlog: Fresh; says everything through the outbox.
            carry: Brings the backlog to the server, and has it say what comes back; raises ProviderError when
                the server is given up.
            wake: Set whenever the backlog grew.
            lost: Told why the stream was lost; gives the error for `Lost`.
            ended: Called when the stream is closed.
        """
        self._outbox = outbox
        self._backlog = backlog
        self._carry = carry
        self._wake = wake
        self._lost = lost
        self._ended = ended
        self._task = asyncio.create_task(self._run(), name="remote")

    def feed(self, samples: Samples) -> None:
        from asrctl.audio.pcm import s16le_of

        if self._outbox.is_over:
            return
        try:
            self._backlog.feed(s16le_of(samples))
        except ProviderError as error:
            self._lose(error)
            self._task.cancel()
        self._wake.set()

    def end(self) -> None:
        if not self._outbox.is_over:
            self._backlog.end()
            self._wake.set()

    def drop(self, utterance: int) -> None:
        super().drop(utterance)
        self._backlog.drop(utterance)

    def close(self) -> None:
        self._outbox.close()
        self._task.cancel()
        self._ended(self)

    async def wait_gone(self) -> None:
        """Wait until nothing is left of it."""
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            await self._carry()
        except ProviderError as error:
            self._lose(error)
        except Exception as error:  # a mistake of ours: the stream must not wait for ever because of it
            _log.exception("an unexpected error in a stream to a server")
            self._lose(ProviderError(f"the provider failed: {type(error).__name__}: {error}"))

    def _lose(self, error: ProviderError) -> None:
        self._outbox.say(Lost(self._lost(error), self._backlog.blamed))
