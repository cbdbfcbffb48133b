"""A client that survives bad networks: `Client` feeds a server audio and gives back what it hears.

The audio waits in a bounded buffer until the server answers for it; lost connections are made again and the
session is resumed, or begun anew where the server left off, so that each word comes once and none is missing.

    import asyncio
    import sys

    from asrctl.audio.files import open_audio
    from asrctl.client import Client, Final, State


    async def transcribe(url: str, path: str) -> None:
        async with Client(url) as client:

            async def feed() -> None:
                with open_audio(path) as audio:
                    for samples in audio:  # float32, mono, 16 kHz
                        client.feed(samples)
                        await client.wait_unsent_below(16_000)  # not so with a microphone: it cannot wait
                client.finish()

            feeding = asyncio.create_task(feed())
            async for event in client:  # raises ServerError when the server is given up
                if isinstance(event, Final):
                    print(event.text)
                elif isinstance(event, State):
                    print(event, file=sys.stderr)  # such as "reconnecting 3/15 in 4 s, 12 s buffered"
            await feeding


    asyncio.run(transcribe("ws://127.0.0.1:8765", "talk.wav"))

`ClientOptions` says what is asked of the server, and how long it is tried. What goes over the wire
stands in asrctl/server/PROTOCOL.md.
"""

from asrctl.client.client import Client
from asrctl.client.inbox import Event
from asrctl.client.options import ClientOptions
from asrctl.client.replay import BufferOptions
from asrctl.client.state import Phase, State
from asrctl.policy.backoff import BackoffOptions
from asrctl.policy.breaker import BreakerOptions
from asrctl.protocol import Done, Dropped, Final, GoAway, Metrics, Partial, SpeechStarted, Status

__all__ = [
    "BackoffOptions",
    "BreakerOptions",
    "BufferOptions",
    "Client",
    "ClientOptions",
    "Done",
    "Dropped",
    "Event",
    "Final",
    "GoAway",
    "Metrics",
    "Partial",
    "Phase",
    "SpeechStarted",
    "State",
    "Status",
]
