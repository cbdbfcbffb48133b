"""The client for programs that are not asynchronous."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, Self

from asrctl.client.client import Client
from asrctl.client.inbox import Event
from asrctl.client.options import ClientOptions
from asrctl.client.source import Source
from asrctl.client.state import State
from asrctl.protocol.messages import Done, Ready
from asrctl.transcript import AudioAccount

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class SyncClient:
    """`Client` without `async`; use it as a context manager, in one thread in which no event loop runs.

        with SyncClient("ws://127.0.0.1:8765", source=chunks) as client:
            for event in client:
                if isinstance(event, Final):
                    print(event.text)

    It has no thread: audio is sent and events come while one of its methods runs. Whoever feeds audio live
    calls `poll` after each `feed`; a link that is left alone for too long is made again and loses nothing.
    """

    def __init__(
        self, url: str, options: ClientOptions | None = None, *, source: Source | None = None, **more: Any
    ) -> None:
        """Prepare; the arguments are those of `Client`.

        Raises:
            UsageError: The URL is none.
        """
        self._client = Client(url, options, source=source, **more)
        self._runner = asyncio.Runner()
        self._events: AsyncIterator[Event] = aiter(self._client)
        self._next: asyncio.Task[Event] | None = None

    def __enter__(self) -> Self:
        """Begin to connect.

        Raises:
            RuntimeError: An event loop runs in this thread: `Client` is made for that.
        """
        if _loop_runs():
            raise RuntimeError("SyncClient cannot be used inside an event loop: use Client")
        self._runner.run(self._client.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._runner.run(self._leave())
        finally:
            self._runner.close()

    async def _leave(self) -> None:
        if self._next is not None:
            self._next.cancel()
            await asyncio.gather(self._next, return_exceptions=True)
        await self._client.__aexit__()

    def __iter__(self) -> Iterator[Event]:
        """Events, each once, until the server has said everything; see `Client.__aiter__`.

        Raises:
            ServerError: The server was given up.
        """
        while not isinstance(event := self._runner.run(self._get(None)), _End):
            if event is not None:
                yield event

    def poll(self, timeout_s: float = 0.0) -> list[Event]:
        """The events that come within so many seconds; what was fed is sent meanwhile.

        Raises:
            ServerError: The server was given up.
        """
        return self._runner.run(self._poll(timeout_s))

    def feed(self, samples: NDArray[np.float32] | bytes) -> None:
        """Take audio; see `Client.feed`."""
        self._client.feed(samples)

    def skip(self, count: int, reason: str) -> None:
        """So many samples never came, and why."""
        self._client.skip(count, reason)

    def flush(self) -> None:
        """Have what was sent so far finalised now."""
        self._client.flush()

    def finish(self) -> None:
        """No more audio comes; iterate to the end then."""
        self._client.finish()

    def wait_unsent_below(self, samples: int) -> None:
        """Send until less than so much audio waits, or none will be sent any more."""
        self._runner.run(self._client.wait_unsent_below(samples))

    def salvage(self) -> str:
        """Save the audio that no server answered for; see `Client.salvage`."""
        return self._client.salvage()

    @property
    def ready(self) -> Ready | None:
        """What the server said about itself and the session; None before it did."""
        return self._client.ready

    @property
    def done(self) -> Done | None:
        """The server's account of the last session; None before the end."""
        return self._client.done

    @property
    def state(self) -> State:
        """What is going on now."""
        return self._client.state

    @property
    def account(self) -> AudioAccount:
        """Where the audio went that is answered for."""
        return self._client.account

    async def _poll(self, timeout_s: float) -> list[Event]:
        events, until_s = list[Event](), asyncio.get_running_loop().time() + timeout_s
        while True:
            left_s = max(0.0, until_s - asyncio.get_running_loop().time())
            event = await self._get(left_s)
            if event is None or isinstance(event, _End):
                return events
            events.append(event)

    async def _get(self, timeout_s: float | None) -> Event | _End | None:
        """The next event; None if there is none in time. A wait that is over goes on with the next call."""
        if self._next is None:
            self._next = asyncio.ensure_future(self._take())
        done, _ = await asyncio.wait((self._next,), timeout=timeout_s)
        if not done:
            return None
        task, self._next = self._next, None
        try:
            return task.result()
        except StopAsyncIteration:
            return _END

    async def _take(self) -> Event:
        return await anext(self._events)


class _End:
    """No more events come."""


_END = _End()


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
