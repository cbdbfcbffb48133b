"""One socket from handshake to loss: what a conversation wants sent goes out, what comes in it is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from asrctl.client.failures import MAPPED, link_failure, refusal_of
from asrctl.network.failures import LinkFailure
from asrctl.network.hosts import is_loopback
from asrctl.providers.base import DecodeOptions
from asrctl.providers.remote.address import with_query
from asrctl.providers.remote.conversation import Conversation
from asrctl.providers.remote.deepgram import query_of
from asrctl.providers.remote.dialect import Message
from asrctl.providers.remote.reachability import failure_of
from asrctl.providers.remote.settings import RemoteSettings
from asrctl.providers.remote.tcp import open_tcp

_CLOSE_TIMEOUT_S = 0.5
_TOO_BIG = 1009
_FATAL_CODES = frozenset({3000, 3003})
"""IANA's "unauthorized" and "forbidden"."""
_FATAL_REASON = "invalid_request_error"
"""How OpenAI's close reasons begin where the client is at fault."""
_MAY_WANT_MODEL = frozenset({400, 403, 404, 422})
"""How servers refuse a handshake without a model in its URL."""

_KEEP_ALIVE_S = 5.0
"""Servers that want a sign of life wait for it for ten seconds."""

_log = logging.getLogger(__name__)
_log.setLevel(logging.INFO)  # at DEBUG the library writes each header, and with them the key


class Socket(Protocol):
    """What carries messages; where it is lost, `recv` says so."""

    async def send(self, message: Message) -> None: ...
    async def recv(self) -> Message: ...


def connected(
    settings: RemoteSettings, key: str, decode: DecodeOptions
) -> AbstractAsyncContextManager[Socket]:
    """A socket for a conversation of whatever dialect; see `open_socket`."""
    match settings.address.dialect:
        case "wyoming":
            return open_tcp(settings)
        case "deepgram":
            return open_socket(settings, key, scheme="Token", query=query_of(settings, decode))
    return open_socket(settings, key)


@asynccontextmanager
async def open_socket(
    settings: RemoteSettings,
    key: str,
    subprotocol: str | None = None,
    *,
    scheme: str = "Bearer",
    query: Sequence[tuple[str, str]] = (),
) -> AsyncIterator[ClientConnection]:
    """Connect, and close in the end; certificates are checked as the platform does.

    Args:
        settings: Which server.
        key: Proves that we may use it; empty for none.
        subprotocol: What is offered.
        scheme: How the key is presented.
        query: What the URL is to say besides.

    Raises:
        LinkFailure: Whatever went wrong with connecting.
    """
    address = settings.address
    try:
        socket = await connect(
            with_query(address.url, query),
            subprotocols=[Subprotocol(subprotocol)] if subprotocol else None,
            compression=None,  # audio in base64 shrinks, but at a cost for both ends
            additional_headers={"Authorization": f"{scheme} {key}"} if key else None,
            user_agent_header="asrctl",
            proxy=None if is_loopback(address.host) else True,
            open_timeout=settings.connect_timeout_s,
            ping_interval=settings.keepalive_s,
            ping_timeout=settings.keepalive_s,
            close_timeout=_CLOSE_TIMEOUT_S,
            max_size=settings.max_message_bytes,
            logger=_log,
        )
    except InvalidStatus as error:
        raise _refused(error, settings) from None
    except OSError as error:
        raise failure_of(error) from None
    except MAPPED as error:
        raise link_failure(error) from None
    try:
        yield socket
        await socket.close()
    finally:
        socket.transport.abort()  # if a goodbye was not to be, because we are cancelled


def _refused(error: InvalidStatus, settings: RemoteSettings) -> LinkFailure:
    """The reason for a refusal; a server that gives none may be missing a model name."""
    failure = link_failure(error)
    silent = not refusal_of(error)
    if silent and not settings.model and error.response.status_code in _MAY_WANT_MODEL:
        failure.reason += "; some servers want a model: [remote] model"
    return failure


def closed(error: ConnectionClosed) -> LinkFailure:
    """What it means that the socket was closed."""
    if error.sent is not None and error.sent.code == _TOO_BIG and not error.rcvd_then_sent:
        return LinkFailure("the server sends messages that are too long")
    failure = link_failure(error)
    if error.rcvd is not None:
        refused = error.rcvd.code in _FATAL_CODES or error.rcvd.reason.startswith(_FATAL_REASON)
        failure.fatal = failure.fatal or refused
    return failure


def allow(limit: asyncio.Timeout | None, time_s: float | None) -> None:
    """Let a limit run out in `time_s` from now, or never; one that has run out already stays so."""
    if limit is not None:
        with suppress(RuntimeError):  # what it says where the limit is over
            limit.reschedule(None if time_s is None else asyncio.get_running_loop().time() + time_s)


async def until_one_fails(*work: Coroutine[Any, Any, None]) -> None:
    """Run them at the same time; what the first failure raises ends all."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Link:
    """Carries a conversation over one socket, until that breaks."""

    def __init__(
        self,
        socket: Socket,
        conversation: Conversation,
        settings: RemoteSettings,
        wake: asyncio.Event,
        moved: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare.

        Args:
            socket: Open.
            conversation: Fresh.
            settings: How long to wait for what.
            wake: Set by whoever adds to the backlog.
            moved: Called after each message.
        """
        self._socket = socket
        self._conversation = conversation
        self._settings = settings
        self._wake = wake
        self._moved = moved
        self._limit: asyncio.Timeout | None = None

    async def run(self) -> None:
        """Speak until the link is lost, or is of no use, which is raised as a LinkFailure."""
        await until_one_fails(self._read(), self._write())

    async def prepare(self) -> None:
        """Speak until the server takes audio.

        Raises:
            LinkFailure: It does not.
        """
        try:
            async with asyncio.timeout(self._settings.first_event_timeout_s):
                await self._send()
                while not self._conversation.ready:
                    self._conversation.receive(await self._socket.recv())
                    await self._send()
        except TimeoutError:
            raise self._late() from None
        except ConnectionClosed as error:
            raise closed(error) from None

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(self._settings.first_event_timeout_s) as self._limit:
                while True:
                    self._conversation.receive(await self._socket.recv())
                    self._moved()
                    self._wake.set()
                    self._expect()
        except TimeoutError:
            raise self._late() from None
        except ConnectionClosed as error:
            raise closed(error) from None

    def _late(self) -> LinkFailure:
        waited = "its text" if self._conversation.ready else "the session"
        return LinkFailure(f"the server did not give {waited} in time")

    def _expect(self) -> None:
        """The server has so much time for its next event, if it owes us one."""
        if self._conversation.ready:
            owed = self._conversation.owed
            allow(self._limit, self._settings.completion_timeout_s if owed else None)

    async def _write(self) -> None:
        try:
            while True:
                self._wake.clear()
                await self._send()
                await self._wait()
        except ConnectionClosed:
            return  # the reader knows why, once it has read what came before

    async def _wait(self) -> None:
        """Wait for something to say, with signs of life where they are wanted."""
        if self._conversation.keep_alive is None:
            await self._wake.wait()
            return
        while not self._wake.is_set():
            try:
                async with asyncio.timeout(min(_KEEP_ALIVE_S, self._settings.keepalive_s)):
                    await self._wake.wait()
            except TimeoutError:
                await self._socket.send(self._conversation.keep_alive)

    async def _send(self) -> None:
        while messages := self._conversation.outgoing():
            owed = self._conversation.owed
            for message in messages:
                await self._socket.send(message)
            if owed:
                self._expect()
