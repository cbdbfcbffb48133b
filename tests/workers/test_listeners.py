"""Streams in worker processes: room, faults, and every word once whatever dies; words are a script's."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrctl.errors import DecodeError, ModelError, ProviderError, WorkerTimeout
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.providers.plugin import Serving
from asrctl.streaming.fallback import Fallback
from asrctl.workers.listener import ListenerOptions, stable_words
from asrctl.workers.listeners import Listeners
from asrctl.workers.options import HealthCheck
from asrctl_tests.scripted import speak
from tests.providers.ears import Ear, Stream, in_loop, request, until

CHUNK_SAMPLES = 1600
GONE = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are killed in another way")


def words(numbers: Iterable[int]) -> str:
    return " ".join(f"w{number}" for number in numbers)


@asynccontextmanager
async def listeners(
    tmp_path: Path, script: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[Listeners]:
    """A recogniser whose script is as given, and ready unless it does not load."""
    path = tmp_path / "script.json"
    path.write_text(json.dumps(script or {}))
    made = Listeners(ModelSpec("scripted", path), "script", ListenerOptions(**options))
    try:
        yield made
    finally:
        await made.close()
    assert made.pids() == []


def few(streams: int, per_worker: int, **more: Any) -> dict[str, Any]:
    return {"serving": Serving(streams, per_worker, **more)}


@pytest.mark.parametrize(
    ("committed", "tentative", "stable", "unstable"),
    [
        ("", "", (), ()),
        ("one two", " three", ("one", "two"), ("three",)),
        ("one two", "", ("one",), ("two",)),
        ("one tw", "o three", ("one",), ("two", "three")),
        ("one ", "two", ("one",), ("two",)),
        ("", "one", (), ("one",)),
    ],
)
def test_stable_words(
    committed: str, tentative: str, stable: tuple[str, ...], unstable: tuple[str, ...]
) -> None:
    """A word whose end is not committed is not stable."""
    assert stable_words(committed, tentative) == (stable, unstable)


@in_loop
async def test_committed_words_are_stable(tmp_path: Path) -> None:
    """Partials grow as the audio comes, in small chunks; what is committed stays."""
    async with listeners(tmp_path) as recognizer:
        await recognizer.wait_ready()
        stream = Stream(recognizer)
        audio = speak(range(6))
        for at in range(0, len(audio), CHUNK_SAMPLES):
            stream.feed(audio[at : at + CHUNK_SAMPLES])
            await asyncio.sleep(0.002)
        stream.end()
        assert await stream.ear.wait_completed(1) == [words(range(6))]
        said = [heard.stable for heard in stream.ear.heard(0)]
        assert said and all(later[: len(one)] == one for one, later in pairwise(said))
        assert max(heard.samples for heard in stream.ear.heard(0)) <= len(audio)
        stream.close()


@in_loop
async def test_one_stream_too_many(tmp_path: Path) -> None:
    """Processes are started as they are needed, up to the limit; then a stream is refused."""
    async with listeners(tmp_path, **few(3, 1)) as recognizer:
        streams = list[Stream]()
        while len(streams) < 3:
            await until(
                lambda: any(keeper.process and keeper.process.has_room for keeper in recognizer._keepers)
            )
            streams.append(Stream(recognizer))
        assert recognizer.streams == 3 and len(recognizer.pids()) == 3
        with pytest.raises(ProviderError, match=r"3 streams already: as many as \[scripted\] max_streams"):
            recognizer.open(request(), Ear())
        for number, stream in enumerate(streams):
            stream.feed(speak([number]))
            stream.end()
        for number, stream in enumerate(streams):
            assert await stream.ear.wait_completed(1) == [f"w{number}"]
        streams.pop().close()
        again = Stream(recognizer)
        again.feed(speak([7]))
        again.end()
        assert await again.ear.wait_completed(1) == ["w7"]
        for stream in (*streams, again):
            stream.close()


@in_loop
async def test_a_refused_utterance_alone_fails(tmp_path: Path) -> None:
    """Those before and behind it in the stream are recognised."""
    async with listeners(tmp_path, {"refuse_on": ["w5"]}) as recognizer:
        await recognizer.wait_ready()
        stream = Stream(recognizer)
        for number in (4, 5, 6):
            stream.feed(speak([number]))
            stream.end()
        await stream.ear.wait_completed(2)
        assert stream.ear.texts == ["w4", "w6"]
        (failed,) = stream.ear.failed
        assert failed.utterance == 1 and isinstance(failed.error, DecodeError)
        stream.close()


@in_loop
async def test_a_closed_stream_lets_go_of_what_hangs(tmp_path: Path) -> None:
    """Its model is cancelled in the middle of a feed, and the next stream has it."""
    async with listeners(tmp_path, {"hang_on": ["w1"]}, **few(1, 1)) as recognizer:
        await recognizer.wait_ready()
        stream = Stream(recognizer)
        stream.feed(speak([1]))
        await asyncio.sleep(0.05)
        stream.close()
        again = Stream(recognizer)
        again.feed(speak([2]))
        again.end()
        assert await again.ear.wait_completed(1) == ["w2"]
        assert recognizer.restarts == 0
        again.close()


@in_loop
async def test_a_process_that_hangs_is_replaced(tmp_path: Path) -> None:
    """Its streams are lost, which says so; the next process serves again."""
    hangs = {"hang_on": ["w1"], "crashes": str(tmp_path / "left")}
    (tmp_path / "left").write_text("1")
    async with listeners(tmp_path, hangs, **few(2, 2, stall_timeout_s=2.0)) as recognizer:
        await recognizer.wait_ready()
        stream = Stream(recognizer)
        stream.feed(speak([1]))
        stream.end()
        await stream.ear.over_or_lost(1)
        assert stream.ear.lost is not None and isinstance(stream.ear.lost.error, WorkerTimeout)
        assert stream.ear.lost.utterance == 0
        stream.close()
        await recognizer.wait_ready()
        again = Stream(recognizer)
        again.feed(speak([1]))
        again.end()
        assert await again.ear.wait_completed(1) == ["w1"]
        assert recognizer.restarts == 1
        again.close()


@in_loop
async def test_too_much_waiting_audio(tmp_path: Path) -> None:
    """A stream that falls too far behind is lost, rather than held in memory without end."""
    async with listeners(tmp_path, {"hang_on": ["w1"]}, max_waiting_s=2.0) as recognizer:
        await recognizer.wait_ready()
        stream = Stream(recognizer)
        for _ in range(30):
            stream.feed(speak([1]))
        await stream.ear.over_or_lost(1)
        assert stream.ear.lost is not None and "more than 2 s behind" in str(stream.ear.lost.error)
        assert recognizer.streams == 0
        stream.close()


@GONE
@in_loop
async def test_every_word_once_though_workers_die(tmp_path: Path) -> None:
    """A process is killed in mid-utterance of each of its streams: the next hears them from the start."""
    kills = 3
    async with listeners(tmp_path) as recognizer:
        await recognizer.wait_ready()
        streams = [Stream(Fallback([recognizer])) for _ in range(3)]
        for kill in range(kills):
            said = [range(first, first + 5) for first in (100 * kill, 100 * kill + 20, 100 * kill + 40)]
            for stream, numbers in zip(streams, said, strict=True):
                stream.feed(speak(numbers)[:9000])
            for stream in streams:
                await stream.ear.wait(lambda ear=stream.ear, kill=kill: ear.heard(kill))
            os.kill(recognizer.pids()[0], signal.SIGKILL)
            for stream, numbers in zip(streams, said, strict=True):
                stream.feed(speak(numbers)[9000:])
                stream.end()
            for stream, numbers in zip(streams, said, strict=True):
                assert (await stream.ear.wait_completed(kill + 1))[kill] == words(numbers)
        assert recognizer.restarts == kills
        for stream in streams:
            stream.close()


@in_loop
async def test_test_speech(tmp_path: Path) -> None:
    """A process is ready once it has understood its test speech; one that does not is of no use."""
    health = HealthCheck(speak([3, 4]), frozenset({"w3"}), DecodeOptions())
    async with listeners(tmp_path, health=health) as recognizer:
        await recognizer.wait_ready()
        assert recognizer.description == "scripted" and recognizer.streams == 0
    health = HealthCheck(speak([3, 4]), frozenset({"hello"}), DecodeOptions())
    async with listeners(tmp_path, health=health) as recognizer:
        with pytest.raises(ModelError, match="does not understand its test speech"):
            await recognizer.wait_ready()
        with pytest.raises(ProviderError, match="does not understand"):
            recognizer.open(request(), Ear())


@in_loop
async def test_a_process_that_dies_while_it_loads(tmp_path: Path) -> None:
    """It is tried a few times; then the reason is said, and no stream can be opened."""
    async with listeners(tmp_path, {"crash_load": True}, attempts=2) as recognizer:
        with pytest.raises(ProviderError, match="killed by signal"):
            await recognizer.wait_ready()
        with pytest.raises(ProviderError, match="killed by signal"):
            recognizer.open(request(), Ear())


@in_loop
async def test_samples_do_not_pile_up_in_the_parent(tmp_path: Path) -> None:
    """After an utterance is answered, nothing of it is kept."""
    async with listeners(tmp_path) as recognizer:
        await recognizer.wait_ready()
        stream = Stream(recognizer)
        for number in range(20):
            stream.feed(np.concatenate([speak([number])] * 2))
            stream.end()
        await stream.ear.wait_completed(20)
        assert stream.stream._fed == [0] and stream.stream.waiting_samples == 0
        stream.close()
