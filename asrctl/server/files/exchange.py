"""One HTTP request and its answer, thinly over ASGI."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl

from asrctl.server.requests import CONNECTION

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

T = TypeVar("T")


class ClientGone(Exception):
    """Nobody is there any more who could be answered."""


class Exchange:
    """What was asked, and ways to answer.

    Attributes:
        headers: Of the request, by lower-case name; of those that come twice the last.
        started: Whether the answer has begun, so that its status cannot change any more.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._more: dict[str, str] = {}
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.started = False
        self._is_read = False

    @property
    def method(self) -> str:
        """GET, POST …"""
        return str(self._scope["method"])

    @property
    def path(self) -> str:
        """Of the URL, decoded."""
        return str(self._scope["path"])

    @property
    def query(self) -> list[tuple[str, str]]:
        """Names and values of the URL's query."""
        return parse_qsl(self._scope["query_string"].decode("latin-1"), keep_blank_values=True)

    def add_headers(self, headers: Mapping[str, str]) -> None:
        """Send these too with whatever the answer is."""
        self._more |= headers

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Its connection is not to be cut for being without an answer meanwhile."""
        connection: Any = self._scope.get("extensions", {}).get(CONNECTION)
        if connection is None:
            yield
            return
        connection.is_accepted = True
        try:
            yield
        finally:
            connection.is_accepted = False

    # The body

    async def body(self) -> bytes | None:
        """The next piece of the request's body; None at its end.

        Raises:
            ClientGone: It ended in the middle.
        """
        if self._is_read:
            return None
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        self._is_read = not message.get("more_body", False)
        data: bytes = message.get("body", b"")
        return data

    async def attended(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something for as long as the client is there; its body has been read.

        Raises:
            ClientGone: It left; the work was cancelled.
        """
        task = asyncio.create_task(work, name="file")
        gone = asyncio.create_task(self._gone(), name="gone")
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            is_done = task.done()
            task.cancel()
            gone.cancel()
            await asyncio.gather(task, gone, return_exceptions=True)
        if not is_done:
            raise ClientGone
        return task.result()

    async def _gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    # The answer

    async def answer(
        self, status: int, body: bytes, content_type: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """The whole answer."""
        length = {"Content-Length": str(len(body))} if status != 204 else {}
        await self._start(status, {"Content-Type": content_type, **length, **(headers or {})})
        await self._send({"type": "http.response.body", "body": body})

    async def start_events(self) -> None:
        """An answer that consists of events."""
        await self._start(200, {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})

    async def event(self, text: str) -> None:
        """Some events."""
        await self._send({"type": "http.response.body", "body": text.encode(), "more_body": True})

    async def end_events(self) -> None:
        """No more of them."""
        await self._send({"type": "http.response.body", "body": b""})

    async def _start(self, status: int, headers: Mapping[str, str]) -> None:
        self.started = True
        all_headers = {**headers, **self._more}
        raw = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in all_headers.items()
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})
