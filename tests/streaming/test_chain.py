"""A chain of a streaming provider and tiny.en's real weights: fail-over in the middle of real speech."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from asrctl.audio.sample import SAMPLE_TEXT, sample_speech
from asrctl.audio.vad import SileroVad, SileroWeights
from asrctl.errors import ProviderError
from asrctl.events import Event, Final, Finished, Partial, ProviderChanged
from asrctl.providers.base import ModelSpec
from asrctl.providers.outbox import Outbox
from asrctl.providers.plugin import Serving, is_installed
from asrctl.providers.recognizer import Heard, Lost, Recognizer, Spoken, StreamRequest
from asrctl.streaming.fallback import Fallback
from asrctl.streaming.live import LiveStream
from asrctl.streaming.pooled import PooledRecognizer
from asrctl.streaming.stream import StreamOptions
from asrctl.workers.listener import ListenerOptions
from asrctl.workers.listeners import Listeners
from asrctl.workers.pool import WorkerPool
from tests.providers.small_gguf import write_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = [pytest.mark.integration, pytest.mark.anyio]

WORDS = SAMPLE_TEXT.split()
KEYS = [word.strip(".,").casefold() for word in WORDS]


class Reciter:
    """A `Recognizer` that knows the sample's words: it says them one after the other as the audio comes."""

    name, model, description, windows = "reciter", "script", "scripted", None

    def __init__(self) -> None:
        self.streams: list[Recital] = []

    def open(self, request: StreamRequest, say: Callable[[Spoken], None]) -> Recital:
        self.streams.append(Recital(request, say))
        return self.streams[-1]

    async def wait_ready(self) -> None:
        """It is."""

    def pids(self) -> list[int]:
        return []

    async def close(self) -> None:
        """Nothing to free."""

    def lose(self) -> None:
        """Its stream breaks."""
        self.streams[-1].outbox.say(Lost(ProviderError("it died"), 0))


class Recital:
    """A stream of a `Reciter`."""

    def __init__(self, request: StreamRequest, say: Callable[[Spoken], None]) -> None:
        self.outbox = Outbox(request, say)
        self.samples = 0

    def feed(self, samples: NDArray[np.float32]) -> None:
        self.samples += len(samples)
        count = len(WORDS) * self.samples // len(sample_speech())
        self.outbox.say(Heard(0, tuple(WORDS[:count]), (), self.samples))

    def pause(self, silence_s: float) -> None:
        """It is no hint for a script."""

    def end(self) -> None:
        """It never comes so far."""

    def drop(self, utterance: int) -> None:
        self.outbox.drop(utterance)

    def want_partials(self, interval_factor: float | None) -> None:
        self.outbox.want_partials(interval_factor is not None)

    def close(self) -> None:
        self.outbox.close()


@pytest.fixture
async def reserve(tiny_en: Path) -> AsyncIterator[Recognizer]:
    """tiny.en, loaded."""
    async with WorkerPool(ModelSpec("whisper_cpp", tiny_en, use_gpu=False)) as pool:
        await pool.wait_ready()
        yield PooledRecognizer("whisper_cpp", "tiny.en", pool, lambda: "")


async def heard(
    recognizer: Recognizer, lose: Callable[[], None], until: Callable[[str], bool]
) -> list[Event]:
    """The events of the sample, whose stream is lost once a partial of its first part is long enough."""
    audio = np.concatenate([sample_speech(), np.zeros(16_000, np.float32)])
    cut, events, text = len(sample_speech()) * 2 // 3, list[Event](), ""
    detector = SileroVad(SileroWeights.load())
    async with asyncio.timeout(60), LiveStream(detector, StreamOptions(), recognizer) as live:
        following = aiter(live)
        live.feed(audio[:cut])
        while not until(text):
            events.append(event := await anext(following))
            text = f"{event.stable} {event.unstable}" if isinstance(event, Partial) else text
        lose()
        live.feed(audio[cut:])
        live.finish()
        return [*events, *[event async for event in following]]


def check(events: list[Event]) -> None:
    """Every word once, from the reserve; nothing dropped, and text that was shown as stable stays."""
    said = [word.strip(".,").casefold() for event in events if isinstance(event, Final)
            for word in event.segment.text.split()]  # fmt: skip
    assert said == KEYS
    assert [event.provider for event in events if isinstance(event, ProviderChanged)] == ["whisper_cpp"]
    assert {event.provider for event in events if isinstance(event, Final)} == {"whisper_cpp"}
    (account,) = [event.account for event in events if isinstance(event, Finished)]
    assert account.dropped_samples == account.pending_samples == 0
    stable = [event.stable for event in events if isinstance(event, Partial)]
    assert all(later.startswith(earlier) for earlier, later in pairwise(stable))


@pytest.mark.parametrize("words", [1, 3, 4])
async def test_every_word_once_from_tiny_en(reserve: Recognizer, words: int) -> None:
    """A stream breaks after so many words; tiny.en hears the whole utterance from its first sample."""
    reciter = Reciter()
    events = await heard(Fallback([reciter, reserve]), reciter.lose, lambda text: len(text.split()) >= words)
    check(events)


@pytest.mark.skipif(not is_installed("transcribe_cpp"), reason="transcribe-cpp is not installed")
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are killed in another way")
async def test_a_killed_worker_of_the_library(reserve: Recognizer, tmp_path: Path) -> None:
    """The same with transcribe.cpp's own stream, of random weights, whose process is killed."""
    spec = ModelSpec("transcribe_cpp", write_model(tmp_path / "small.gguf"), use_gpu=False)
    listeners = Listeners(spec, "small", ListenerOptions(Serving(1, 1)))
    await listeners.wait_ready()
    try:
        (pid,) = listeners.pids()
        events = await heard(
            Fallback([listeners, reserve]),
            lambda: os.kill(pid, signal.SIGKILL),
            lambda text: bool(text.strip()),
        )
    finally:
        await listeners.close()
    said = [event for event in events if not isinstance(event, Partial)]  # gibberish was shown before
    check(said)
