"""What the worker pool adds to a decode: time to the answer, less the recogniser's own, for 10 s of audio.

python -m benchmarks.dispatch --jobs 300

The scripted provider takes next to no time, so that what is left is writing, waking, reading and answering.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.transcript import SAMPLE_RATE_HZ
from asrctl.workers.pool import WorkerPool
from benchmarks.common import machine, save, table

_WARM_UP_JOBS = 10


async def overheads_ms(jobs: int, duration_s: float) -> list[float]:
    """The overhead of each of so many decodes, in milliseconds."""
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory, "script.json")
        script.write_text("{}")
        samples = np.zeros(round(duration_s * SAMPLE_RATE_HZ), np.float32)
        found = []
        async with WorkerPool(ModelSpec("scripted", script)) as pool:
            await pool.wait_ready()
            for _ in range(_WARM_UP_JOBS + jobs):
                started_s = time.perf_counter()
                hypothesis = await pool.decode(samples, DecodeOptions())
                found.append(1000 * (time.perf_counter() - started_s - hypothesis.inference_s))
        return found[_WARM_UP_JOBS:]


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dispatch", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the audio")
    parser.add_argument("--output", action="store_true", help="keep it in results/dispatch.json")
    options = parser.parse_args(arguments)
    found = asyncio.run(overheads_ms(options.jobs, options.seconds))
    shares = [float(value) for value in np.percentile(found, (50, 95))]
    shown = table(["decodes", "of s", "p50 ms", "p95 ms"], [[options.jobs, options.seconds, *shares]])
    print(shown)
    if options.output:
        save("dispatch", {"machine": machine(), "overheads_ms": found}, shown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
