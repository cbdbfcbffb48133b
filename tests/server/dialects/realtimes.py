"""A bare client of `/v1/realtime`."""

from __future__ import annotations

import base64
import json
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from ..servers import PATIENCE_S, Running, open_socket

NULL: dict[str, Any] = {
    "type": "transcription",
    "audio": {"input": {"format": {"type": "audio/pcm", "rate": 16_000}, "turn_detection": None}},
}


class RealtimeClient:
    """Sends events, and collects those of the server."""

    def __init__(self, server: Running, query: str = "?intent=transcription", **more: Any) -> None:
        more.setdefault("subprotocols", None)
        url = f"ws://127.0.0.1:{server.server.port}/v1/realtime{query}"
        self.socket: ClientConnection = open_socket(url, max_queue=None, **more)
        self.events: list[dict[str, Any]] = []
        self.close_code: int | None = None

    def send(self, kind: str, **fields: Any) -> None:
        self.socket.send(json.dumps({"type": kind, **fields}))

    def append(self, data: bytes) -> None:
        self.send("input_audio_buffer.append", audio=base64.b64encode(data).decode())

    def receive(self) -> bool:
        """Take one event; False if the socket was closed."""
        try:
            text = self.socket.recv(timeout=PATIENCE_S)
        except ConnectionClosed as closed:
            self.close_code = closed.rcvd.code if closed.rcvd else None
            return False
        self.events.append(json.loads(text))
        return True

    def until(self, kind: str, count: int = 1) -> dict[str, Any]:
        """The event of a kind, counted from the first of all."""
        while len(self.of(kind)) < count:
            assert self.receive(), f"closed with {self.close_code}"
        return self.of(kind)[count - 1]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [each for each in self.events if each["type"].endswith(kind)]

    @property
    def transcripts(self) -> list[str]:
        return [each["transcript"] for each in self.of(".completed")]

    def drain(self) -> int | None:
        """Everything up to the close frame; its code."""
        while self.receive():
            pass
        return self.close_code
