"""One socket from handshake to loss: what a conversation wants sent goes out, what comes in it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from asrctl.network.failures import LinkFailure
from asrctl.providers.base import Spoken
from asrctl.providers.remote.conversation import Conversation
from asrctl.providers.remote.loop import allow
from asrctl.providers.remote.options import RemoteOptions
from asrctl.providers.remote.socket import closed


class Link:
    """Carries a conversation over one socket, until that breaks."""

    def __init__(
        self,
        socket: ClientConnection,
        conversation: Conversation,
        options: RemoteOptions,
        wake: asyncio.Event,
        tell: Callable[[list[Spoken]], None],
    ) -> None:
        """Prepare.

        Args:
            socket: Open.
            conversation: Fresh.
            options: How long to wait for what.
            wake: Set by whoever adds to the backlog.
            tell: Called after each message with what is to be said, which may be nothing.
        """
        self._socket = socket
        self._conversation = conversation
        self._options = options
        self._wake = wake
        self._tell = tell
        self._limit: asyncio.Timeout | None = None

    async def run(self) -> None:
        """Speak for ever.

        Raises:
            LinkFailure: The link was lost, or is of no use.
            DecodeError: The server cannot be brought to hear an utterance.
        """
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            try:
                await asyncio.gather(*tasks, return_exceptions=True)
                await self._socket.close()
            finally:
                self._socket.transport.abort()  # if a goodbye was not to be, because we are cancelled

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(self._options.first_event_timeout_s) as self._limit:
                while True:
                    message = await self._socket.recv()
                    self._tell(self._conversation.receive(message))
                    self._wake.set()
                    self._expect()
        except TimeoutError:
            waited = "its text" if self._conversation.ready else "the session"
            raise LinkFailure(f"the server did not give {waited} in time") from None
        except ConnectionClosed as error:
            raise closed(error) from None

    def _expect(self) -> None:
        """The server has so much time for its next event, if it owes us one."""
        if self._conversation.ready:
            allow(self._limit, self._options.completion_timeout_s if self._conversation.owed else None)

    async def _write(self) -> None:
        try:
            while True:
                self._wake.clear()
                while messages := self._conversation.outgoing():
                    owed = self._conversation.owed
                    for message in messages:
                        await self._socket.send(message)
                    if owed:
                        self._expect()
                await self._wake.wait()
        except ConnectionClosed:
            pass  # the reader knows why, once it has read what came before
