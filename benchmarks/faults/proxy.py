"""A TCP proxy that harms connections on purpose: at any byte, in any direction, by a seed.

async with FaultyProxy(server_url, seeded_plans(seed)).running() as proxy:
    ...  # connect to proxy.url

Benchmarks and tests share it.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import urlsplit

Kind = Literal[
    "pass", "cut", "close", "reset", "stall", "lag", "half-open", "half-close",
    "delay", "throttle", "fragment", "coalesce", "corrupt",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)
_BLOCK_BYTES = 4096
_LAG_S = 0.1
_DELAY_S = 0.15
"""On average, for each block of a delayed connection."""
_THROTTLED_BYTES_PER_S = 48_000
"""Half as much again as live audio needs."""
_FRAGMENT_BYTES = 7
_GATHER_S = 0.25
_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER on, for no time: closing resets."""


@dataclass(frozen=True)
class Plan:
    """What happens to a connection after so many bytes, of both directions together.

    `cut` closes both ends at once and loses what is under way; `close` lets it arrive first; `reset` says so
    with a TCP reset. `stall` forwards nothing more, and leaves both ends open; `lag` does that for a moment
    before it cuts; `half-open` closes the server's end and leaves the client's open, as a router does that
    forgot the connection; `half-close` ends the client's direction alone.

    The others last from the first byte: `delay` holds blocks back for a random while, `throttle` bounds the
    rate, `fragment` forwards a few bytes at a time and `coalesce` many at once, `corrupt` changes one byte
    of the handshake, of either side.
    """

    kind: Kind = "pass"
    after_bytes: int = 0


def seeded_plans(
    seed: int, mean_bytes: float = 60_000.0, kinds: tuple[Kind, ...] = ("pass", "cut", "cut", "cut")
) -> Iterator[Plan]:
    """Plans without end; the bytes are spread exponentially, so that handshakes are hit too."""
    chance = random.Random(seed)
    while True:
        yield Plan(chance.choice(kinds), int(chance.expovariate(1 / mean_bytes)))


class FaultyProxy:
    """Forwards connections to a server; each has the next plan, and once these are used up, none.

    Attributes:
        url: Where to connect instead of to the server.
        fates: How many connections were harmed, by kind.
    """

    def __init__(self, target_url: str, plans: Iterable[Plan]) -> None:
        parts = urlsplit(target_url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._plans = iter(plans)
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""
        self.fates: Counter[str] = Counter()

    @property
    def harmed(self) -> int:
        """How many connections met their fate."""
        return self.fates.total()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FaultyProxy]:
        """Listen on a port of its own."""
        listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            listener.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        plan = next(self._plans, Plan())
        server_writer: asyncio.StreamWriter | None = None
        try:
            server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
            await _Pair(plan, self, (reader, writer), (server_reader, server_writer)).run()
        except (OSError, asyncio.CancelledError):
            pass  # the test is over, or the server is away
        finally:
            for end in (writer, server_writer):
                if end is not None:
                    end.transport.abort()


_SUDDEN = frozenset[Kind]({"cut", "close", "reset", "stall", "lag", "half-open", "half-close"})
"""Kinds that come after so many bytes."""

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Pair:
    """One connection and its continuation."""

    def __init__(self, plan: Plan, proxy: FaultyProxy, client: Ends, server: Ends) -> None:
        self._plan = plan
        self._proxy = proxy
        self._client = client
        self._server = server
        self._left_bytes = plan.after_bytes
        self._dice = random.Random(plan.after_bytes)
        self._corrupted: asyncio.StreamReader | None = (client if plan.after_bytes % 2 else server)[0]

    async def run(self) -> None:
        """Forward until both ends are closed, or the plan is carried out."""
        ways = [
            asyncio.create_task(self._forward(self._client[0], self._server[1])),
            asyncio.create_task(self._forward(self._server[0], self._client[1])),
        ]
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if any(task.result() for task in done):
                await self._harm(ways)
            else:
                await asyncio.wait(ways)
        finally:
            for task in ways:
                task.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Forward one way; whether the plan's time has come."""
        harmful = self._plan.kind in _SUDDEN
        if not harmful and self._plan.kind != "pass" and reader is self._client[0]:
            self._proxy.fates[self._plan.kind] += 1
        try:
            while data := await reader.read(_BLOCK_BYTES):
                if harmful and len(data) >= self._left_bytes:
                    writer.write(data[: self._left_bytes])
                    await writer.drain()
                    return True
                self._left_bytes -= len(data)
                await self._pass_on(data, reader, writer)
            writer.write_eof()
        except OSError:  # one end was reset: so is the other
            writer.transport.abort()
        return False

    async def _pass_on(self, data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kind, size = self._plan.kind, len(data)
        if kind == "corrupt" and reader is self._corrupted:
            at, self._corrupted = self._plan.after_bytes % size, None
            data = data[:at] + bytes([data[at] ^ 0x15]) + data[at + 1 :]
        if kind == "delay":
            await asyncio.sleep(self._dice.uniform(0.0, 2 * _DELAY_S))
        if kind == "throttle":
            await asyncio.sleep(size / _THROTTLED_BYTES_PER_S)
        step = _FRAGMENT_BYTES if kind == "fragment" else size
        for at in range(0, size, step):
            writer.write(data[at : at + step])
            await writer.drain()
            await asyncio.sleep(0)
        if kind == "coalesce":
            await asyncio.sleep(_GATHER_S)

    async def _harm(self, ways: list[asyncio.Task[bool]]) -> None:
        self._proxy.fates[self._plan.kind] += 1
        for task in ways:
            task.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        ends = (self._client[1], self._server[1])
        if self._plan.kind in ("cut", "close", "reset", "lag"):
            await self._end(ends)
            return
        if self._plan.kind == "half-open":
            self._server[1].transport.abort()
        if self._plan.kind == "half-close":
            await self._half_close()
            return
        with suppress(OSError):
            while await self._client[0].read(_BLOCK_BYTES):  # into the void, until the client gives up
                pass

    async def _half_close(self) -> None:
        """The server hears no more, and is heard until it closes too."""
        with suppress(OSError):
            self._server[1].write_eof()
            while data := await self._server[0].read(_BLOCK_BYTES):
                self._client[1].write(data)
                await self._client[1].drain()

    async def _end(self, ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        if self._plan.kind == "lag":
            await asyncio.sleep(_LAG_S)
        for end in ends:
            if self._plan.kind == "reset":
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            elif self._plan.kind == "close":
                end.close()
        if self._plan.kind == "close":
            await asyncio.gather(*(end.wait_closed() for end in ends), return_exceptions=True)
