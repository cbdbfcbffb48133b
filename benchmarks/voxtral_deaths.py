"""What becomes of the words when voxtral's processes are killed in the middle of live sessions."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from asrctl.events import Event, Final, Finished, ProviderChanged
from asrctl.policy.backoff import BackoffOptions
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.providers.voxtral.recognizer import Voxtral
from asrctl.streaming.fallback import Fallback
from asrctl.streaming.pooled import PooledRecognizer
from asrctl.streaming.session import Session
from asrctl.streaming.stream import StreamOptions
from asrctl.workers.options import HealthCheck, PoolOptions
from asrctl.workers.pool import WorkerPool
from asrctl_tests.scripted import speak
from benchmarks.voxtral_standin import Numbers, standin, text_of, utterances
from tests.streaming.speech import LevelDetector, silence

_PATIENCE_S = 60.0
_LOAD_S = 0.05
_STEP_MS = 1.0
_UTTERANCES = 4
_WITHIN_S = 0.4


async def deaths(count: int, dice: random.Random) -> dict[str, Any]:
    """Kill streams' processes at random moments of live sessions that have another provider to fall back on.

    Returns:
        How many processes were killed, and how many utterances had each word once, in order, with all audio
        accounted for.
    """
    restarts = BackoffOptions(first_s=0.02, max_s=0.1, max_attempts=10)
    killed, good, total, changes = 0, 0, 0, 0
    async with standin(_STEP_MS, _LOAD_S, restarts) as found, pool(found.directory) as reserve:
        while killed < count:
            await found.recognizer.wait_ready()
            spoken = utterances(_UTTERANCES, dice)
            session = LiveSession(found.recognizer, reserve)
            await session.run(spoken, dice)
            killed += session.killed
            total += len(spoken)
            changes += session.changes
            words = " ".join(map(text_of, spoken)).split()
            good += len(spoken) if " ".join(session.texts).split() == words and session.whole else 0
    return {"killed": killed, "utterances": total, "good": good, "provider_changes": changes}


@asynccontextmanager
async def pool(directory: Path) -> AsyncIterator[PooledRecognizer]:
    """A pool that hears the same words."""
    script = directory / "words.json"
    script.write_text("{}")
    health = HealthCheck(speak([1, 2, 3]), frozenset({"w1", "w2", "w3"}), DecodeOptions())
    spec = ModelSpec("scripted", script, use_gpu=False)
    async with WorkerPool(spec, PoolOptions(health=health)) as workers:
        await workers.wait_ready()
        yield PooledRecognizer("scripted", "words", workers, lambda: "")


class LiveSession:
    """A session at full speed, the first process of which is killed (kill -9) after a while."""

    def __init__(self, voxtral: Voxtral, reserve: PooledRecognizer) -> None:
        self._voxtral = voxtral
        self._recognizer = Fallback([voxtral, reserve])
        self._started = asyncio.Event()
        self.texts: list[str] = []
        self.changes = 0
        self.killed = False
        self.whole = False

    async def run(self, spoken: Sequence[Numbers], dice: random.Random) -> None:
        """Say the utterances, and wait for the end."""
        options = StreamOptions()
        async with Session(LevelDetector(), options, self._recognizer, self._listen) as session:
            killing = asyncio.create_task(self._kill(session, dice.uniform(0.0, _WITHIN_S)))
            for numbers in spoken:
                for part in (silence(dice.uniform(0.6, 1.5)), speak(numbers), silence(0.6)):
                    session.feed(part)
            session.finish()
            async with asyncio.timeout(_PATIENCE_S):
                await session.wait_ended()
            killing.cancel()
            await asyncio.gather(killing, return_exceptions=True)

    def _listen(self, event: Event) -> None:
        self._started.set()
        self.changes += isinstance(event, ProviderChanged)
        if isinstance(event, Final):
            self.texts.append(event.segment.text)
        elif isinstance(event, Finished):
            self.whole = event.account.dropped_samples == event.account.pending_samples == 0

    async def _kill(self, session: Session, after_s: float) -> None:
        """Kill the stream's process, which is the first of all; if the session is over by then, none."""
        await self._started.wait()
        await asyncio.sleep(after_s)
        if not session.ended:
            for pid in self._voxtral.pids()[:1]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.killed = True
