"""kill -9 of the worker in the middle of an utterance, many times: does the final come, whole, and how late?

python -m benchmarks.crash --tries 100

Each try plays the sample sentence of asrctl at once, waits for its first partial, kills the worker while the
utterance is open, and compares the final with that of an undisturbed try. Both kinds alternate.
"""

from __future__ import annotations

import argparse
import os
import queue
import signal
import sys
import time

import numpy as np
from asrctl.engine.events import Dropped, Event, Final, Finished, Partial
from asrctl.engine.pool import WorkerPool
from asrctl.engine.session import Session
from asrctl.engine.stream import Stream

from asrctl.audio.sample import sample_speech
from asrctl.audio.vad import SileroVad, SileroWeights
from asrctl.detect.cpus import threads_per_worker
from asrctl.models.store import ModelStore
from asrctl.providers.base import ModelSpec
from benchmarks.common import SAMPLE_RATE_HZ, machine, median_of, note, save, table

_PATIENCE_S = 60.0


class Try:
    """One utterance through a session of its own."""

    def __init__(self, pool: WorkerPool, weights: SileroWeights) -> None:
        self._pool = pool
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._session = Session(Stream(SileroVad(weights)), pool, self._events.put)

    def run(self, *, kill: bool) -> tuple[str, float, bool]:
        """Text of the finals, seconds from the last audio to the end, and whether the books balance."""
        speech, texts = sample_speech(), list[str]()
        with self._session as session:
            session.feed(speech[: SAMPLE_RATE_HZ * 2])
            self._until(Partial)
            if kill:
                for pid in self._pool.pids():
                    os.kill(pid, signal.SIGKILL)
            session.feed(np.concatenate([speech[SAMPLE_RATE_HZ * 2 :], np.zeros(SAMPLE_RATE_HZ, np.float32)]))
            session.finish()
            started = time.perf_counter()
            while not isinstance(event := self._events.get(timeout=_PATIENCE_S), Finished):
                if isinstance(event, Final):
                    texts.append(event.segment.text)
                elif isinstance(event, Dropped):
                    texts.append(f"[dropped: {event.reason}]")
            account = event.account
        balanced = account.pending_samples == 0 and account.dropped_samples == 0
        return " ".join(texts), time.perf_counter() - started, balanced

    def _until(self, kind: type[Event]) -> None:
        while not isinstance(self._events.get(timeout=_PATIENCE_S), kind):
            pass


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 1 if anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crash", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--tries", type=int, default=100)
    parser.add_argument("--model", default="tiny.en-q8_0")
    options = parser.parse_args(arguments)
    spec = ModelSpec("whisper_cpp", ModelStore().resolve(options.model).path, threads_per_worker(1))
    weights, good, plain_s, killed_s = SileroWeights.load(), 0, list[float](), list[float]()
    with WorkerPool(spec) as pool:
        pool.wait_ready()
        for number in range(options.tries):
            expected, delay_s, _ = Try(pool, weights).run(kill=False)
            plain_s.append(delay_s)
            text, delay_s, balanced = Try(pool, weights).run(kill=True)
            killed_s.append(delay_s)
            good += text == expected and balanced
            if text != expected:
                note(f"try {number}: {text!r} instead of {expected!r}")
        restarts = pool.restarts
    plain, killed = median_of(plain_s), median_of(killed_s)
    header = ["kills", "finals whole", "workers replaced", "seconds to the final, undisturbed", "killed"]
    cells = [options.tries, good, restarts, plain, killed, killed - plain, max(killed_s) - plain]
    found = table([*header, "added, median", "added at most"], [cells])
    print(found)
    save(
        "crash",
        {
            "machine": machine(),
            "tries": options.tries,
            "good": good,
            "plain_s": plain_s,
            "killed_s": killed_s,
        },
        found,
    )
    return int(good != options.tries)


if __name__ == "__main__":
    sys.exit(main())
