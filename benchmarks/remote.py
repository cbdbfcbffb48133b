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
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np
from asrctl.providers.remote.model import RemoteModel

from asrctl.providers.base import Completed, DecodeOptions, Lost, Spoken
from asrctl.providers.remote import RemoteOptions
from asrctl.providers.remote.windows import RemoteWindows
from asrctl.providers.scripted import speak
from benchmarks.common import machine, note, save, table
from benchmarks.serve_proxy import FaultyProxy, seeded_plans
from tests.providers.remote_server import (
    HttpServer,
    OpenAiBrain,
    RealtimeServer,
    VllmBrain,
    serving,
    serving_http,
)
from tests.server.servers import options_for, running, script

DIALECTS = ("openai", "vllm", "transcriptions", "asrctl")
_PATIENCE_S = 60.0
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

    def __call__(self, numbers: list[int], pace_s: float) -> tuple[str, float]: ...


class Listener:
    """Takes what a stream says, with the times."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._completed: list[tuple[str, float]] = []
        self._lost: Lost | None = None

    def __call__(self, spoken: Spoken) -> None:
        with self._changed:
            if isinstance(spoken, Completed):
                self._completed.append((spoken.hypothesis.text, time.perf_counter()))
            elif isinstance(spoken, Lost):
                self._lost = spoken
            self._changed.notify_all()

    def wait(self, count: int) -> tuple[str, float]:
        """Text of an utterance, by its number from 1, and when it came."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._completed) >= count or self._lost, _PATIENCE_S)
            if len(self._completed) < count:
                raise RuntimeError(f"no text: {self._lost}")
            return self._completed[count - 1]


@contextmanager
def streaming(options: RemoteOptions) -> Iterator[Speaker]:
    """Utterances through a stream."""
    model, listener, count = RemoteModel(options), Listener(), 0
    session = model.open(DecodeOptions(), listener)

    def speaker(numbers: list[int], pace_s: float) -> tuple[str, float]:
        nonlocal count
        count += 1
        samples = speak(numbers)
        for at in range(0, len(samples), _CHUNK_SAMPLES):
            session.feed(samples[at : at + _CHUNK_SAMPLES])
            time.sleep(pace_s)
        ended_s = time.perf_counter()
        session.complete()
        text, at_s = listener.wait(count)
        return text, at_s - ended_s

    try:
        yield speaker
    finally:
        model.close()


@contextmanager
def windowed(options: RemoteOptions) -> Iterator[Speaker]:
    """Utterances as requests."""
    with RemoteWindows(options) as model:

        def speaker(numbers: list[int], pace_s: float) -> tuple[str, float]:
            started_s = time.perf_counter()
            text = model.transcribe(speak(numbers), DecodeOptions(), lambda: False).text
            return text, time.perf_counter() - started_s

        yield speaker


@contextmanager
def server_of(dialect: str) -> Iterator[str]:
    """A server of a dialect; its URL."""
    with ExitStack() as stack:
        if dialect == "transcriptions":
            yield stack.enter_context(serving_http(HttpServer())).url
        elif dialect == "asrctl":
            directory = stack.enter_context(tempfile.TemporaryDirectory())
            yield stack.enter_context(running(options_for(script(Path(directory) / "script.json")))).url
        else:
            brain = VllmBrain if dialect == "vllm" else OpenAiBrain
            yield stack.enter_context(serving(RealtimeServer(brain)))


@contextmanager
def speaking(dialect: str, url: str) -> Iterator[Speaker]:
    """A speaker for a dialect's server."""
    scheme = "http" if dialect == "transcriptions" else "ws"
    model = "" if dialect == "asrctl" else "words"
    options = RemoteOptions(f"{scheme}://{url.split('://')[1]}", dialect, model)
    with windowed(options) if options.is_windowed else streaming(options) as speaker:
        yield speaker


def talk(speaker: Speaker, chance: random.Random, over: Callable[[Run], bool], pace_s: float = 0.0) -> Run:
    """One utterance of 1 to 10 words after the other, until it is over."""
    run, started_s = Run(), time.perf_counter()
    while not over(run):
        numbers = [chance.randrange(1_000) for _ in range(chance.randint(1, 10))]
        text, delay_s = speaker(numbers, pace_s)
        place = len(run.delays_s)
        run.words_in += [f"{place} w{number}" for number in numbers]
        run.words_out += [f"{place} {word}" for word in text.split()]
        run.delays_s.append(delay_s)
    run.took_s = time.perf_counter() - started_s
    return run


def undisturbed(dialect: str, url: str, utterances: int, seed: int) -> Run:
    """So many utterances over a good link."""
    with speaking(dialect, url) as speaker:
        enough = utterances + _WARM_UP
        run = talk(speaker, random.Random(seed), lambda run: len(run.delays_s) >= enough, _PACE_S)
    del run.delays_s[:_WARM_UP]
    return run


def disturbed(dialect: str, url: str, cuts: int, seed: int, mean_bytes: float) -> Run:
    """Utterances until the link was cut so often."""
    proxy = FaultyProxy(url, seeded_plans(seed, mean_bytes, ("cut",)))
    with proxy.in_thread(), speaking(dialect, proxy.url) as speaker:
        run = talk(speaker, random.Random(seed), lambda _: proxy.harmed >= cuts)
        run.cuts = proxy.harmed
    return run


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
        with server_of(dialect) as url:
            note(f"{dialect}: {options.utterances} utterances over a good link")
            good = undisturbed(dialect, url, options.utterances, options.seed)
            note(f"{dialect}: {options.cuts} cuts")
            broken = disturbed(dialect, url, options.cuts, options.seed, options.mean_bytes)
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
