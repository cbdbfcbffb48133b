"""The figures that matter most as bars, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from asrctl.bench.plane import LATENCIES
from asrctl.bench.results import Result, Row

_WIDTH = 48
_EIGHTHS = " ▏▎▍▌▋▊▉"


def bars_of(result: Result) -> str:
    """A line for each row, or of live sessions for each latency of each row; the longest bar is the most."""
    found = [bar for row in result.rows for bar in _bars(result.bench, row)]
    label = max((len(name) for name, _, _ in found), default=0)
    most = max((value for _, value, _ in found), default=0.0)
    return "\n".join(f"{name:<{label}}  {_bar(value, most)} {told}" for name, value, told in found)


def _bars(bench: str, row: Row) -> Iterator[tuple[str, float, str]]:
    """Name, length and what to write beside it."""
    figures = row.figures
    if bench == "rtf":
        yield row.name, 1 / figures["rtf"], f"{1 / figures['rtf']:.1f} x real time"
    elif bench == "coldstart":
        yield row.name, figures["ready_s"], f"{figures['ready_s']:.3f} s until ready"
    else:
        for name, metric in LATENCIES.items():
            if metric in figures:
                value = figures[metric]
                yield f"{row.setup['sessions']} sessions, {name}", value, f"{value:.2f} s (95th percentile)"


def _bar(value: float, most: float) -> str:
    eighths = round(8 * _WIDTH * value / most) if most > 0 and value > 0 else 0
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")
