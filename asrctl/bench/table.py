"""Results as tables that people like to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from asrctl.bench.compare import Comparison
from asrctl.bench.results import Result, Row


@dataclass(frozen=True, slots=True)
class _Column:
    """A heading, and the metrics whose medians stand below it, in a format."""

    heading: str
    metrics: tuple[str, ...]
    format: str

    def cell(self, row: Row) -> str:
        figures = row.figures
        return "/".join(
            self.format.format(figures[metric]) if metric in figures else "-" for metric in self.metrics
        )


_WER = _Column("WER %", ("wer_percent",), "{:.1f}")
_CPU = _Column("CPU s/s", ("cpu_per_audio_s",), "{:.3f}")
_PEAK = _Column("peak MB", ("peak_rss_mb",), "{:.0f}")
_DROPPED = _Column("dropped s", ("dropped_s",), "{:.1f}")

_COLUMNS = {
    "rtf": (
        _Column("RTF", ("rtf",), "{:.4f}"),
        _Column("window p50/p95 s", ("window_p50_s", "window_p95_s"), "{:.2f}"),
        _Column("load s", ("load_s",), "{:.2f}"),
        _CPU,
        _PEAK,
        _WER,
        _DROPPED,
    ),
    "coldstart": (
        _Column("interpreter s", ("interpreter_s",), "{:.3f}"),
        _Column("+ imports", ("imports_s",), "{:.3f}"),
        _Column("+ load", ("load_s",), "{:.3f}"),
        _Column("+ warm-up", ("warm_up_s",), "{:.3f}"),
        _Column("= ready", ("ready_s",), "{:.3f}"),
        _Column("first words", ("first_words_s",), "{:.3f}"),
        _Column("by command", ("command_s",), "{:.3f}"),
        _Column("disk MB", ("disk_mb",), "{:.0f}"),
    ),
    "stream": (
        _Column(
            "first partial p50/p95/p99 s",
            ("first_partial_p50_s", "first_partial_p95_s", "first_partial_p99_s"),
            "{:.2f}",
        ),
        _Column("final p50/p95/p99 s", ("final_p50_s", "final_p95_s", "final_p99_s"), "{:.2f}"),
        _Column("word lag p50/p95 s", ("word_lag_p50_s", "word_lag_p95_s"), "{:.2f}"),
        _WER,
        _Column("unpaced", ("unpaced_wer_percent",), "{:.1f}"),
        _Column("against it", ("wer_against_unpaced_percent",), "{:.1f}"),
        _CPU,
        _PEAK,
        _DROPPED,
        _Column("undeclared s", ("undeclared_s",), "{:.1f}"),
    ),
}
_NOISY = {"rtf": "rtf", "coldstart": "ready_s", "stream": "final_p95_s"}
"""The metric of each benchmark whose noise is shown."""


def result_table(result: Result) -> str:
    """One line for each row: medians over the rounds, and how far the rounds lie apart."""
    columns = _COLUMNS[result.bench]
    speed = ["x real time"] if result.bench == "rtf" else []
    header = ["", *speed, *(column.heading for column in columns), "noise"]
    lines = []
    for row in result.rows:
        fast = [f"{1 / row.figures['rtf']:.1f}"] if speed else []
        lines.append([row.name, *fast, *(column.cell(row) for column in columns), _noise(result.bench, row)])
    return table(header, lines)


def _noise(bench: str, row: Row) -> str:
    share = row.noise.get(_NOISY[bench])
    return "-" if share is None else f"±{share:.1%}"


def comparison_table(found: Sequence[Comparison]) -> str:
    """One line for each metric, with the interval of the ratio."""
    header = ["", "metric", "A", "B", "B / A", "interval", "verdict"]
    return table(header, [_compared(each) for each in found], left=(0, 1, 6))


def _compared(found: Comparison) -> list[str]:
    ratio = found.ratio
    figures = [f"{found.before:.4g}", f"{found.after:.4g}"]
    shown = [f"{ratio.value:.3f}", f"{ratio.low:.3f} to {ratio.high:.3f}"] if ratio else ["-", "-"]
    return [found.row, found.metric, *figures, *shown, found.verdict]


def table(header: Sequence[str], lines: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Columns with two spaces between; those in `left` are aligned left, the others right."""
    rows = [list(header), *(list(line) for line in lines)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(header))]
    return "\n".join("  ".join(_aligned(row, widths, left)).rstrip() for row in rows)


def _aligned(row: Sequence[str], widths: Sequence[int], left: Sequence[int]) -> Iterator[str]:
    for index, (cell, width) in enumerate(zip(row, widths, strict=True)):
        yield cell.ljust(width) if index in left else cell.rjust(width)
