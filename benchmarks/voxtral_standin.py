"""The stand-in for voxtral that its benchmarks run on, and what is said to it."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrctl.policy.backoff import BackoffOptions
from asrctl.providers.voxtral.recognizer import Voxtral
from tests.providers import voxtrals
from tests.providers.voxtrals import closing

_WORDS = range(3, 16)
LOAD_S = 1.0
RESTARTS = BackoffOptions(max_attempts=5)

Numbers = tuple[int, ...]
"""Words of an utterance, as `speak` takes them."""


@dataclass(frozen=True, slots=True)
class Standin:
    """Voxtral on its stand-in, the program and weights of which are in a directory with its log."""

    recognizer: Voxtral
    directory: Path

    @property
    def log(self) -> list[dict[str, Any]]:
        """What its processes logged."""
        return [json.loads(line) for line in (self.directory / "log").read_text().splitlines()]


@asynccontextmanager
async def standin(
    step_ms: float, load_s: float = LOAD_S, restarts: BackoffOptions = RESTARTS
) -> AsyncIterator[Standin]:
    """A stand-in that takes so long for a token; ready."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        script: dict[str, Any] = {"load_s": load_s, "step_s": step_ms / 1000, "log": str(directory / "log")}
        async with closing(voxtrals.standin(directory, restarts=restarts, **script)) as recognizer:
            await recognizer.wait_ready()
            yield Standin(recognizer, directory)


def utterances(count: int, dice: random.Random) -> list[Numbers]:
    """Random words, none of them twice."""
    numbers = iter(dice.sample(range(4096), 4096))
    return [tuple(next(numbers) for _ in range(dice.choice(_WORDS))) for _ in range(count)]


def text_of(numbers: Numbers) -> str:
    """What is to be heard."""
    return " ".join(f"w{number}" for number in numbers)
