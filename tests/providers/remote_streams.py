"""What tests of remote streams share: settings that wait for nothing, and streams of recognisers."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from asrctl.policy.backoff import BackoffOptions
from asrctl.providers.base import DecodeOptions
from asrctl.providers.remote.recognizer import RemoteRecognizer
from asrctl.providers.remote.settings import RemoteSettings

from .ears import PATIENCE_S, Stream, request

KEY = "sk-very-secret-0123456789"
IMPATIENT = BackoffOptions(first_s=0.005, max_s=0.02, max_attempts=10_000)


def settings(url: str, dialect: Any = "auto", **changes: Any) -> RemoteSettings:
    """Settings that try long."""
    chosen: dict[str, Any] = {"api_key": KEY, "outage_s": PATIENCE_S, "restart_s": PATIENCE_S}
    return RemoteSettings(url, dialect, **({"model": "words"} | chosen | changes))


@asynccontextmanager
async def recognizer(
    chosen: RemoteSettings, backoff: BackoffOptions = IMPATIENT, **more: Any
) -> AsyncIterator[RemoteRecognizer]:
    """A recogniser that tries again at once; it is closed in the end."""
    remote = RemoteRecognizer(chosen, backoff, **more)
    try:
        yield remote
    finally:
        await remote.close()


@asynccontextmanager
async def open_stream(
    chosen: RemoteSettings, decode: DecodeOptions | None = None, backoff: BackoffOptions = IMPATIENT
) -> AsyncIterator[Stream]:
    """A stream of a recogniser of its own."""
    async with recognizer(chosen, backoff) as remote:
        yield Stream(remote, request(decode))


async def talk(stream: Stream, chance: random.Random, over: Callable[[], bool], ahead: int = 3) -> list[str]:
    """Say one utterance after the other until it is `over`, at most so many ahead; what they say."""
    texts: list[str] = []
    while not over():
        numbers = [chance.randrange(200) for _ in range(chance.randint(1, 5))]
        stream.utter(*numbers, chunk=chance.choice([320, 1_600, 8_000]))
        texts.append(" ".join(f"w{number}" for number in numbers))
        await stream.ear.wait(lambda: len(stream.ear.completed) >= len(texts) - ahead)
    await stream.ear.wait_completed(len(texts))
    return texts
