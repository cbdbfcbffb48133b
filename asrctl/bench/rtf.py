"""Speed: a file decoded as fast as it goes, with each setup, in rounds that take turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from asrctl.bench.cost import Cost
from asrctl.bench.results import AT_S, Round, Row
from asrctl.bench.setup import Samples, Setup, Speech, Tell, builtin, silent
from asrctl.bench.wer import word_errors
from asrctl.engine.files import FileTranscription
from asrctl.engine.pool import BATCH, WorkerPool
from asrctl.engine.process import Standby
from asrctl.engine.slot import PoolOptions
from asrctl.errors import AsrctlError
from asrctl.policy.priority import Ticket
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, join_text

_WARM_UP_S = 12.0
"""About as long as the windows to come, so that their graphs are built before the clock starts."""


class TimedPool(WorkerPool):
    """A pool that notes how long each window took in its recogniser, in `window_s`."""

    def __init__(self, spec: ModelSpec, options: PoolOptions, standby: Standby | None = None) -> None:
        """Start the workers; see `WorkerPool`."""
        self.window_s: list[float] = []
        super().__init__(spec, options, standby=standby)

    def submit(self, samples: Samples, options: DecodeOptions, ticket: Ticket = BATCH) -> Future[Hypothesis]:
        """Queue one window; see `WorkerPool.submit`."""
        future = super().submit(samples, options, ticket)
        future.add_done_callback(self._note)
        return future

    def _note(self, future: Future[Hypothesis]) -> None:
        try:
            self.window_s.append(future.result().inference_s)
        except (AsrctlError, CancelledError):
            return  # the transcription says what was lost


class Contestant(Protocol):
    """Something that transcribes, and can be measured at it."""

    @property
    def name(self) -> str:
        """Tells it from the others."""
        ...

    @property
    def description(self) -> dict[str, Any]:
        """For the record."""
        ...

    def run(self, speech: Speech) -> Round:
        """Transcribe the speech once."""
        ...


@dataclass(frozen=True, slots=True)
class Ours:
    """A setup of asrctl."""

    setup: Setup

    @property
    def name(self) -> str:
        """The setup's."""
        return self.setup.name

    @property
    def description(self) -> dict[str, Any]:
        """The setup's."""
        return self.setup.description

    def run(self, speech: Speech) -> Round:
        """See `run`."""
        return run(self.setup, speech)


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


MakePool = Callable[[ModelSpec, PoolOptions], TimedPool]


def run(setup: Setup, speech: Speech) -> Round:
    """One setup, once: processes of its own, warmed up with other audio first."""
    with ready_pool(setup) as pool:
        return {**decode(setup, speech, pool), "load_s": max(slot.load_s for slot in pool.slots)}


@contextmanager
def ready_pool(setup: Setup, make_pool: MakePool = TimedPool) -> Iterator[TimedPool]:
    """Processes for a setup, warmed up.

    Args:
        setup: What decodes.
        make_pool: Starts the processes.
    """
    long_samples = builtin(_WARM_UP_S).samples(_WARM_UP_S)
    options = replace(setup.pool, health=replace(setup.health, long_samples=long_samples))
    with make_pool(setup.spec, options) as pool:
        pool.wait_ready()
        yield pool


def decode(setup: Setup, speech: Speech, pool: TimedPool) -> Round:
    """One round of a setup, by processes that are ready."""
    at_s = time.time()
    pool.window_s.clear()
    work = FileTranscription(speech.chunks(), pool, setup.detector(), setup.files)
    with Cost(pool.pids()) as cost:
        started = time.perf_counter()
        text = join_text(segment.text for segment in work)
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
    if pool.window_s:
        figures["window_p50_s"], figures["window_p95_s"] = np.percentile(pool.window_s, (50, 95)).tolist()
    if speech.reference is not None:
        figures["wer_percent"] = word_errors(speech.reference, text).percent
    return figures
