"""Servers that speak `asrctl.v1` and lie, and what becomes of asrctl's own client and of its audio."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
import wave
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from asrctl.client import BackoffOptions, BreakerOptions, Client, ClientOptions
from asrctl.errors import ServerError
from asrctl.transcript import SAMPLE_RATE_HZ

MOST_LINKS = 15
MOST_S = 60.0
_SAMPLES = SAMPLE_RATE_HZ
_CHUNK = 800
_OPTIONS = ClientOptions(
    backoff=BackoffOptions(first_s=0.01, max_s=0.05, max_attempts=MOST_LINKS),
    breaker=BreakerOptions(open_s=0.05),
    wait_for_server_s=0.0,
    finish_timeout_s=1.0,
    connect_timeout_s=1.0,
    keepalive_s=1.0,
)
"""The client's own bounds, with its waits shortened."""

Say = Callable[..., Awaitable[None]]
Liar = Callable[[ServerConnection, Say], Awaitable[None]]
LIARS: list[Liar] = []
_READY: dict[str, object] = {
    "session_id": "a",
    "resume_token": "b",
    "audio_offset": 0,
    "resume_ttl_s": 60.0,
    "window_samples": 1_000_000,
    "limits": {},
    "model": "m",
    "provider": "p",
    "level": 0,
}
_FINAL: dict[str, object] = {
    "utterance": 0,
    "start_s": 0.0,
    "end_s": 0.1,
    "text": "x",
    "confidence": 1.0,
    "id": 1,
    "from": 0,
    "to": 1600,
}
_DONE: dict[str, object] = {"received_s": 1.0, "speech_s": 1.0, "silence_s": 0.0, "dropped_s": 0.0}


@dataclass(frozen=True, slots=True)
class Lied:
    """How the client stood one server.

    Attributes:
        name: Of the lie.
        links: Connections that the client made.
        took_s: Until it had ended.
        end: Its error, "done" or "still running".
        fed_samples: What it had been given by then.
        kept_samples: In the files that it left.
        answered_samples: What the server had answered for by the rules.
    """

    name: str
    links: int
    took_s: float
    end: str
    fed_samples: int
    kept_samples: int
    answered_samples: int

    @property
    def broken(self) -> list[str]:
        """The promises that were broken."""
        checks = {
            "it hangs": self.end == "still running",
            f"{self.links} connections": self.links > MOST_LINKS,
            "it takes the lie for the end": self.end == "done",
            f"a fault of its own: {self.end}": "bug" in self.end or "client failed" in self.end,
            f"{self.kept_samples} of {self.fed_samples} samples kept": self.kept_samples
            < self.fed_samples - self.answered_samples,
        }
        return [name for name, is_broken in checks.items() if is_broken]


def _liar(lie: Liar) -> Liar:
    LIARS.append(lie)
    return lie


async def _audio(socket: ServerConnection, messages: int = 1) -> None:
    """Wait for so many messages of audio."""
    while messages:
        messages -= isinstance(await socket.recv(), bytes)


@_liar
async def acks_beyond_what_was_sent(socket: ServerConnection, say: Say) -> None:
    """All that the client will ever send is committed already."""
    await say("ready")
    await _audio(socket)
    await say("ack", received=10 * _SAMPLES, committed=10 * _SAMPLES)


@_liar
async def acks_going_backwards(socket: ServerConnection, say: Say) -> None:
    """What was received is not any more."""
    await say("ready")
    await _audio(socket, 3)
    await say("ack", received=1600, committed=0)
    await say("ack", received=800, committed=0)


@_liar
async def commits_more_than_it_received(socket: ServerConnection, say: Say) -> None:
    """The end is before the beginning."""
    await say("ready")
    await _audio(socket, 3)
    await say("ack", received=0, committed=800)


@_liar
async def finals_of_audio_to_come(socket: ServerConnection, say: Say) -> None:
    """It knows what will be said."""
    await say("ready")
    await _audio(socket)
    await say("final", **_FINAL | {"to": 1 << 40})


@_liar
async def finals_again_and_again(socket: ServerConnection, say: Say) -> None:
    """An utterance that nobody began, a hundred times, with ids that repeat."""
    await say("ready")
    await _audio(socket, 3)
    for _ in range(100):
        await say("final", **_FINAL | {"utterance": 99})


@_liar
async def done_without_an_account(socket: ServerConnection, say: Say) -> None:
    """It is over, and nothing is said of the audio."""
    await say("ready")
    await _audio(socket)
    await say("done")


@_liar
async def done_at_once(socket: ServerConnection, say: Say) -> None:
    """It is over before the client has ended, at a position that is too low."""
    await say("ready")
    await _audio(socket)
    await say("done", audio_offset=0, last_event_id=1, id=1, **_DONE)


@_liar
async def wrong_sample_counts(socket: ServerConnection, say: Say) -> None:
    """It received a year."""
    await say("ready")
    await _audio(socket)
    await say("done", audio_offset=1 << 40, last_event_id=1, id=1, **_DONE | {"received_s": 3e7})


@_liar
async def ready_again_and_again(socket: ServerConnection, say: Say) -> None:
    """It is ready, and nothing else."""
    while True:
        await say("ready")
        await asyncio.sleep(0)


@_liar
async def ready_in_the_middle(socket: ServerConnection, say: Say) -> None:
    """It wants audio that is years away."""
    await say("ready", audio_offset=1 << 45)


@_liar
async def closes_at_once(socket: ServerConnection, say: Say) -> None:
    """Each socket is closed as soon as it is open."""
    await socket.close(1012)


@_liar
async def ready_and_closed(socket: ServerConnection, say: Say) -> None:
    """Each is closed as soon as it is ready."""
    await say("ready")
    await socket.close(1012)


@_liar
async def cut_after_some_audio(socket: ServerConnection, say: Say) -> None:
    """Each is cut in the middle, and its session forgotten."""
    await say("ready")
    await _audio(socket, 2)
    socket.transport.abort()


@_liar
async def garbage(socket: ServerConnection, say: Say) -> None:
    """No JSON."""
    await socket.send("{" * 1000)


@_liar
async def garbage_after_ready(socket: ServerConnection, say: Say) -> None:
    """JSON of another kind."""
    await say("ready")
    await _audio(socket)
    await socket.send('{"type": ["final"], "id": NaN}')


@_liar
async def huge_messages(socket: ServerConnection, say: Say) -> None:
    """A message of 9 MiB."""
    await say("ready")
    await socket.send("x" * (9 << 20))


@_liar
async def never_ready(socket: ServerConnection, say: Say) -> None:
    """It takes the connection, and says nothing."""
    await socket.wait_closed()


@_liar
async def never_answers(socket: ServerConnection, say: Say) -> None:
    """It is ready, and says nothing more."""
    await say("ready")
    await socket.wait_closed()


@_liar
async def wants_no_audio(socket: ServerConnection, say: Say) -> None:
    """It has a window of nothing."""
    await say("ready", window_samples=0)
    await socket.wait_closed()


@_liar
async def full_for_ever(socket: ServerConnection, say: Say) -> None:
    """Overloaded, each time."""
    await say("error", code="overload", message="full", retry_after_s=0.01)
    await socket.close(1013)


async def lied_to(lie: Liar) -> Lied:
    """Have one server lie to a client that says a second of audio."""
    links = 0

    async def lying(socket: ServerConnection) -> None:
        nonlocal links
        links += 1

        async def say(kind: str, **fields: object) -> None:
            await socket.send(json.dumps({"type": kind, **(_READY if kind == "ready" else {}), **fields}))

        try:
            await socket.recv()
            await lie(socket, say)
            async for _ in socket:
                pass
        except ConnectionClosed:
            pass

    with tempfile.TemporaryDirectory() as directory:
        protocols = [Subprotocol("asrctl.v1")]
        async with serve(lying, "127.0.0.1", 0, subprotocols=protocols, max_size=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            began_s = time.monotonic()
            end, fed = await _end_of_client(f"ws://127.0.0.1:{port}", Path(directory))
            took_s = time.monotonic() - began_s
        kept = sum(_samples(path) for path in Path(directory).glob("*.wav"))
    answered = 1600 if lie is finals_again_and_again else 0
    name = lie.__name__.replace("_", " ")
    return Lied(name, links, took_s, end, fed, kept, answered)


async def _end_of_client(url: str, directory: Path) -> tuple[str, int]:
    """Feed for a while, and tell how it ended, and how much was fed."""
    fed = 0

    async def feed(client: Client) -> None:
        nonlocal fed
        audio = np.full(_CHUNK, 0.1, np.float32)
        for _ in range(_SAMPLES // _CHUNK):
            client.feed(audio)
            fed += _CHUNK
            await asyncio.sleep(_CHUNK / SAMPLE_RATE_HZ / 4)
        client.finish()

    try:
        async with (
            asyncio.timeout(MOST_S),
            Client(url, replace(_OPTIONS, salvage_dir=directory)) as client,
        ):
            feeding = asyncio.create_task(feed(client))
            try:
                async for _ in client:
                    pass
            finally:
                feeding.cancel()
                await asyncio.gather(feeding, return_exceptions=True)
    except ServerError as error:
        return str(error), fed
    except TimeoutError:
        return "still running", fed
    return "done", fed


def _samples(path: Path) -> int:
    with wave.open(str(path)) as wav:
        return int(wav.getnframes())


async def lies(only: str = "") -> list[Lied]:
    """All of them at once, each to a client of its own."""
    chosen = [lie for lie in LIARS if only in lie.__name__.replace("_", " ")]
    return list(await asyncio.gather(*map(lied_to, chosen)))
