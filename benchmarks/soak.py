"""Memory over an hour of live audio, fed faster than real time: parent and worker, with the slope.

python -m benchmarks.soak benchmark-corpus/long_a.wav --hours 1
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import psutil
from asrctl.engine.pool import WorkerPool
from asrctl.engine.session import Session
from asrctl.engine.stream import Stream

from asrctl.audio.vad import SileroVad, SileroWeights
from asrctl.detect.cpus import threads_per_worker
from asrctl.models.store import ModelStore
from asrctl.providers.base import ModelSpec
from asrctl.streaming.events import Dropped, Event
from benchmarks.common import CORPUS, SAMPLE_RATE_HZ, machine, read_wav, save, table

_CHUNK_SAMPLES = 1600
_PENDING_SAMPLES = 60 * SAMPLE_RATE_HZ
"""More than the longest utterance, which is pending until it ends, and less than what would be shed."""
_SETTLED_SHARE = 0.25
"""The first part of a run fills caches; the slope is that of the rest."""


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("wav", type=Path, nargs="?", default=CORPUS / "long_a.wav")
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--model", default="tiny.en-q8_0")
    options = parser.parse_args(arguments)
    samples = read_wav(options.wav).astype(np.float32) / np.float32(32768)
    total = round(options.hours * 3600 * SAMPLE_RATE_HZ)
    spec = ModelSpec("whisper_cpp", ModelStore().resolve(options.model).path, threads_per_worker(1))
    drops: list[Event] = []
    rows: list[tuple[float, float, float]] = []

    def listen(event: Event) -> None:
        if isinstance(event, Dropped):
            drops.append(event)

    with WorkerPool(spec) as pool, Session(Stream(SileroVad(SileroWeights.load())), pool, listen) as session:
        pool.wait_ready()
        processes = [psutil.Process(), *map(psutil.Process, pool.pids())]
        for fed in range(0, total, _CHUNK_SAMPLES):
            at = fed % (len(samples) - _CHUNK_SAMPLES)
            session.feed(samples[at : at + _CHUNK_SAMPLES])
            session.wait_pending_below(_PENDING_SAMPLES)
            if fed % (60 * SAMPLE_RATE_HZ) == 0:
                parent_mb, worker_mb = (process.memory_info().rss / 1e6 for process in processes)
                rows.append((fed / SAMPLE_RATE_HZ / 60, parent_mb, worker_mb))
        session.finish()
        session.wait_finished()
        restarts = pool.restarts
    settled = np.array(rows[round(len(rows) * _SETTLED_SHARE) :])
    slopes = [60 * float(np.polyfit(settled[:, 0], settled[:, column], 1)[0]) for column in (1, 2)]
    header = ["slope after the first quarter, MB/h: parent", "worker", "drops", "workers replaced"]
    tables = [
        table(["minute", "parent MB", "worker MB"], rows[:: max(1, len(rows) // 12)]),
        table(
            [*header, "samples received"], [[*slopes, len(drops), restarts, session.account.received_samples]]
        ),
    ]
    print(*tables, sep="\n\n")
    data = {"machine": machine(), "rows": rows, "slopes_mb_per_hour": slopes, "drops": len(drops)}
    save("soak", data, *tables)
    return 0


if __name__ == "__main__":
    sys.exit(main())
