"""Whether the session count that `asrctl detect` finds is right: met at that count, missed at twice that.

python -m benchmarks.session_count --output

Calibrates as `asrctl detect` does; takes what it says of the model's best layout; then plays so many live
sessions, and twice as many, as `asrctl bench stream` does, with the threads and processes that were measured.
Exit code 0 if the target is met at the first and missed at the second.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from asrctl.bench import stream
from asrctl.bench.backends import pooled
from asrctl.bench.results import Round
from asrctl.bench.setup import Setup, Speech, builtin, recorded
from asrctl.cli.bench_options import setup_of
from asrctl.detect import survey
from asrctl.detect.probes import probe_machine
from asrctl.models.store import ModelStore
from asrctl.policy.recommend import Capacity
from asrctl.policy.sizing import Wish
from asrctl.settings import Settings
from benchmarks.common import machine, note, save, table


def calibrated(model: str, target_s: float) -> Capacity:
    """What calibration says of a model's best layout here.

    Raises:
        SystemExit: It was not measured.
    """
    store, wish = ModelStore(), Wish(latency_s=target_s, language="en")
    calibration = survey.calibrated(probe_machine(store), store, wish, survey.LIMIT_S)
    measured = calibration.measured if calibration else ()
    ours = [each for each in measured if each.measurement.candidate.model == model]
    for each in ours:
        note(f"{each.measurement.candidate}: {each.sessions} sessions, {each.measurement.costs}")
    if not ours:
        raise SystemExit(f"{model} was not measured: is it in the cache?")
    return max(ours, key=lambda each: (each.sessions, -each.measurement.rtf))


def play(setup: Setup, speech: Speech, sessions: int, seconds: float) -> Round:
    """So many live sessions."""
    figures = stream.run(pooled(setup), stream.talks(speech, sessions, seconds))
    note(f"{sessions} sessions: " + ", ".join(f"{key} {value:.3g}" for key, value in figures.items()))
    return figures


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _options(arguments)
    about, target = machine(), stream.Target(options.target)
    found = calibrated(options.model, options.target)
    candidate = found.measurement.candidate
    speech = recorded(str(options.file), None) if options.file else builtin(options.seconds)
    setup = setup_of(
        Settings(), speech, candidate.provider, candidate.model, candidate.threads, candidate.workers
    )
    counts = [max(1, found.sessions), 2 * max(1, found.sessions)]
    rounds = [play(setup, speech, count, options.seconds) for count in counts]
    header = [
        "sessions",
        "p95 s",
        "p50",
        "dropped s",
        "others' CPU",
        "target",
    ]
    rows = [
        [
            count,
            figures.get("final_p95_s"),
            figures.get("final_p50_s"),
            figures["dropped_s"],
            f"{figures['busy_share']:.0%}",
            "met" if target.met_by(figures) else "missed",
        ]
        for count, figures in zip(counts, rounds, strict=True)
    ]
    print(f"{setup.name}: calibration says {found.sessions} sessions within {options.target:g} s")
    counts_table = table(header, rows)
    print(counts_table)
    if options.output:
        save(
            "session_count",
            {"machine": about, "measured": asdict(found), "rows": rows, "rounds": rounds},
            counts_table,
        )
    return 0 if [target.met_by(figures) for figures in rounds] == [True, False] else 1


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.session_count", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--model", default="tiny.en-q8_0")
    parser.add_argument(
        "--target", type=float, default=2.0, help="for the 95th percentile of finals, seconds"
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each session (default 60)")
    parser.add_argument("--file", type=Path, help="what the sessions hear (default: the built-in speech)")
    parser.add_argument("--output", action="store_true", help="keep it in results/session_count.json")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
