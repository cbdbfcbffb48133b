"""How long a worker takes from exec to ready, and where the time goes.

python -m benchmarks.coldstart --rounds 10

Ready means: the model is loaded and has decoded the sample sentence that ships with asrctl, with its words.
Run it twice: the first run fills the page cache.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from asrctl.audio.sample import SAMPLE_WORDS, sample_speech
from asrctl.detect.cpus import threads_per_worker
from asrctl.engine.pool import WorkerPool
from asrctl.engine.slot import HealthCheck, PoolOptions
from asrctl.models.store import ModelStore
from asrctl.policy.window import Effort
from asrctl.providers.base import DecodeOptions, ModelSpec
from benchmarks.common import machine, median_of, save, table

_IMPORTS = "import asrctl.engine.worker, asrctl.providers.whisper_cpp, _pywhispercpp, os; os._exit(0)"


def seconds_of(code: str) -> float:
    """Wall time of a Python process that runs some code."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - started


def pool_seconds(spec: ModelSpec, health: HealthCheck) -> tuple[float, float, float]:
    """Seconds from the start of a pool until its worker has loaded, for its warm-up, and in all."""
    started = time.perf_counter()
    with WorkerPool(spec, PoolOptions(health=health)) as pool:
        pool.wait_ready()
        total_s = time.perf_counter() - started
        return pool.slots[0].load_s, pool.slots[0].warm_up_s, total_s


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coldstart", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--model", default="tiny.en-q8_0")
    options = parser.parse_args(arguments)
    spec = ModelSpec("whisper_cpp", ModelStore().resolve(options.model).path, threads_per_worker(1))
    health = HealthCheck(sample_speech(), SAMPLE_WORDS, DecodeOptions(effort=Effort.DRAFT))
    rows = []
    for _ in range(options.rounds):
        interpreter_s, imported_s = seconds_of("pass"), seconds_of(_IMPORTS)
        loaded_s, warm_up_s, total_s = pool_seconds(spec, health)
        rows.append(
            {
                "interpreter": interpreter_s,
                "imports": imported_s - interpreter_s,
                "load": loaded_s - imported_s,
                "warm-up": warm_up_s,
                "exec to ready": total_s,
            }
        )
    medians = {name: median_of([row[name] for row in rows]) for name in rows[0]}
    print(table(["part", "median s"], medians.items()))
    save("coldstart", {"machine": machine(), "model": options.model, "median_s": medians, "rounds": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
