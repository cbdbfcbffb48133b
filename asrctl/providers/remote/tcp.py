"""A connection to a server of Wyoming, which has the face of a WebSocket: events come as JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from asrctl.network.failures import LinkFailure
from asrctl.protocol.wyoming.framing import EventReader, FramingError
from asrctl.providers.remote.dialect import Message
from asrctl.providers.remote.reachability import failure_of
from asrctl.providers.remote.settings import RemoteSettings

_READ_BYTES = 1 << 16


class TcpSocket:
    """One connection."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, max_message_bytes: int
    ) -> None:
        """A connection that was just made; longer data of an event breaks it."""
        self._reader = reader
        self._writer = writer
        self._events = EventReader(max_message_bytes)

    async def send(self, message: Message) -> None:
        """Send; that the connection is lost is said to the one who reads."""
        self._writer.write(message if isinstance(message, bytes) else message.encode())
        with suppress(OSError):
            await self._writer.drain()

    async def recv(self) -> str:
        """The next event.

        Raises:
            LinkFailure: There will be none.
        """
        try:
            while (event := self._events.next()) is None:
                if not (data := await self._reader.read(_READ_BYTES)):
                    raise LinkFailure("the server closed the connection")
                self._events.feed(data)
        except FramingError:
            raise LinkFailure("the server does not speak Wyoming") from None
        except OSError as error:
            raise failure_of(error) from None
        return json.dumps({**event.data, "type": event.type})


@asynccontextmanager
async def open_tcp(settings: RemoteSettings) -> AsyncIterator[TcpSocket]:
    """Connect, and close in the end.

    Raises:
        LinkFailure: Whatever went wrong with connecting.
    """
    parts = urlsplit(settings.address.url)
    try:
        async with asyncio.timeout(settings.connect_timeout_s):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    except OSError as error:
        raise failure_of(error) from None
    try:
        yield TcpSocket(reader, writer, settings.max_message_bytes)
    finally:
        writer.transport.abort()
