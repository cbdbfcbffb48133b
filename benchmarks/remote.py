"""Links to remote recognisers: what breaking them at random costs, and what the adapter adds by itself.

python -m benchmarks.remote --cuts 100 [--dialects openai vllm transcriptions asrctl] [--output]

Each dialect meets its scripted server on loopback, which hears words that are written into the audio, to the
sample: a word that comes out longer or shorter than it went in counts as lost. First nothing is harmed, and
utterances are fed at ten times real time; then they follow each other as fast as they are answered, and a
proxy cuts the connection at random bytes, both directions counted together, until it has done so `--cuts`
times. Options are the provider's defaults.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np

from asrctl.providers.base import DecodeOptions
from asrctl.providers.remote.recognizer import RemoteRecognizer
from asrctl.providers.remote.settings import RemoteSettings
from asrctl.providers.remote.windows import RemoteWindows
from asrctl.workers.pool import BATCH
from asrctl_tests.scripted import speak
from benchmarks.common import machine, note, save, table
from benchmarks.faults.proxy import FaultyProxy, seeded_plans
from tests.providers.brains import OpenAiBrain, VllmBrain
from tests.providers.ears import Stream
from tests.providers.http_server import HttpServer, serving_http
from tests.providers.remote_server import RealtimeServer, serving
from tests.server.servers import options_for, running, script

DIALECTS = ("openai", "vllm", "transcriptions", "asrctl")
_WARM_UP = 3
_CHUNK_SAMPLES = 1_600
_PACE_S = 0.01


@dataclass
class Run:
    """What went in, what came out, and how long after its end each utterance had its text."""

    words_in: list[str] = field(default_factory=list)
    words_out: list[str] = field(default_factory=list)
    delays_s: list[float] = field(default_factory=list)
    cuts: int = 0
    took_s: float = 0.0

    def compare(self) -> tuple[int, int, int]:
        """Words that came once, that were lost, and that came too often; a position counts, not a word."""
        wanted, got = Counter(self.words_in), Counter(self.words_out)
        return (wanted & got).total(), (wanted - got).total(), (got - wanted).total()


class Speaker(Protocol):
    """Has one utterance recognised, fed a chunk each `pace_s`; says how long that took after its end."""

    async def __call__(self, numbers: list[int], pace_s: float) -> tuple[str, float]: ...


@asynccontextmanager
async def streaming(settings: RemoteSettings) -> AsyncIterator[Speaker]:
    """Utterances through a stream."""
    recognizer = RemoteRecognizer(settings)
    stream = Stream(recognizer)

    async def speaker(numbers: list[int], pace_s: float) -> tuple[str, float]:
        samples = speak(numbers)
        for at in range(0, len(samples), _CHUNK_SAMPLES):
            stream.feed(samples[at : at + _CHUNK_SAMPLES])
            await asyncio.sleep(pace_s)
        ended_s = time.perf_counter()
        stream.end()
        texts = await stream.ear.wait_completed(stream.ear.ended)
        return texts[-1], time.perf_counter() - ended_s

    try:
        yield speaker
    finally:
        await recognizer.close()


@asynccontextmanager
async def windowed(settings: RemoteSettings) -> AsyncIterator[Speaker]:
    """Utterances as requests."""
    service = RemoteWindows(settings)

    async def speaker(numbers: list[int], pace_s: float) -> tuple[str, float]:
        started_s = time.perf_counter()
        hypothesis = await service.windows.decode(speak(numbers), DecodeOptions(), BATCH)
        return hypothesis.text, time.perf_counter() - started_s

    try:
        yield speaker
    finally:
        await service.close()


@asynccontextmanager
async def server_of(dialect: str) -> AsyncIterator[str]:
    """A server of a dialect; its URL."""
    async with AsyncExitStack() as stack:
        if dialect == "transcriptions":
            yield stack.enter_context(serving_http(HttpServer())).url
        elif dialect == "asrctl":
            directory = stack.enter_context(tempfile.TemporaryDirectory())
            yield stack.enter_context(running(options_for(script(Path(directory) / "script.json")))).url
        else:
            brain = VllmBrain if dialect == "vllm" else OpenAiBrain
            yield await stack.enter_async_context(serving(RealtimeServer(brain)))


def speaking(dialect: Any, url: str) -> AbstractAsyncContextManager[Speaker]:
    """A speaker for a dialect's server."""
    scheme = "http" if dialect == "transcriptions" else "ws"
    model = "" if dialect == "asrctl" else "words"
    settings = RemoteSettings(f"{scheme}://{url.split('://')[1]}", dialect, model)
    return windowed(settings) if settings.is_windowed else streaming(settings)


async def talk(
    speaker: Speaker, chance: random.Random, over: Callable[[Run], bool], pace_s: float = 0.0
) -> Run:
    """One utterance of 1 to 10 words after the other, until it is over."""
    run, started_s = Run(), time.perf_counter()
    while not over(run):
        numbers = [chance.randrange(1_000) for _ in range(chance.randint(1, 10))]
        text, delay_s = await speaker(numbers, pace_s)
        place = len(run.delays_s)
        run.words_in += [f"{place} w{number}" for number in numbers]
        run.words_out += [f"{place} {word}" for word in text.split()]
        run.delays_s.append(delay_s)
    run.took_s = time.perf_counter() - started_s
    return run


async def undisturbed(dialect: str, url: str, utterances: int, seed: int) -> Run:
    """So many utterances over a good link."""
    async with speaking(dialect, url) as speaker:
        enough = utterances + _WARM_UP
        run = await talk(speaker, random.Random(seed), lambda run: len(run.delays_s) >= enough, _PACE_S)
    del run.delays_s[:_WARM_UP]
    return run


async def disturbed(dialect: str, url: str, cuts: int, seed: int, mean_bytes: float) -> Run:
    """Utterances until the link was cut so often."""
    proxy = FaultyProxy(url, seeded_plans(seed, mean_bytes, ("cut",)))
    async with proxy.running(), speaking(dialect, proxy.url) as speaker:
        run = await talk(speaker, random.Random(seed), lambda _: proxy.harmed >= cuts)
        run.cuts = proxy.harmed
    return run


async def both(dialect: str, options: argparse.Namespace) -> tuple[Run, Run]:
    """A dialect over a good link, and over one that is cut."""
    async with server_of(dialect) as url:
        note(f"{dialect}: {options.utterances} utterances over a good link")
        good = await undisturbed(dialect, url, options.utterances, options.seed)
        note(f"{dialect}: {options.cuts} cuts")
        return good, await disturbed(dialect, url, options.cuts, options.seed, options.mean_bytes)


def ms(values_s: list[float], share: float) -> float:
    """A quantile, in milliseconds."""
    return round(float(np.quantile(values_s, share)) * 1000, 1)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 1 if a word was lost or came twice."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.remote", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--cuts", type=int, default=100, help="cuts for each dialect")
    parser.add_argument("--utterances", type=int, default=200, help="utterances over the good link")
    parser.add_argument("--mean-bytes", type=float, default=150_000.0, help="between cuts, on average")
    parser.add_argument("--dialects", nargs="+", choices=DIALECTS, default=DIALECTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", action="store_true", help="save to benchmarks/results/remote.json")
    options = parser.parse_args(arguments)
    results: dict[str, Any] = {"machine": machine(), "arguments": vars(options), "dialects": {}}
    latency, cuts, bad = [], [], 0
    for dialect in options.dialects:
        good, broken = asyncio.run(both(dialect, options))
        once, lost, repeated = broken.compare()
        bad += lost + repeated + sum(good.compare()[1:])
        latency.append([dialect, len(good.delays_s), ms(good.delays_s, 0.5), ms(good.delays_s, 0.95)])
        added_s = [delay_s - median(good.delays_s) for delay_s in broken.delays_s]
        row = [dialect, broken.cuts, len(broken.delays_s), once, lost, repeated]
        cuts.append([*row, *(ms(added_s, share) for share in (0.5, 0.95, 1.0)), round(broken.took_s, 1)])
        results["dialects"][dialect] = {"good_s": good.delays_s, "broken_s": broken.delays_s}
        results["dialects"][dialect] |= {
            "cuts": broken.cuts,
            "once": once,
            "lost": lost,
            "repeated": repeated,
        }
    print(f"machine: {results['machine']}\n")
    good_title = "From the end of an utterance to its text, over loopback, the scripted server included"
    header = ["dialect", "cuts", "utterances", "words once", "lost", "repeated"]
    header += ["added p50 ms", "added p95 ms", "added max ms", "took s"]
    tables = [
        table(["dialect", "utterances", "p50 ms", "p95 ms"], latency, good_title),
        table(header, cuts, "With the link cut at random bytes; `added` is beyond the good link's median"),
    ]
    print(*tables, sep="\n\n")
    if options.output:
        save("remote", results, *tables)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
