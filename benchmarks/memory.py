"""Memory over a long file: all processes of `asrctl transcribe` together, sampled from start to end.

The file is the corpus' long file, repeated to the hours asked for. What counts is the sum over all processes:
resident sets (RSS, shared pages counted once for each process, so an upper bound) and proportional sets (PSS,
each page once). The slope is the median of the slopes of pairs of samples (Theil and Sen's) after the
first tenth of the run: one hard place in the audio does not tilt it, and the maxima show such places.

    python -m benchmarks.memory --corpus benchmark-corpus --hours 2
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common import CORPUS, Table, machine, median_of, note, save, table, wav_duration_s
from benchmarks.contestants import asrctl_command
from benchmarks.longfile import repeated
from benchmarks.measurement import Measurement, MemorySample, RunFailed, measure, plain

MIB = 1 << 20
KEPT_SAMPLES = 500
SLOPE_SAMPLES = 300


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options, passed_on = _parser().parse_known_args(arguments)
    audio = repeated(options.corpus, "long_a", options.hours)
    audio_s = wav_duration_s(audio)
    command = asrctl_command("transcribe", str(audio), "--format", "txt", *passed_on)
    try:
        run = measure(command, cores=options.cores)
    except RunFailed as error:
        note(f"{plain(command)}: {error}")
        return 1
    finally:
        audio.unlink()
    result = summary(run, audio_s / 3600)
    tables = report(result)
    print(*tables, sep="\n\n")
    record = {"machine": machine(), "measured": plain(command), "audio_s": audio_s, **result}
    save(options.name, record, *tables)
    return 0


def summary(run: Measurement, hours: float) -> dict[str, Any]:
    """Peaks, thirds and slopes of a run."""
    warm = [sample for sample in run.memory if sample.at_s >= run.wall_s / 10]
    hours_per_s = hours / run.wall_s
    return {
        "wall_s": round(run.wall_s, 1),
        "cpu_s": round(run.cpu_s, 1),
        "others_cpu_s": round(run.others_cpu_s, 1),
        "words": len(run.stdout.split()),
        "processes": max(sample.processes for sample in run.memory),
        "peak_rss_bytes": run.peak_rss_bytes,
        "peak_pss_bytes": run.peak_pss_bytes,
        "parts": [_part(name, part) for name, part in _thirds(warm)],
        "rss_slope_mib_per_audio_hour": _slope(
            [(s.at_s * hours_per_s, s.rss_bytes) for s in warm],
        ),
        "pss_slope_mib_per_audio_hour": _slope(
            [(s.at_s * hours_per_s, s.pss_bytes) for s in warm if s.pss_bytes],
        ),
        "samples": [asdict(sample) for sample in run.memory[:: max(1, len(run.memory) // KEPT_SAMPLES)]],
    }


def _thirds(samples: Sequence[MemorySample]) -> list[tuple[str, Sequence[MemorySample]]]:
    size = max(1, len(samples) // 3)
    return [("start", samples[:size]), ("middle", samples[size:-size]), ("end", samples[-size:])]


def _part(name: str, samples: Sequence[MemorySample]) -> dict[str, Any]:
    rss = [sample.rss_bytes for sample in samples] or [0]
    pss = [sample.pss_bytes for sample in samples if sample.pss_bytes] or [0]
    return {
        "part": name,
        "rss_median_bytes": median_of(rss),
        "rss_max_bytes": max(rss),
        "pss_median_bytes": median_of(pss),
        "pss_max_bytes": max(pss),
    }


def _slope(points: Sequence[tuple[float, int]]) -> float | None:
    if len(points) < 3:
        return None
    thinned = points[:: max(1, len(points) // SLOPE_SAMPLES)]
    slopes = [(b[1] - a[1]) / MIB / (b[0] - a[0]) for a, b in combinations(thinned, 2) if b[0] > a[0]]
    return round(median(slopes), 3) if slopes else None


def report(result: dict[str, Any]) -> list[Table]:
    """The figures for people."""
    sizes = ("rss_median_bytes", "rss_max_bytes", "pss_median_bytes", "pss_max_bytes")
    rows = [[part["part"], *(round(part[size] / MIB, 1) for size in sizes)] for part in result["parts"]]
    header = ["part of the run", "RSS median MiB", "RSS max", "PSS median", "PSS max"]
    peaks = [round(result[f"peak_{kind}_bytes"] / MIB) for kind in ("rss", "pss")]
    slopes = [result[f"{kind}_slope_mib_per_audio_hour"] for kind in ("rss", "pss")]
    whole = [[*peaks, result["processes"], result["wall_s"], *slopes]]
    of_all = ["peak RSS MiB", "peak PSS MiB", "processes", "wall s", "RSS slope MiB/h of audio", "PSS slope"]
    return [table(header, rows), table(of_all, whole)]


def _parser() -> argparse.ArgumentParser:
    about = f"{__doc__}\nOptions that are not listed here go to `asrctl transcribe`."
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory", description=about, allow_abbrev=False
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="made by benchmarks.corpus")
    parser.add_argument("--hours", type=float, default=2.0, help="length of the audio (default 2)")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--name", default="memory", help="of the file in results/")
    return parser


if __name__ == "__main__":
    sys.exit(main())
