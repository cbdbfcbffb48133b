"""Bare connections for attackers: bytes, HTTP, WebSocket frames, events of Wyoming."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

_UPGRADES = {
    "stream": ("/v1/stream", "Sec-WebSocket-Protocol: asrctl.v1\r\n"),
    "session": ("/v1/stream", "Sec-WebSocket-Protocol: asrctl.v1\r\n"),
    "realtime": ("/v1/realtime?intent=transcription", ""),
    "listen": ("/v1/listen?encoding=linear16&sample_rate=16000", ""),
}
START = {"type": "start", "format": {}}
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_READ_BYTES = 1 << 16
_ANSWER_S = 10.0


@dataclass(frozen=True, slots=True)
class Target:
    """Where the server is, and how long an attack goes on.

    Attributes:
        web: The port of HTTP and WebSocket.
        wyoming: That of Wyoming.
        busy_s: How long attacks without an end of their own go on.
    """

    web: int
    wyoming: int
    busy_s: float


@dataclass(slots=True)
class Link:
    """One attacker's connection.

    Attributes:
        target: The server.
        reader: What comes; nothing is read unless an attack does.
        writer: What goes.
        dice: Seeded.
        opened_s: When it was made.
        answer: The head of the answer to the handshake.
        refused: Whether the server turned the handshake away.
    """

    target: Target
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    dice: random.Random
    opened_s: float = field(default_factory=time.monotonic)
    answer: bytes = b""
    refused: bool = False

    @property
    def port(self) -> int:
        """Ours, by which the server's side is found."""
        return int(self.writer.get_extra_info("sockname")[1])

    @property
    def busy(self) -> bool:
        """Whether to go on."""
        over = time.monotonic() - self.opened_s > self.target.busy_s
        return not over and not self.writer.is_closing()

    async def send(self, data: bytes) -> None:
        """Send; waits as TCP does, and raises OSError once the server has had enough."""
        self.writer.write(data)
        await self.writer.drain()
        await asyncio.sleep(0)

    async def flood(self, data: bytes) -> None:
        """The same again and again, as fast as it goes."""
        while self.busy:
            await self.send(data)

    async def drip(self, data: bytes, every_s: float = 0.2) -> None:
        """A byte at a time, round and round."""
        at = 0
        while self.busy:
            await self.send(data[at % len(data) :][:1])
            at += 1
            await asyncio.sleep(every_s)

    async def read_all(self) -> bytes:
        """Read until the server closes."""
        data = b""
        with suppress(OSError):
            while piece := await self.reader.read(_READ_BYTES):
                data = (data + piece)[-_READ_BYTES:]
        return data

    async def message(self, value: object) -> None:
        """A message of JSON."""
        await self.send(frame(TEXT, value.encode() if isinstance(value, str) else json.dumps(value).encode()))

    async def binary(self, data: bytes) -> None:
        """A message of audio."""
        await self.send(frame(BINARY, data))

    async def event(self, kind: str, data: object = None, payload: bytes = b"", **more: object) -> None:
        """An event of Wyoming."""
        await self.send(event(kind, data, payload, **more))

    async def another(self, door: str) -> Link:
        """A further connection to the same server."""
        return await open_link(self.target, door, self.dice)

    def close(self) -> None:
        """Reset."""
        self.writer.transport.abort()


def frame(
    opcode: int,
    payload: bytes,
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    says: int | None = None,
) -> bytes:
    """A WebSocket frame; `says` is the length in its header, where that is a lie. The mask is zeros."""
    size = len(payload) if says is None else says
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit = 0x80 if masked else 0
    if size < 126:
        head += bytes([bit | size])
    elif size < 1 << 16:
        head += bytes([bit | 126]) + struct.pack("!H", size)
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", size)
    return head + (bytes(4) if masked else b"") + payload


def event(kind: str, data: object = None, payload: bytes = b"", **more: object) -> bytes:
    """An event of Wyoming; `more` goes into its header, also lies."""
    body = json.dumps(data).encode() if data is not None else b""
    head: dict[str, object] = {"type": kind, "version": "1.5.0"}
    head |= {"data_length": len(body)} if body else {}
    head |= {"payload_length": len(payload)} if payload else {}
    return json.dumps(head | more).encode() + b"\n" + body + payload


def upgrade(door: str, more: str = "", key: str | None = None, version: int = 13) -> bytes:
    """A request for a WebSocket at a door."""
    path, extra = _UPGRADES[door]
    secret = base64.b64encode(os.urandom(16)).decode() if key is None else key
    lines = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    lines += f"Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: {secret}\r\n{extra}{more}\r\n"
    return lines.encode()


def post(
    path: str, length: int | None, kind: str = "multipart/form-data; boundary=x", more: str = ""
) -> bytes:
    """The head of an upload; without a length it is chunked."""
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    lines = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n{size}\r\n{more}\r\n"
    return lines.encode()


def part(name: str = "file", content: bytes = b"", filename: str = "a.wav") -> bytes:
    """The beginning of a part of a form, with its content."""
    shown = f'; filename="{filename}"' if filename else ""
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{shown}\r\n\r\n'.encode() + content


async def open_link(target: Target, door: str, dice: random.Random) -> Link:
    """Connect, and for a door that is a WebSocket shake hands. Raises OSError."""
    port = target.wyoming if door == "wyoming" else target.web
    link = Link(target, *await asyncio.open_connection("127.0.0.1", port, limit=_READ_BYTES), dice)
    if door not in _UPGRADES:
        return link
    try:
        await link.send(upgrade(door))
        link.answer = await asyncio.wait_for(link.reader.readuntil(b"\r\n\r\n"), _ANSWER_S)
    except (OSError, EOFError, TimeoutError):
        link.refused = True
        return link
    link.refused = b" 101 " not in link.answer
    if door == "session" and not link.refused:
        await link.message(START)
    return link


@asynccontextmanager
async def linked(target: Target, door: str, dice: random.Random) -> AsyncIterator[Link]:
    """The same in a block, at whose end it is gone."""
    link = await open_link(target, door, dice)
    try:
        yield link
    finally:
        link.close()
