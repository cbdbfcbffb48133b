"""The figures that matter most as bars, for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from asrctl.bench.compare import Comparison
from asrctl.bench.lanes import PARTS, name_of, parts_of, reach_of, told_of
from asrctl.bench.plane import LATENCIES
from asrctl.bench.results import Result, Row

_WIDTH = 48
_EIGHTHS = " ▏▎▍▌▋▊▉"
_SHADES = dict(zip(PARTS, "░▒▓█", strict=True))


def bars_of(result: Result) -> str:
    """A line for each row, or of live sessions for each latency of each row; the longest bar is the most."""
    if result.bench == "coldstart":
        return _stacks(result.rows)
    found = [bar for row in result.rows for bar in _bars(result.bench, row)]
    most = max((value for _, value, _ in found), default=0.0)
    return _lines([(name, _bar(value, most), told) for name, value, told in found])


def intervals_of(found: Sequence[Comparison]) -> str:
    """A line for each comparison: B over A with its interval, on a logarithmic scale with 1 in the middle."""
    reach = reach_of(found)
    low, high = f"{math.exp(-reach):.3g}", f"{math.exp(reach):.3g}"
    scale = f"{low}{'1':^{_WIDTH + 1 - 2 * len(low)}}{high:>{len(low)}}"
    lines = [(name_of(each), _interval(each, reach), told_of(each)) for each in found]
    return _lines([("B / A: less is better", scale, ""), *lines])


def _bars(bench: str, row: Row) -> Iterator[tuple[str, float, str]]:
    """Name, length and what to write beside it."""
    figures = row.figures
    if bench == "rtf":
        yield row.name, 1 / figures["rtf"], f"{1 / figures['rtf']:.1f} x real time"
    else:
        for name, metric in LATENCIES.items():
            if metric in figures:
                value = figures[metric]
                yield f"{row.setup['sessions']} sessions, {name}", value, f"{value:.2f} s (95th percentile)"


def _bar(value: float, most: float) -> str:
    eighths = round(8 * _WIDTH * value / most) if most > 0 and value > 0 else 0
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")


def _stacks(rows: Sequence[Row]) -> str:
    """The parts of each start, one after the other, and what the shades are."""
    most = max((sum(parts_of(row).values()) for row in rows), default=0.0)
    told = [f"{row.figures['ready_s']:.3f} s until ready" for row in rows]
    lines = [(row.name, _stack(parts_of(row), most), words) for row, words in zip(rows, told, strict=True)]
    return _lines([*lines, ("", "  ".join(f"{shade} {name}" for name, shade in _SHADES.items()), "")])


def _stack(parts: dict[str, float], most: float) -> str:
    bar, end_s = "", 0.0
    for name, seconds in parts.items():
        end_s += seconds
        bar += _SHADES[name] * (round(_WIDTH * end_s / most) - len(bar))
    return bar


def _interval(found: Comparison, reach: float) -> str:
    cells = [" "] * (_WIDTH + 1)
    cells[_WIDTH // 2] = "│"
    if found.ratio:
        ends = (found.ratio.low, found.ratio.value, found.ratio.high)
        low, middle, high = (round(_WIDTH / 2 * (1 + math.log(each) / reach)) for each in ends)
        cells[low : high + 1] = "─" * (high + 1 - low)
        cells[middle] = "●"
    return "".join(cells)


def _lines(found: Sequence[tuple[str, str, str]]) -> str:
    label = max((len(name) for name, _, _ in found), default=0)
    return "\n".join(f"{name:<{label}}  {bar} {told}".rstrip() for name, bar, told in found)
