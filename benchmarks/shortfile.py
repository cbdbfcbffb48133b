"""Short files: an 11 s and a 2 s clip, whole process from exec to exit, `asrctl` and whisper.cpp in turns.

Also what comes before any decoding: the time of `asrctl --help`, and whether that imported numpy. The page
cache is warm: one run of each is thrown away.

    python -m benchmarks.shortfile --corpus benchmark-corpus --whisper-cli whisper-cli
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asrctl.models.store import ModelStore
from benchmarks.accuracy import accuracy
from benchmarks.common import (
    CORPUS,
    Clip,
    Table,
    machine,
    median_of,
    note,
    read_manifest,
    save,
    table,
)
from benchmarks.contestants import Contestant, Peers, asrctl_command, contestants
from benchmarks.measurement import Measurement, RunFailed, measure

LENGTHS_S = (11.0, 2.0)
TAKING_PART = (
    "asrctl default",
    "asrctl f16",
    "asrctl q8_0",
    "whisper.cpp f16 greedy",
    "whisper.cpp q8_0 greedy",
    "whisper.cpp f16 default (beam 5)",
)
IMPORTED = "import sys, asrctl.cli.main as m\ntry: m.main(['--help'])\nexcept SystemExit: pass\n"
ASK_NUMPY = IMPORTED + "print('numpy' in sys.modules, file=sys.stderr)"


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    peers = Peers(options.whisper_cli, None, options.cores)
    chosen = [one for one in contestants(peers, ModelStore()) if one.name in TAKING_PART]
    clips = [pick(read_manifest(options.corpus), length_s) for length_s in LENGTHS_S]
    results = []
    for clip in clips:
        runs = in_turns(chosen, options.corpus / clip.file, options.rounds, options.cores)
        results.append(clip_result(clip, chosen, runs))
    start = help_result(options.rounds)
    numpy = "yes" if start["imports_numpy"] else "no"
    tables = [clip_table(each) for each in results]
    tables.append(
        table(["command", "wall s (median)", "imports numpy"], [["asrctl --help", start["wall_s"], numpy]])
    )
    print(*tables, sep="\n\n")
    save(options.name, {"machine": machine(), "clips": results, "help": start}, *tables)
    return 0


def pick(clips: Sequence[Clip], length_s: float) -> Clip:
    """The clip whose length is nearest, of one of several sources."""
    return min(
        (clip for clip in clips if not clip.synthetic), key=lambda clip: abs(clip.duration_s - length_s)
    )


def in_turns(
    chosen: Sequence[Contestant], audio: Path, rounds: int, cores: int
) -> Mapping[str, list[Measurement]]:
    """Run all in turns, after one run of each that does not count. Who fails is named and left out."""
    runs: dict[str, list[Measurement]] = {}
    for one in chosen:
        try:
            measure(one.command(audio), memory=False, cores=cores)
            runs[one.name] = []
        except RunFailed as error:
            note(f"left out: {one.name}: {error}")
    for round_ in range(rounds):
        for one in chosen if round_ % 2 == 0 else reversed(chosen):
            if one.name in runs:
                runs[one.name].append(measure(one.command(audio), memory=False, cores=cores))
    return runs


def clip_result(
    clip: Clip, chosen: Sequence[Contestant], runs: Mapping[str, list[Measurement]]
) -> dict[str, Any]:
    """Medians and every wall time of the contestants on one clip."""
    return {
        "clip": clip.id,
        "duration_s": clip.duration_s,
        "contestants": [
            {
                "name": one.name,
                "wall_s": median_of([run.wall_s for run in runs[one.name]]),
                "cpu_s": median_of([run.cpu_s for run in runs[one.name]]),
                "wer_percent": accuracy(clip.text, one.words(runs[one.name][-1].stdout)).wer_percent,
                "walls_s": [round(run.wall_s, 4) for run in runs[one.name]],
                "others_cpu_s": round(sum(run.others_cpu_s for run in runs[one.name]), 2),
            }
            for one in chosen
            if one.name in runs
        ],
    }


def clip_table(result: dict[str, Any]) -> Table:
    """One clip's figures for people."""
    header = ["contestant", "wall s (median)", "fastest", "slowest", "CPU s", "WER %"]
    rows = [
        [
            one["name"],
            one["wall_s"],
            min(one["walls_s"]),
            max(one["walls_s"]),
            one["cpu_s"],
            one["wer_percent"],
        ]
        for one in result["contestants"]
    ]
    return table(header, rows, f"Clip of {result['duration_s']:.1f} s")


def help_result(rounds: int) -> dict[str, Any]:
    """The time of `asrctl --help`, and whether it imports numpy."""
    walls_s = [measure(asrctl_command("--help"), memory=False).wall_s for _ in range(rounds + 1)][1:]
    asked = subprocess.run([sys.executable, "-c", ASK_NUMPY], capture_output=True, text=True, check=True)
    return {
        "wall_s": median_of(walls_s),
        "walls_s": [round(wall_s, 4) for wall_s in walls_s],
        "imports_numpy": asked.stderr.strip().splitlines()[-1] == "True",
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shortfile", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="made by benchmarks.corpus")
    parser.add_argument("--whisper-cli", type=Path, help="whisper.cpp's command line, a Release build")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--name", default="shortfile", help="of the file in results/")
    return parser


if __name__ == "__main__":
    sys.exit(main())
