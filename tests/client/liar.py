"""A server that says what it is told to, whatever its client sends."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from asrctl.protocol.codec import encode
from asrctl.protocol.codes import SUBPROTOCOL
from asrctl.protocol.messages import Limits, Ready

Lie = dict[str, Any]
READY = Ready("id", "token", 0, 60.0, 1_000_000, Limits(), "model", "provider", 0)


@asynccontextmanager
async def saying(*lies: Lie | str | bytes, ready: Ready = READY, patient: bool = True) -> AsyncIterator[str]:
    """A server that is ready, takes some audio, says its lies, and then nothing, but answers pings."""

    async def lie(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(encode(ready))
        while patient and not isinstance(await socket.recv(), bytes):
            pass
        for each in lies:
            await socket.send(json.dumps(each) if isinstance(each, dict) else each)
        async for _ in socket:
            pass

    async with serve(lie, "127.0.0.1", 0, subprotocols=[Subprotocol(SUBPROTOCOL)]) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
