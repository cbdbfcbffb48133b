"""Voxtral on its stand-in: recognisers with the settings of a test."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

from asrctl.policy.backoff import BackoffOptions
from asrctl.providers.recognizer import StreamRequest
from asrctl.providers.voxtral.recognizer import Voxtral
from asrctl.providers.voxtral.settings import VoxtralSettings

from .ears import Stream
from .voxtral_standin import install, make_weights

SOON = BackoffOptions(first_s=0.01, max_s=0.02, max_attempts=3)


def is_gone(pid: int) -> bool:
    """Whether there is no such process, not even a dead one nobody has reaped."""
    return not psutil.pid_exists(pid)


def is_over(pid: int) -> bool:
    """Whether it runs no more; somebody else is to reap it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    return True


def standin(
    directory: Path, changes: dict[str, Any] | None = None, restarts: BackoffOptions = SOON, **script: Any
) -> Voxtral:
    """A recogniser on a stand-in with a script, installed in `directory`; made in a running loop."""
    weights = directory / "voxtral-model"
    if not weights.exists():
        make_weights(weights)
    return Voxtral(install(directory, **script), weights, VoxtralSettings(**changes or {}), restarts)


@asynccontextmanager
async def closing(recognizer: Voxtral) -> AsyncIterator[Voxtral]:
    """Close it in the end."""
    try:
        yield recognizer
    finally:
        await recognizer.close()


async def open_stream(recognizer: Voxtral, asked: StreamRequest | None = None) -> Stream:
    """A stream on a process that is ready."""
    await recognizer.wait_ready()
    return Stream(recognizer, asked)


def pid_of(stream: Stream) -> int:
    """The process of a stream."""
    pid: int = stream.stream.pid  # type: ignore[attr-defined]
    return pid
