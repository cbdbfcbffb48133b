"""Whether the simulation behind the session count is right: it, and the engine with a recogniser that sleeps.

python -m benchmarks.session_model --sessions 4 8 12 --seconds 120 --output

`asrctl detect` measures what decodes take and reckons from that how late finals come with so many sessions
(`asrctl/policy/capacity.py`). Here the engine does it for real, with its sessions, queue, priorities, pacing
and worker process, and with the scripted recogniser, which sleeps for as long as a decode would take: so
nothing but the queueing is compared, and a busy machine disturbs little. Talkers speak as in the simulation.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from statistics import median

import numpy as np
from numpy.typing import NDArray

from asrctl.bench.paced import Latencies, Talk, latencies, play
from asrctl.bench.stats import percentile
from asrctl.engine.pool import WorkerPool
from asrctl.engine.slot import HealthCheck, PoolOptions
from asrctl.engine.stream import StreamOptions
from asrctl.policy import capacity
from asrctl.policy.endpointing import FRAME_SAMPLES
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.providers.scripted import WORD_SAMPLES, speak
from benchmarks.common import SAMPLE_RATE_HZ, machine, note, save, table

_SPEECH_LEVEL = 0.04
_VOCABULARY = 4000
_SEEDS = range(1, 7)


class Levels:
    """Finds "speech" by its level, a frame at a time."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.float32)

    def probabilities(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """1 for each loud frame, 0 for the others."""
        joined = np.concatenate([self._rest, samples])
        whole = len(joined) // FRAME_SAMPLES * FRAME_SAMPLES
        self._rest = joined[whole:]
        frames = np.abs(joined[:whole]).reshape(-1, FRAME_SAMPLES)
        found: NDArray[np.float32] = (frames.max(axis=1, initial=0.0) > _SPEECH_LEVEL).astype(np.float32)
        return found

    def flush(self) -> NDArray[np.float32]:
        """The last, shorter frame."""
        if not len(self._rest):
            return np.zeros(0, np.float32)
        return self.probabilities(np.zeros(FRAME_SAMPLES - len(self._rest), np.float32))


def talker(seed: int, seconds: float) -> Talk:
    """Utterances and pauses as the simulation has them."""
    dice, parts, spoken_s = Random(seed), list[NDArray[np.float32]](), 0.0
    parts.append(silence(dice.uniform(0.1, 5.0)))
    while spoken_s < seconds:
        utterance_s, pause_s = dice.choice(capacity.UTTERANCE_S), dice.uniform(*capacity.PAUSE_S)
        words = round(utterance_s * SAMPLE_RATE_HZ / WORD_SAMPLES)
        parts += [speak(dice.randrange(_VOCABULARY) for _ in range(words)), silence(pause_s)]
        spoken_s += utterance_s + pause_s
    return Talk(np.concatenate([*parts, silence(1.0)]), None)


def silence(duration_s: float) -> NDArray[np.float32]:
    """So much of it."""
    return np.zeros(round(duration_s * SAMPLE_RATE_HZ), np.float32)


def live(delay_s: float, workers: int, sessions: int, seconds: float) -> Latencies:
    """What the engine does."""
    options = StreamOptions(DecodeOptions())
    health = HealthCheck(speak([1, 2, 3]), frozenset({"w1"}), DecodeOptions())
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory, "script.json")
        script.write_text(json.dumps({"delay_s": delay_s}), encoding="utf-8")
        with WorkerPool(ModelSpec("scripted", script), PoolOptions(workers=workers, health=health)) as pool:
            pool.wait_ready()
            talks = [talker(seed, seconds) for seed in range(sessions)]
            heard = play(pool, talks, options, Levels)
    return latencies(talks, heard, options.endpointing)


def reckoned(delay_s: float, workers: int, sessions: int) -> Sequence[float]:
    """What the simulation says, several times."""
    costs = capacity.Costs(delay_s, 0.0, draft_factor=1.0)
    return [capacity.final_latency_s(costs, workers, sessions, seed=seed) for seed in _SEEDS]


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.session_model", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--delay", type=float, default=0.3, help="seconds that a decode takes (default 0.3)")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--sessions", type=int, nargs="+", default=[4, 8, 12, 16])
    parser.add_argument("--seconds", type=float, default=120.0, help="length of each (default 120)")
    parser.add_argument("--output", action="store_true", help="keep it in results/session_model.json")
    options = parser.parse_args(arguments)
    about, rows = machine(), list[list[object]]()
    for count in options.sessions:
        found = live(options.delay, options.workers, count, options.seconds)
        said = reckoned(options.delay, options.workers, count)
        p50_s, p95_s = (percentile(found.final_s, percent) for percent in (50, 95))
        rows.append(
            [count, found.utterances, p50_s, p95_s, median(said), f"{min(said):.2f} to {max(said):.2f}"]
        )
        note(f"{rows[-1]}")
    header = ["sessions", "utterances", "p50 s", "p95 s", "p95 as reckoned", "by seeds"]
    print(table(header, rows))
    if options.output:
        save("session_model", {"machine": about, "options": vars(options), "header": header, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
