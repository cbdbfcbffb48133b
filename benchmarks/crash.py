"""kill -9 of the worker in the middle of an utterance, many times: does the final come, whole, and how late?

python -m benchmarks.crash --tries 100

Each try plays the sample sentence of asrctl at once, waits for its first partial, kills the worker while the
utterance is open, and compares the final with that of an undisturbed try. Both kinds alternate.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from dataclasses import dataclass, field

import numpy as np

from asrctl.audio.sample import sample_speech
from asrctl.bench.setup import Setup
from asrctl.events import Dropped, Final, Partial
from asrctl.providers.recognizer import Recognizer
from asrctl.streaming.live import LiveStream
from asrctl.streaming.pooled import PooledRecognizer
from asrctl.streaming.stream import StreamOptions
from asrctl.workers.options import PoolOptions
from asrctl.workers.pool import WorkerPool
from benchmarks.common import SAMPLE_RATE_HZ, machine, median_of, note, save, table
from benchmarks.talks import detector, setup_for

_PATIENCE_S = 60.0


async def play(recognizer: Recognizer, *, kill: bool) -> tuple[str, float, bool]:
    """One utterance through a stream of its own.

    Returns:
        Text of the finals, seconds from the last audio to the end, and whether all audio was transcribed.
    """
    speech, texts = sample_speech(), list[str]()
    async with asyncio.timeout(_PATIENCE_S), LiveStream(detector(), StreamOptions(), recognizer) as live:
        events = aiter(live)
        live.feed(speech[: SAMPLE_RATE_HZ * 2])
        while not isinstance(await anext(events), Partial):
            pass
        if kill:
            for pid in recognizer.pids():
                os.kill(pid, signal.SIGKILL)
        live.feed(np.concatenate([speech[SAMPLE_RATE_HZ * 2 :], np.zeros(SAMPLE_RATE_HZ, np.float32)]))
        live.finish()
        started = time.perf_counter()
        async for event in events:
            if isinstance(event, Final):
                texts.append(event.segment.text)
            elif isinstance(event, Dropped):
                texts.append(f"[dropped: {event.reason}]")
        account = live.account
    whole = account.pending_samples == 0 and account.dropped_samples == 0
    return " ".join(texts), time.perf_counter() - started, whole


@dataclass(slots=True)
class Tries:
    """What became of all: seconds to the final without a kill and with one, and how many were as good."""

    plain_s: list[float] = field(default_factory=list)
    killed_s: list[float] = field(default_factory=list)
    good: int = 0
    restarts: int = 0


async def measure(setup: Setup, count: int) -> Tries:
    """An undisturbed try, then one with a kill, and so on."""
    tries = Tries()
    async with WorkerPool(setup.spec, PoolOptions(health=setup.health)) as pool:
        await pool.wait_ready()
        recognizer = PooledRecognizer(setup.spec.provider, setup.model, pool, lambda: "")
        for number in range(count):
            expected, delay_s, _ = await play(recognizer, kill=False)
            tries.plain_s.append(delay_s)
            text, delay_s, whole = await play(recognizer, kill=True)
            tries.killed_s.append(delay_s)
            tries.good += text == expected and whole
            if text != expected:
                note(f"try {number}: {text!r} instead of {expected!r}")
        tries.restarts = pool.restarts
    return tries


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 1 if anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crash", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--tries", type=int, default=100)
    parser.add_argument("--model", default="tiny.en-q8_0")
    options = parser.parse_args(arguments)
    tries = asyncio.run(measure(setup_for(options.model, 1), options.tries))
    plain, killed = median_of(tries.plain_s), median_of(tries.killed_s)
    header = ["kills", "finals whole", "workers replaced", "seconds to the final, undisturbed", "killed"]
    cells = [options.tries, tries.good, tries.restarts, plain, killed]
    cells += [killed - plain, max(tries.killed_s) - plain]
    found = table([*header, "added, median", "added at most"], [cells])
    print(found)
    save(
        "crash",
        {
            "machine": machine(),
            "tries": options.tries,
            "good": tries.good,
            "plain_s": tries.plain_s,
            "killed_s": tries.killed_s,
        },
        found,
    )
    return int(tries.good != options.tries)


if __name__ == "__main__":
    sys.exit(main())
