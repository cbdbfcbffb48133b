"""Memory over an hour of live audio, fed faster than real time: parent and worker, with the slope.

python -m benchmarks.soak benchmark-corpus/long_a.wav --hours 1
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from asrctl.bench.setup import Samples, Setup
from asrctl.events import Dropped, Event
from asrctl.streaming.pooled import PooledRecognizer
from asrctl.streaming.session import Session
from asrctl.streaming.stream import StreamOptions
from asrctl.workers.options import PoolOptions
from asrctl.workers.pool import WorkerPool
from benchmarks.common import CORPUS, SAMPLE_RATE_HZ, machine, read_wav, save, table
from benchmarks.serve_process import slope_per_hour
from benchmarks.talks import detector, setup_for

_CHUNK_SAMPLES = 1600
_PENDING_SAMPLES = 60 * SAMPLE_RATE_HZ
"""More than the longest utterance, which is pending until it ends, and less than what would be shed."""
_SETTLED_SHARE = 0.25
"""The first part of a run fills caches; the slope is that of the rest."""


@dataclass(slots=True)
class Soak:
    """What a session went through: minute, and resident MB of parent and worker; and how it ended."""

    rows: list[tuple[float, float, float]] = field(default_factory=list)
    drops: int = 0
    restarts: int = 0
    received_samples: int = 0


async def measure(setup: Setup, samples: Samples, total: int) -> Soak:
    """Feed so many samples, which are repeated as often as it takes."""
    soak = Soak()

    def listen(event: Event) -> None:
        soak.drops += isinstance(event, Dropped)

    async with WorkerPool(setup.spec, PoolOptions(health=setup.health)) as pool:
        await pool.wait_ready()
        recognizer = PooledRecognizer(setup.spec.provider, setup.model, pool, lambda: "")
        processes = [psutil.Process(), *map(psutil.Process, pool.pids())]
        async with Session(detector(), StreamOptions(), recognizer, listen) as session:
            for fed in range(0, total, _CHUNK_SAMPLES):
                at = fed % (len(samples) - _CHUNK_SAMPLES)
                session.feed(samples[at : at + _CHUNK_SAMPLES])
                await session.wait_pending_below(_PENDING_SAMPLES)
                if fed % (60 * SAMPLE_RATE_HZ) == 0:
                    parent_mb, worker_mb = (process.memory_info().rss / 1e6 for process in processes)
                    soak.rows.append((fed / SAMPLE_RATE_HZ / 60, parent_mb, worker_mb))
            session.finish()
            await session.wait_ended()
            soak.received_samples = session.account.received_samples
        soak.restarts = pool.restarts
    return soak


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
    soak = asyncio.run(measure(setup_for(options.model, 1), samples, total))
    rows = soak.rows
    settled = np.array(rows[round(len(rows) * _SETTLED_SHARE) :])
    slopes = [slope_per_hour(60 * settled[:, 0], settled[:, column]) for column in (1, 2)]
    header = ["slope after the first quarter, MB/h: parent", "worker", "drops", "workers replaced"]
    tables = [
        table(["minute", "parent MB", "worker MB"], rows[:: max(1, len(rows) // 12)]),
        table([*header, "samples received"], [[*slopes, soak.drops, soak.restarts, soak.received_samples]]),
    ]
    print(*tables, sep="\n\n")
    data = {"machine": machine(), "rows": rows, "slopes_mb_per_hour": slopes, "drops": soak.drops}
    save("soak", data, *tables)
    return 0


if __name__ == "__main__":
    sys.exit(main())
