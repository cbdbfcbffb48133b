"""A realtime server with a script: it serves each connection with a brain, and misbehaves when told to."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from .brains import Brain, Broken, OpenAiBrain

_GRACE_S = 5.0
DEADLINE_S = 30.0
_log = logging.getLogger(__name__)
_log.setLevel(logging.CRITICAL)


# Faults of a socket


@dataclass(frozen=True)
class Refuse:
    """Answer the handshake with this status."""

    status: int = 503
    retry_after: str | None = None
    body: str = "no\n"


@dataclass(frozen=True)
class Mute:
    """Accept, and never say anything."""


@dataclass(frozen=True)
class Say:
    """Accept, and say this instead of `session.created`."""

    data: str | bytes


@dataclass(frozen=True)
class After:
    """Serve until so many bytes have come; then say this, if anything, and close with this code, if any."""

    bytes: int = 0
    say: str | None = None
    code: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class Once:
    """Serve one utterance to its end, and close with this code."""

    code: int = 1011


@dataclass(frozen=True)
class Unfinished:
    """Serve, but never say that an utterance came to its end."""


@dataclass(frozen=True)
class Slow:
    """Serve, each answer so much later."""

    delay_s: float


Fault = Refuse | Mute | Say | After | Once | Unfinished | Slow
_ENDINGS = ("transcription.done", "conversation.item.input_audio_transcription.completed")


class RealtimeServer:
    """Serves each connection with a brain of its own, and with the next fault; then well.

    Attributes:
        url: Where it is.
        handshakes: How many there were.
        requests: Paths of the handshakes.
        keys: The `Authorization` of each handshake.
        brains: One for each connection that was served.
        broken: What clients said that no server takes; must stay empty.
        closes: How clients closed.
    """

    def __init__(
        self,
        brain: Any = OpenAiBrain,
        faults: Iterable[Fault | None] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._new_brain = brain
        self._tls = tls
        self._faults = iter(faults)
        self._bound: dict[int, Fault | None] = {}
        self.url = ""
        self.handshakes = 0
        self.requests: list[str] = []
        self.keys: list[str | None] = []
        self.brains: list[Any] = []
        self.broken: list[str] = []
        self.closes: list[int | None] = []

    async def start(self) -> Server:
        """Listen on a port of its own."""
        server = await serve(
            self._serve,
            "127.0.0.1",
            0,
            process_request=self._shake,
            compression=None,
            ping_interval=None,
            max_queue=None,
            close_timeout=0.1,
            ssl=self._tls,
            logger=_log,
        )
        self.url = f"{'wss' if self._tls else 'ws'}://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        return server

    def _shake(self, socket: ServerConnection, request: Request) -> Response | None:
        self.handshakes += 1
        self.requests.append(request.path)
        self.keys.append(request.headers.get("Authorization"))
        fault = next(self._faults, None)
        if isinstance(fault, Refuse):
            response = socket.respond(HTTPStatus(fault.status), fault.body)
            if fault.retry_after is not None:
                response.headers["Retry-After"] = fault.retry_after
            return response
        self._bound[id(socket)] = fault
        return None

    async def _serve(self, socket: ServerConnection) -> None:
        fault = self._bound.pop(id(socket))
        try:
            await self._speak(socket, fault)
        except ConnectionClosed:
            pass
        except Broken as broken:
            self.broken.append(str(broken))
        self.closes.append(socket.close_code)

    async def _speak(self, socket: ServerConnection, fault: Fault | None) -> None:
        if isinstance(fault, Mute):
            await socket.wait_closed()
            return
        if isinstance(fault, Say):
            await socket.send(fault.data)
            await socket.wait_closed()
            return
        brain: Brain = self._new_brain()
        self.brains.append(brain)
        heard_bytes = 0
        if await self._say(socket, brain.hello(), fault, heard_bytes):
            return
        async for message in socket:
            heard_bytes += len(message)
            if await self._say(socket, brain.receive(_decoded(message)), fault, heard_bytes):
                return

    async def _say(
        self, socket: ServerConnection, events: list[dict[str, Any]], fault: Fault | None, heard_bytes: int
    ) -> bool:
        """Send events, as the fault has it; whether that was the end."""
        if isinstance(fault, Slow):
            await asyncio.sleep(fault.delay_s)
        for event in events:
            if not (isinstance(fault, Unfinished) and event["type"] in _ENDINGS):
                await socket.send(json.dumps({"event_id": secrets.token_hex(4), **event}))
        if isinstance(fault, Once) and any(event["type"] in _ENDINGS for event in events):
            await socket.close(fault.code)
            return True
        if not isinstance(fault, After) or heard_bytes < fault.bytes:
            return False
        if fault.say is not None:
            await socket.send(fault.say)
        if fault.code is None:
            await socket.wait_closed()
        else:
            await socket.close(fault.code, fault.reason)
        return True


def _decoded(message: str | bytes) -> Any:
    return json.loads(message) if isinstance(message, str) else message


@asynccontextmanager
async def serving(server: RealtimeServer) -> AsyncIterator[str]:
    """Run a server; gives its URL."""
    listener = await server.start()
    try:
        yield server.url
    finally:
        listener.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_S):
                await listener.wait_closed()
    assert not server.broken
