"""Requests with files, as clients of several kinds make them."""

from __future__ import annotations

import io
import socket
import wave
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from asrctl_tests.scripted import speak

from ...streaming.speech import silence
from ..servers import PATIENCE_S, Running, pcm

TRANSCRIPTIONS = "/v1/audio/transcriptions"
BOUNDARY = "a-boundary"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def wav(samples: NDArray[np.float32], rate_hz: int = 16_000) -> bytes:
    """A WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate_hz)
        writer.writeframes(pcm(samples))
    return file.getvalue()


def said(*utterances: list[int]) -> NDArray[np.float32]:
    """Words, with a pause after each list of them."""
    pieces = [np.concatenate((speak(numbers), silence(1.0))) for numbers in utterances]
    return np.concatenate((silence(0.3), *pieces))


HELLO = wav(said([1, 2, 3], [4, 5]))
WORDS = "w1 w2 w3 w4 w5"
LONG = wav(said(*([number, number + 1] * 15 for number in range(0, 40, 2))))
"""Twenty utterances of 6 s, so that one window holds one of them."""


def client(server: Running, **options: Any) -> httpx.Client:
    """A client of the server, to be closed by the caller."""
    base = f"http://127.0.0.1:{server.server.port}"
    options.setdefault("verify", False)  # reading the certificates of all authorities takes 20 ms
    return httpx.Client(base_url=base, trust_env=False, timeout=PATIENCE_S, **options)


def post(
    server: Running,
    path: str = TRANSCRIPTIONS,
    file: bytes | None = HELLO,
    name: str = "file",
    headers: dict[str, str] | None = None,
    **fields: Any,
) -> httpx.Response:
    """Post a form with a file."""
    with client(server) as http:
        files = None if file is None else {name: ("audio.bin", file)}
        return http.post(path, data=fields, files=files, headers=headers or {})


def form(*parts: tuple[str, bytes, str | None]) -> bytes:
    """A form of (name, value, file name) in this order, as curl writes it."""
    body = b""
    for name, value, filename in parts:
        more = (
            "" if filename is None else f'; filename="{filename}"\r\nContent-Type: application/octet-stream'
        )
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
        body += head.encode() + value + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


class Raw:
    """A connection for what well-behaved clients do not do."""

    def __init__(self, server: Running) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.server.port), timeout=PATIENCE_S)

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *unused: object) -> None:
        self.socket.close()

    def start(self, headers: str, path: str = TRANSCRIPTIONS, method: str = "POST") -> None:
        """Send the head of a request."""
        self.socket.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n".encode())

    def send(self, data: bytes) -> None:
        """Send some of its body."""
        self.socket.sendall(data)

    def read(self, until: bytes = b"") -> bytes:
        """What the server answers, up to some bytes, or to its end."""
        data = b""
        while not until or until not in data:
            try:
                piece = self.socket.recv(65536)
            except ConnectionResetError:
                break
            if not piece:
                break
            data += piece
        return data
