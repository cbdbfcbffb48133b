"""A service that speaks Wyoming, over loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from asrctl.protocol.wyoming.framing import encode

from .brains import Broken, WyomingBrain


class WyomingServer:
    """Serves each connection with a brain of its own.

    Attributes:
        url: Where it is.
        brains: One for each connection.
        broken: What clients said that no server takes; must stay empty.
    """

    def __init__(self, brain: Callable[[], WyomingBrain] = WyomingBrain, greeting: bytes = b"") -> None:
        self._brain = brain
        self._greeting = greeting
        self.url = ""
        self.brains: list[WyomingBrain] = []
        self.broken: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        brain = self._brain()
        self.brains.append(brain)
        writer.write(self._greeting)
        try:
            while not brain.is_over and (data := await reader.read(1 << 16)):
                for event in brain.receive(data):
                    fields = {name: value for name, value in event.items() if name != "type"}
                    writer.write(encode(event["type"], fields))
                await writer.drain()
        except Broken as error:
            self.broken.append(str(error))
        except OSError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving_wyoming(server: WyomingServer) -> AsyncIterator[str]:
    """Run a server; gives its URL."""
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"wyoming://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener:
        yield server.url
    assert not server.broken
