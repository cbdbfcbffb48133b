"""What the worker pool adds to a decode: time to the answer, less the recogniser's own, for 10 s of audio.

    python -m benchmarks.dispatch [--jobs 300]

The scripted provider takes next to no time, so that what is left is writing, waking, reading and answering.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.transcript import SAMPLE_RATE_HZ
from asrctl.workers.pool import WorkerPool

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


def main() -> None:
    """Print the median and the 95th percentile."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the audio")
    given = parser.parse_args()
    found = sorted(asyncio.run(overheads_ms(given.jobs, given.seconds)))
    p95 = found[int(0.95 * len(found))]
    print(
        f"{given.jobs} decodes of {given.seconds:g} s: {statistics.median(found):.2f} ms at the median, p95 {p95:.2f}"
    )


if __name__ == "__main__":
    main()
