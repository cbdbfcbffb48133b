"""Long files: speed, accuracy and memory of asrctl against whisper.cpp's own command line and faster-whisper.

All contestants decode the same audio with the same weights on the same cores, each as a whole process from
exec to exit. A round runs all of them, one after the other; every second round goes backwards, so that what
disturbs the machine spreads over all. Figures are medians over the rounds, ratios the medians of ratios
within a round.

    python -m benchmarks.comparison --corpus benchmark-corpus \\
        --whisper-cli whisper-cli --faster-whisper-python venv/bin/python
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from asrctl.models.store import ModelStore
from benchmarks.accuracy import Accuracy, accuracy
from benchmarks.common import (
    CORPUS,
    Table,
    half_option,
    machine,
    median_of,
    note,
    save,
    table,
    wav_duration_s,
)
from benchmarks.contestants import OURS, Contestant, Peers, contestants
from benchmarks.measurement import Measurement, RunFailed, measure, plain

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A contestant with its runs, one for each round, and the accuracy of each."""

    contestant: Contestant
    command: str
    runs: tuple[Measurement, ...]
    accuracies: tuple[Accuracy, ...]

    @property
    def accuracy(self) -> Accuracy:
        """That of the run whose WER is the median; the upper one of two."""
        return sorted(self.accuracies, key=lambda found: found.wer_percent)[len(self.accuracies) // 2]

    @property
    def wall_s(self) -> float:
        """Median over the rounds."""
        return median_of([run.wall_s for run in self.runs])

    def ratio(self, other: Entry) -> float:
        """How many times as fast as another: the median of the ratios within a round."""
        pairs = zip(self.runs, other.runs, strict=False)
        return median_of([theirs.wall_s / ours.wall_s for ours, theirs in pairs])


@dataclass(frozen=True, slots=True)
class Target:
    """A claim: some setting of ours is so many times as fast as a peer, at so little more WER."""

    peer: str
    times: float
    wer_slack: float


TARGETS = (
    Target("whisper.cpp f16 greedy", 1.5, 0.5),
    Target("whisper.cpp q8_0 greedy", 1.5, 0.5),
    Target("whisper.cpp q8_0 greedy, by pywhispercpp", 1.2, 0.5),
    Target("whisper.cpp f16 default (beam 5)", 2.0, 1.0),
    Target("whisper.cpp q8_0 default (beam 5)", 2.0, 1.0),
    *(
        Target(f"faster-whisper {how}, beam {beam}", 1.0, 0.0)
        for how in ("sequential", "sequential, VAD", "batched 8", "batched 16")
        for beam in (1, 5)
    ),
)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    peers = Peers(options.whisper_cli, options.faster_whisper_python, options.cores)
    everyone = contestants(peers, ModelStore())
    chosen = [
        one
        for one in everyone
        if not options.only or any(fnmatchcase(one.name, pattern) for pattern in options.only)
    ]
    audio = options.audio or options.corpus / (f"flow_{options.half}.wav" if options.half else "long_a.wav")
    reference = (options.reference or audio.with_suffix(".txt")).read_text(encoding="utf-8")
    entries = run(chosen, audio, reference, options.rounds, options.cores)
    if not entries:
        note("no contestant finished")
        return 1
    if options.keep_outputs:
        keep_outputs(entries, options.keep_outputs)
    duration_s = wav_duration_s(audio)
    plane = plane_table(entries, duration_s)
    print(plane, "", *target_lines(entries), "", *dominance_lines(entries), sep="\n")
    save(options.name, as_result(entries, duration_s, options.rounds, options.cores), plane)
    return 0


def run(chosen: Sequence[Contestant], audio: Path, reference: str, rounds: int, cores: int) -> list[Entry]:
    """Run all contestants in turns. Who fails is named on stderr and left out from then on."""
    runs: dict[str, list[Measurement]] = {one.name: [] for one in chosen}
    for round_ in range(rounds):
        for one in chosen if round_ % 2 == 0 else reversed(chosen):
            if len(runs[one.name]) < round_:
                continue
            try:
                done = measure(one.command(audio), cores=cores)
            except RunFailed as error:
                note(f"left out: {one.name}: {error}")
                continue
            runs[one.name].append(done)
            seconds = f"{done.wall_s:.1f} s, others used {done.others_cpu_s:.0f} CPU s"
            note(f"round {round_ + 1}: {one.name}: {seconds}")
    finished = [one for one in chosen if len(runs[one.name]) == rounds]
    return [_entry(one, audio, reference, runs[one.name]) for one in finished]


def _entry(one: Contestant, audio: Path, reference: str, runs: Sequence[Measurement]) -> Entry:
    found = tuple(accuracy(reference, one.words(run.stdout)) for run in runs)
    return Entry(one, plain(one.command(audio)), tuple(runs), found)


def keep_outputs(entries: Sequence[Entry], directory: Path) -> None:
    """Write what each contestant printed in its last run, for whoever wants to read the errors."""
    directory.mkdir(parents=True, exist_ok=True)
    for entry in entries:
        path = directory / f"{entry.contestant.name}.txt"
        path.write_text(entry.contestant.words(entry.runs[-1].stdout), encoding="utf-8")


def plane_table(entries: Sequence[Entry], duration_s: float) -> Table:
    """Speed, cost and word errors of all."""
    header = ["contestant", "wall s", "x real time", "CPU s", "first text s"]
    header += ["peak RSS MiB", "peak PSS MiB", "WER %", "sub", "del", "ins"]
    ordered = sorted(entries, key=lambda entry: entry.wall_s)
    return table(header, [_row(entry, duration_s) for entry in ordered])


def _row(entry: Entry, duration_s: float) -> list[object]:
    found = entry.accuracy
    figures = medians(entry)
    return [
        entry.contestant.name,
        entry.wall_s,
        duration_s / entry.wall_s,
        figures["cpu_s"],
        figures["first_output_s"],
        round(figures["peak_rss_bytes"] / MIB),
        round(figures["peak_pss_bytes"] / MIB),
        f"{found.wer_percent:.2f}",
        found.substitutions,
        found.deletions,
        found.insertions,
    ]


def medians(entry: Entry) -> dict[str, float]:
    """What the table shows of the runs."""
    return {
        "wall_s": entry.wall_s,
        "cpu_s": median_of([run.cpu_s for run in entry.runs]),
        "others_cpu_s": median_of([run.others_cpu_s for run in entry.runs]),
        "first_output_s": median_of([run.first_output_s or run.wall_s for run in entry.runs]),
        "peak_rss_bytes": median_of([run.peak_rss_bytes for run in entry.runs]),
        "peak_pss_bytes": median_of([run.peak_pss_bytes for run in entry.runs]),
    }


def target_lines(entries: Sequence[Entry]) -> list[str]:
    """For each target: our fastest setting that is accurate enough, and whether it is fast enough."""
    names = {entry.contestant.name: entry for entry in entries}
    return [_target_line(target, names[target.peer], entries) for target in TARGETS if target.peer in names]


def _target_line(target: Target, peer: Entry, entries: Sequence[Entry]) -> str:
    allowed = peer.accuracy.wer_percent + target.wer_slack
    ours = [e for e in entries if e.contestant.side == OURS and e.accuracy.wer_percent <= allowed]
    wanted = f"{target.times:g} x {target.peer} at WER <= {allowed:.2f} %"
    if not ours:
        return f"MISSED: {wanted}: no setting of ours is that accurate"
    best = max(ours, key=lambda entry: entry.ratio(peer))
    ratio = best.ratio(peer)
    verdict = "reached" if ratio >= target.times else "MISSED"
    return f"{verdict}: {wanted}: {best.contestant.name} {ratio:.2f} x, WER {best.accuracy.wer_percent:.2f} %"


def dominance_lines(entries: Sequence[Entry]) -> list[str]:
    """Which peers' points none of ours equals in both speed and accuracy, and who dominates each of ours."""
    ours = [entry for entry in entries if entry.contestant.side == OURS]
    peers = [entry for entry in entries if entry.contestant.side != OURS]
    lines = []
    for peer in peers:
        if not any(_dominates(one, peer) for one in ours):
            lines.append(f"not dominated by any of ours: {peer.contestant.name}")
    for one in ours:
        better = [peer.contestant.name for peer in peers if _dominates(peer, one)]
        if better:
            lines.append(f"{one.contestant.name} is dominated by: {'; '.join(better)}")
    return lines or ["no peer's point dominates one of ours, and each is dominated by one of ours"]


def _dominates(one: Entry, other: Entry) -> bool:
    """At least as fast and as accurate, and better in one of them."""
    gains = (one.ratio(other) - 1.0, other.accuracy.wer_percent - one.accuracy.wer_percent)
    return min(gains) >= 0 and max(gains) > 0


def as_result(entries: Sequence[Entry], duration_s: float, rounds: int, cores: int) -> dict[str, Any]:
    """Everything as JSON, each run included."""
    return {
        "machine": machine(),
        "audio_s": duration_s,
        "rounds": rounds,
        "cores": cores,
        "contestants": [_as_json(entry, duration_s) for entry in entries],
        "targets": target_lines(entries),
        "dominance": dominance_lines(entries),
    }


def _as_json(entry: Entry, duration_s: float) -> dict[str, Any]:
    fields = ("wall_s", "cpu_s", "others_cpu_s", "first_output_s", "peak_rss_bytes", "peak_pss_bytes")
    return {
        "name": entry.contestant.name,
        "side": entry.contestant.side,
        "command": entry.command,
        "speed": round(duration_s / entry.wall_s, 2),
        "accuracy": asdict(entry.accuracy),
        "medians": medians(entry),
        "wer_percents": [found.wer_percent for found in entry.accuracies],
        "runs": [{field: getattr(run, field) for field in fields} for run in entry.runs],
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.comparison", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="made by benchmarks.corpus")
    half_option(parser)
    parser.add_argument("--audio", type=Path, help="another WAV file than the corpus' long_a.wav")
    parser.add_argument("--reference", type=Path, help="its words; by default beside it, as .txt")
    parser.add_argument("--whisper-cli", type=Path, help="whisper.cpp's command line, a Release build")
    parser.add_argument("--faster-whisper-python", type=Path, help="an interpreter with faster-whisper 1.2.1")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2, help="cores and threads for each (default 2)")
    parser.add_argument(
        "--only", action="append", metavar="PATTERN", help="names to run, such as 'asrctl q8_0*'"
    )
    parser.add_argument("--keep-outputs", type=Path, metavar="DIR", help="write each contestant's text here")
    parser.add_argument("--name", default="comparison", help="of the files in results/")
    return parser


if __name__ == "__main__":
    sys.exit(main())
