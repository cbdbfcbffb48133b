"""Speed: a file decoded as fast as it goes, with each setup, in rounds that take turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from asrctl.bench.cost import Cost
from asrctl.bench.engine import Workers
from asrctl.bench.results import AT_S, Round, Row
from asrctl.bench.setup import Setup, Speech, Tell, builtin, silent
from asrctl.bench.wer import word_errors
from asrctl.transcript import SAMPLE_RATE_HZ

_WARM_UP_S = 12.0
"""About as long as the windows to come, so that their graphs are built before the clock starts."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """Something that transcribes, and can be measured at it.

    Attributes:
        name: Tells it from the others.
        description: For the record.
        run: Transcribes the speech once.
    """

    name: str
    description: Mapping[str, Any]
    run: Callable[[Speech], Round]


def ours(setup: Setup) -> Contestant:
    """A setup of asrctl."""
    return Contestant(setup.name, setup.description, partial(run, setup))


def measure(contestants: Sequence[Contestant], speech: Speech, rounds: int, tell: Tell = silent) -> list[Row]:
    """Each once in each round, so that what disturbs the machine for a while disturbs them all.

    Raises:
        AudioError: The speech cannot be read.
        ModelError: Weights do not load.
        ProviderError: No worker can run.
    """
    found: list[list[Round]] = [[] for _ in contestants]
    total = rounds * len(contestants)
    for number in range(rounds):
        for index, each in enumerate(contestants):
            tell(f"round {number + 1}: {each.name}", number * len(contestants) + index, total)
            found[index].append(each.run(speech))
    tell("done", total, total)
    return [Row(each.name, each.description, given) for each, given in zip(contestants, found, strict=True)]


def run(setup: Setup, speech: Speech) -> Round:
    """One setup, once: processes of its own, warmed up with other audio first."""
    with ready_workers(setup) as workers:
        return {**decode(speech, workers), "load_s": workers.start_s[0]}


@contextmanager
def ready_workers(setup: Setup, standby: Any = None) -> Iterator[Workers]:
    """Processes for a setup, warmed up; `standby` is one that was started before."""
    with Workers(setup, warm=builtin(_WARM_UP_S).samples(_WARM_UP_S), standby=standby) as workers:
        workers.wait_ready()
        yield workers


def decode(speech: Speech, workers: Workers) -> Round:
    """One round, by processes that are ready."""
    at_s = time.time()
    with Cost(workers.pids()) as cost:
        started = time.perf_counter()
        text, work, window_s = workers.transcribe(speech.chunks())
        wall_s = time.perf_counter() - started
    audio_s = work.account.received_samples / SAMPLE_RATE_HZ
    figures = {
        AT_S: at_s,
        "rtf": wall_s / audio_s,
        "cpu_per_audio_s": cost.cpu_s / audio_s,
        "peak_rss_mb": cost.peak_rss_mb,
        "dropped_s": work.account.dropped_samples / SAMPLE_RATE_HZ,
        "busy_share": cost.busy_share,
    }
    if window_s:
        figures["window_p50_s"], figures["window_p95_s"] = np.percentile(window_s, (50, 95)).tolist()
    if speech.reference is not None:
        figures["wer_percent"] = word_errors(speech.reference, text).percent
    return figures
