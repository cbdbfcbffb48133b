"""Whether `asrctl bench compare` sees a slowdown of 10 %, and no difference where there is none.

python -m benchmarks.compare_proof --output

Each try measures the default model twice, side by side: a round of A, a round of B, a round of B, a round
of A, and so on, by the code of `asrctl bench rtf`; then `bench compare` judges the two documents. In the
tries of the first kind A and B are the same; in those of the second, each decode of B is followed by other
work that takes a tenth of its processor time (`benchmarks/slowed_worker.py`). Both sides have their process
for all of a try, so that only a moment lies between the two of a pair.

One thread decodes, so that processor time is what the work takes, whatever else runs; with several, OpenMP's
spinning is in it. RTF sees the slowdown on a quiet machine; where others disturb it for longer than a round,
only processor time does. The proof fails if anything of the first kind is called a difference, or if a try of
the second shows neither RTF nor processor time to be more.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from asrctl.bench import rtf
from asrctl.bench.compare import Comparison, compare
from asrctl.bench.results import Result, Round, Row, as_json, read
from asrctl.bench.setup import Setup, Speech, builtin
from asrctl.cli.bench_options import setup_of
from asrctl.settings import Settings
from benchmarks.common import machine, note, save, table
from benchmarks.slowed_worker import slowed

_SPEED = ("rtf", "cpu_per_audio_s")


def measure(setup: Setup, speech: Speech, slowdown: float, rounds: int) -> list[Comparison]:
    """One try: what `bench compare` says of A and B."""
    found: tuple[list[Round], list[Round]] = ([], [])
    with (
        rtf.ready_workers(setup, slowed(0.0)) as first,
        rtf.ready_workers(setup, slowed(slowdown)) as second,
    ):
        for number in range(rounds):
            for side in (0, 1) if number % 2 == 0 else (1, 0):
                found[side].append(rtf.decode(speech, (first, second)[side]))
    rows = [Row(setup.name, setup.description, side) for side in found]
    before, after = (_read_back(Result("rtf", [row], speech.description)) for row in rows)
    return compare(before, after)


def _read_back(result: Result) -> Result:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "result.json")
        path.write_text(json.dumps(as_json(result)), encoding="utf-8")
        return read(path)


def different(found: Sequence[Comparison]) -> list[str]:
    """The metrics that were called a difference."""
    return [each.metric for each in found if each.ratio is not None and each.ratio.differs]


def seen(found: Sequence[Comparison], metric: str) -> bool:
    """Whether a metric was called more."""
    return any(
        each.metric == metric and each.ratio is not None and each.ratio.differs and each.ratio.value > 1
        for each in found
    )


def line(kind: str, number: int, found: Sequence[Comparison]) -> list[object]:
    """A try for the table."""
    cells: list[object] = [kind, number]
    for metric in _SPEED:
        ratio = next(each.ratio for each in found if each.metric == metric)
        assert ratio is not None
        cells += [f"{ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f})", f"{ratio.noise:.1%}"]
    return [*cells, ", ".join(different(found)) or "none"]


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 1 if the proof fails."""
    options = _options(arguments)
    about = machine()
    speech = builtin(options.seconds)
    setup = setup_of(Settings(), speech, "whisper_cpp", None, 1, 1)
    kinds = [("same", 0.0, number + 1) for number in range(options.same)]
    kinds += [("slowed", options.slowdown, number + 1) for number in range(options.slowed)]
    tries: list[tuple[str, int, list[Comparison]]] = []
    for kind, slowdown, number in kinds:
        tries.append((kind, number, measure(setup, speech, slowdown, options.rounds)))
        note("  ".join(map(str, line(*tries[-1]))))
    header = ["tries", "#", "RTF, B / A", "noise", "CPU, B / A", "noise", "called a difference"]
    found = table(header, [line(*each) for each in tries])
    print(found)
    print(f"{setup.name}, {options.rounds} rounds, load average {about['load_average_1m']} at the beginning")
    wrong = [metric for kind, _, found in tries if kind == "same" for metric in different(found)]
    print(f"no change: {len(wrong)} of all lines called a difference in {options.same} tries")
    slower = [found for kind, _, found in tries if kind == "slowed"]
    by = {metric: sum(seen(found, metric) for found in slower) for metric in _SPEED}
    told = ", ".join(f"by {metric} in {count}" for metric, count in by.items())
    print(f"slower by {options.slowdown:.0%}: seen {told} of {options.slowed} tries")
    if options.output:
        rows = [
            {"kind": kind, "try": at, "found": [asdict(each) for each in found]} for kind, at, found in tries
        ]
        save("compare_proof", {"machine": about, "options": vars(options), "rows": rows}, found)
    missed = [found for found in slower if not any(seen(found, metric) for metric in _SPEED)]
    return 1 if wrong or missed else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare_proof", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--same", type=int, default=20, help="tries of A against A (default 20)")
    parser.add_argument("--slowed", type=int, default=5, help="tries of A against slowed A (default 5)")
    parser.add_argument("--slowdown", type=float, default=0.1, help="share of it (default 0.1)")
    parser.add_argument("--rounds", type=int, default=60, help="of each side in a try (default 60)")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of the speech (default 8)")
    parser.add_argument("--output", action="store_true", help="keep it in results/compare_proof.json")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
