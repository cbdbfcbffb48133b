"""What our workers add to transcribe.cpp, with a model of small random weights that takes next to no time.

python -m benchmarks.transcribe_cpp windows --rounds 100

`windows`: a window through the pool, less the same window through the library alone in this process, in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import transcribe_cpp

from asrctl.audio.sample import sample_speech
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.workers.pool import WorkerPool
from benchmarks.common import machine, save, table
from tests.providers.small_gguf import write_model

_WARM_UP = 5


async def windows_ms(model: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each window: through the pool, and through the library alone."""
    transcribe_cpp.set_log_callback(None)
    samples, ours, alone = sample_speech(), list[float](), list[float]()
    async with WorkerPool(ModelSpec("transcribe_cpp", model, use_gpu=False)) as pool:
        await pool.wait_ready()
        with transcribe_cpp.Model(model, backend="cpu") as loaded, loaded.session(n_threads=1) as session:
            for _ in range(_WARM_UP + rounds):
                started_s = time.perf_counter()
                with contextlib.suppress(transcribe_cpp.OutputTruncated):  # random weights never end
                    session.run(samples, language="en")
                alone.append(1000 * (time.perf_counter() - started_s))
                started_s = time.perf_counter()
                await pool.decode(samples, DecodeOptions())
                ours.append(1000 * (time.perf_counter() - started_s))
    return ours[_WARM_UP:], alone[_WARM_UP:]


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transcribe_cpp", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("what", choices=["windows"])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--output", action="store_true", help="keep it in results/")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        model = write_model(Path(directory, "small.gguf"))
        ours, alone = asyncio.run(windows_ms(model, options.rounds))
    added = float(np.median(ours) - np.median(alone))
    row = [options.rounds, float(np.median(alone)), float(np.median(ours)), added]
    shown = table(["windows", "library ms", "pool ms", "added ms"], [row])
    print(shown)
    if options.output:
        save("transcribe_cpp_windows", {"machine": machine(), "pool_ms": ours, "library_ms": alone}, shown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
