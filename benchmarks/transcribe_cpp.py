"""What our workers add to transcribe.cpp, with models of random weights that take next to no time.

python -m benchmarks.transcribe_cpp windows --rounds 100
python -m benchmarks.transcribe_cpp streams --rounds 300
python -m benchmarks.transcribe_cpp memory --layers 4 --width 256
python -m benchmarks.transcribe_cpp growth --rounds 10000

`windows`: a window through the pool, less the same window through the library alone in this process, in turn.
`streams`: a feed of 0.1 s until its progress is heard, less the same feed through the library alone.
`memory`: resident memory of all workers with 1, 2, 4 and 10 streams at work, in one process and in one each.
`growth`: resident memory of one model over so many feeds, in utterances of 20.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import transcribe_cpp

from asrctl.audio.sample import sample_speech
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.providers.plugin import Serving
from asrctl.providers.transcribe_cpp.streams import ListeningTranscribeCpp
from asrctl.workers.listener import ListenerOptions, ListenerStream
from asrctl.workers.listeners import Listeners
from asrctl.workers.pool import WorkerPool
from benchmarks.common import machine, save, table
from tests.providers.ears import Stream, until
from tests.providers.small_gguf import write_model

_WARM_UP = 5
_FEED_SAMPLES = 1600
_UTTERANCE_FEEDS = 20
_STEPS = 10

Rows = list[list[Any]]


def _spec(model: Path) -> ModelSpec:
    return ModelSpec("transcribe_cpp", model, use_gpu=False)


def _compared(name: str, ours: list[float], alone: list[float]) -> tuple[list[str], Rows]:
    """Medians, and the share of the slowest twentieth."""
    low, high = np.percentile(alone, (50, 95)), np.percentile(ours, (50, 95))
    heads = [name, "library p50 ms", "p95 ms", "ours p50 ms", "p95 ms", "added p50 ms", "added p95 ms"]
    return heads, [[len(ours), *map(float, (*low, *high, *(high - low)))]]


async def windows(model: Path, rounds: int) -> tuple[list[str], Rows]:
    """Each window through the pool, and through the library alone."""
    samples, ours, alone = sample_speech(), list[float](), list[float]()
    async with WorkerPool(_spec(model)) as pool:
        await pool.wait_ready()
        with transcribe_cpp.Model(model, backend="cpu") as loaded, loaded.session(n_threads=1) as session:
            for _ in range(_WARM_UP + rounds):
                started_s = time.perf_counter()
                with contextlib.suppress(transcribe_cpp.OutputTruncated):  # random weights never end
                    session.run(samples, language="en")
                alone.append(1000 * (time.perf_counter() - started_s))
                started_s = time.perf_counter()
                await pool.decode(samples, DecodeOptions())
                ours.append(1000 * (time.perf_counter() - started_s))
    return _compared("windows", ours[_WARM_UP:], alone[_WARM_UP:])


async def streams(model: Path, rounds: int) -> tuple[list[str], Rows]:
    """Each feed through a stream of a worker, and through the library alone."""
    piece, ours, alone = sample_speech()[:_FEED_SAMPLES], list[float](), list[float]()
    recognizer = Listeners(_spec(model), "model", ListenerOptions(Serving(1, 1)))
    await recognizer.wait_ready()
    stream = Stream(recognizer)
    inner = stream.stream
    assert isinstance(inner, ListenerStream)
    library = ListeningTranscribeCpp(_spec(model))
    for feed in range(rounds):
        if feed % _UTTERANCE_FEEDS == 0:
            library.begin(DecodeOptions())
        started_s = time.perf_counter()
        library.feed(piece)
        alone.append(1000 * (time.perf_counter() - started_s))
        started_s = time.perf_counter()
        inner.feed(piece)
        while inner.waiting_samples:
            await asyncio.sleep(0.0005)
        ours.append(1000 * (time.perf_counter() - started_s))
        if feed % _UTTERANCE_FEEDS == _UTTERANCE_FEEDS - 1:
            library.finish()
            stream.end()
            await until(lambda: not inner.is_waiting)
    library.close()
    await recognizer.close()
    return _compared("feeds", ours, alone)


async def memory(model: Path, _: int) -> tuple[list[str], Rows]:
    """Resident bytes of all workers while so many streams are in the middle of an utterance."""
    rows: Rows = []
    for per_worker in (10, 1):
        for count in (1, 2, 4, 10):
            recognizer = Listeners(_spec(model), "model", ListenerOptions(Serving(count, per_worker)))
            opened = list[Stream]()
            while len(opened) < count:
                await recognizer.wait_ready()
                with contextlib.suppress(Exception):  # its next process still loads
                    opened.append(Stream(recognizer))
                await asyncio.sleep(0.02)
            for stream in opened:
                stream.feed(sample_speech()[: 5 * _FEED_SAMPLES])
            for stream in opened:
                await stream.ear.wait(partial(stream.ear.heard, 0))
            infos = [psutil.Process(pid).memory_full_info() for pid in recognizer.pids()]
            row = [sum(getattr(info, kind) for info in infos) / 1e6 for kind in ("rss", "pss", "uss")]
            rows.append([count, len(infos), *row])
            await recognizer.close()
    return ["streams", "processes", "RSS MB", "PSS MB", "USS MB"], rows


async def growth(model: Path, rounds: int) -> tuple[list[str], Rows]:
    """Resident bytes after each tenth of the feeds."""
    library, rows = ListeningTranscribeCpp(_spec(model)), list[list[Any]]()
    piece = sample_speech()[:_FEED_SAMPLES]
    for feed in range(rounds):
        if feed % _UTTERANCE_FEEDS == 0:
            library.begin(DecodeOptions())
        library.feed(piece)
        if feed % _UTTERANCE_FEEDS == _UTTERANCE_FEEDS - 1:
            library.finish()
        if (feed + 1) % (rounds // _STEPS) == 0:
            rows.append([feed + 1, psutil.Process().memory_info().rss / 1e6])
    library.close()
    return ["feeds", "RSS MB"], rows


Measure = Callable[[Path, int], Coroutine[Any, Any, tuple[list[str], Rows]]]
MEASURES: dict[str, Measure] = {"windows": windows, "streams": streams, "memory": memory, "growth": growth}


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transcribe_cpp", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("what", choices=MEASURES)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--layers", type=int, default=2, help="of the model's encoder and decoder")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--output", action="store_true", help="keep it in results/")
    options = parser.parse_args(arguments)
    transcribe_cpp.set_log_callback(None)
    with tempfile.TemporaryDirectory() as directory:
        model = write_model(Path(directory, "small.gguf"), layers=options.layers, width=options.width)
        heads, rows = asyncio.run(MEASURES[options.what](model, options.rounds))
    shown = table(heads, rows)
    print(shown)
    if options.output:
        save(f"transcribe_cpp_{options.what}", {"machine": machine(), "heads": heads, "rows": rows}, shown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
