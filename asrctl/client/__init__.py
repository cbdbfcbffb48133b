"""A client that survives bad networks: it gives a server audio, and gives back what the server hears.

A file, with nothing but the standard library to read it:

    import sys
    import wave
    from collections.abc import Iterator

    from asrctl.client import Final, State, SyncClient


    def read(path: str) -> Iterator[bytes]:
        with wave.open(path) as wav:
            if wav.getparams()[:3] != (1, 2, 16_000):
                raise ValueError("expected mono, 16 bit, 16 kHz")
            while data := wav.readframes(1600):
                yield data


    def transcribe(url: str, path: str) -> None:
        with SyncClient(url, source=read(path)) as client:
            for event in client:  # raises ServerError when the server is given up
                if isinstance(event, Final):
                    print(event.text)
                elif isinstance(event, State):
                    print(event, file=sys.stderr)  # such as "reconnecting 3/15 in 4 s"


    transcribe("ws://127.0.0.1:8765", "talk.wav")

A `source` is read as fast as the server takes it. A microphone cannot wait: its audio is fed, as it comes,
and kept in a bounded buffer until the server answers for it. In an event loop:

    import asyncio
    from collections.abc import AsyncIterator

    from asrctl.client import Client, Final


    async def listen(url: str, microphone: AsyncIterator[bytes]) -> None:
        async with Client(url) as client:

            async def feed() -> None:
                async for data in microphone:  # 16-bit PCM, or an array of float32: mono, 16 kHz
                    client.feed(data)
                client.finish()

            feeding = asyncio.create_task(feed())
            async for event in client:
                if isinstance(event, Final):
                    print(event.text)
            await feeding

Lost connections are made again, and the session is resumed, or restarted where the server left off, so that
each word comes once and none is missing. `ClientOptions` says what is asked of the server, and how long it is
tried. Text of a server is foreign text: `safe_text` makes it safe for a terminal. The wire protocol stands in
asrctl/server/PROTOCOL.md.
"""

from asrctl.client.client import Client
from asrctl.client.inbox import Event
from asrctl.client.options import ClientOptions
from asrctl.client.replay import BufferOptions
from asrctl.client.source import Source
from asrctl.client.state import Phase, State
from asrctl.client.sync import SyncClient
from asrctl.network.text import safe_text
from asrctl.policy.backoff import BackoffOptions
from asrctl.policy.breaker import BreakerOptions
from asrctl.protocol.endpointing import Endpointing
from asrctl.protocol.messages import (
    Done,
    Dropped,
    Final,
    GoAway,
    Metrics,
    Partial,
    SpeechEnded,
    SpeechStarted,
    Status,
)

__all__ = [
    "BackoffOptions",
    "BreakerOptions",
    "BufferOptions",
    "Client",
    "ClientOptions",
    "Done",
    "Dropped",
    "Endpointing",
    "Event",
    "Final",
    "GoAway",
    "Metrics",
    "Partial",
    "Phase",
    "Source",
    "SpeechEnded",
    "SpeechStarted",
    "State",
    "Status",
    "SyncClient",
    "safe_text",
]
