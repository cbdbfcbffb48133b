"""Results as pictures: bars on a terminal by rich, files by matplotlib."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from asrctl.bench.compare import Comparison
from asrctl.bench.results import Result, Row
from asrctl.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TERMINAL = "-"
FORMATS = (".svg", ".png", ".pdf")
PARTS = {"interpreter": "interpreter_s", "imports": "imports_s", "load": "load_s", "warm-up": "warm_up_s"}
"""What a cold start is made of, in this order."""
LATENCIES = {"final": "final_p95_s", "word lag": "word_lag_p95_s", "first partial": "first_partial_p95_s"}
"""What people wait for in a live session."""
_BAR_WIDTH = 48


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar from one value to another, with its name before it and its figure behind."""

    name: str
    start: float
    end: float
    figure: str


def check(plot: str | None) -> None:
    """Raise UsageError if the picture cannot be drawn: before anything is measured."""
    if plot is None or plot == TERMINAL:
        return
    if Path(plot).suffix.lower() not in FORMATS:
        raise UsageError(f"--plot {plot}: the file's name must end in {', '.join(FORMATS)}")
    if find_spec("matplotlib") is None:
        raise UsageError("--plot FILE needs matplotlib: pip install 'asrctl[plot]'; --plot - does not")


def draw(plot: str | None, result: Result | Sequence[Comparison]) -> None:
    """Draw on standard error if `plot` is `TERMINAL`, else into that file.

    Raises:
        UsageError: The file cannot be written, or there is nothing to draw.
    """
    if plot == TERMINAL:
        _show(list(bars_of(result)))
    elif plot is not None:
        _save(plot, result)


def bars_of(result: Result | Sequence[Comparison]) -> Iterator[Bar]:
    """Speeds, latencies, the consecutive parts of cold starts, or the intervals of ratios."""
    if not isinstance(result, Result):
        yield from (_interval(each) for each in result if each.ratio)
        return
    for row in result.rows:
        yield from {"rtf": _speed, "coldstart": _parts, "stream": _latencies}[result.bench](row)


def _speed(row: Row) -> Iterator[Bar]:
    speed = 1 / row.figures["rtf"]
    yield Bar(row.name, 0.0, speed, f"{speed:.1f} x real time")


def _latencies(row: Row) -> Iterator[Bar]:
    for name, metric in LATENCIES.items():
        if metric in row.figures:
            late_s = row.figures[metric]
            yield Bar(f"{row.setup['sessions']} sessions, {name}", 0.0, late_s, f"{late_s:.2f} s (p95)")


def _parts(row: Row) -> Iterator[Bar]:
    end_s = 0.0
    for name, metric in PARTS.items():
        if metric in row.figures:
            start_s, end_s = end_s, end_s + row.figures[metric]
            yield Bar(f"{row.name}: {name}", start_s, end_s, f"{end_s - start_s:.3f} s")


def _interval(found: Comparison) -> Bar:
    assert found.ratio is not None
    return Bar(
        f"{found.row}: {found.metric}",
        found.ratio.low,
        found.ratio.high,
        f"{found.ratio.value:.3f}, {found.verdict}",
    )


def _show(bars: Sequence[Bar]) -> None:
    from rich import bar
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table, most = Table.grid(padding=(0, 2)), max((each.end for each in bars), default=1.0)
    for each in bars:
        drawn = bar.Bar(most, each.start, each.end, width=_BAR_WIDTH)
        table.add_row(Text(each.name), drawn, Text(each.figure))
    console = Console(stderr=True)
    if not console.is_terminal:
        console = Console(stderr=True, width=200)  # a file has no width to fit into
    console.print(table)


def _save(path: str, result: Result | Sequence[Comparison]) -> None:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.fonttype": "none", "text.parse_math": False}):  # letters stay letters
        figure = Figure((10, 6), layout="constrained")
        axes = figure.subplots()
        axes.grid(alpha=0.3)
        if not isinstance(result, Result):
            _draw_bars(axes, list(bars_of(result)), "B / A: less is better")
            axes.axvline(1.0, color="grey")
        elif result.bench == "coldstart":
            _draw_bars(axes, list(bars_of(result)), "seconds until ready")
        elif result.bench == "stream":
            _draw_latencies(axes, result)
        else:
            _draw_accuracy(axes, result)
        try:
            figure.savefig(path)
        except OSError as error:
            raise UsageError(f"--plot {path}: {error.strerror or error}") from error


def _draw_bars(axes: Axes, bars: Sequence[Bar], unit: str) -> None:
    names = [f"{each.name}\n{each.figure}" for each in bars]
    axes.barh(names, [each.end - each.start for each in bars], left=[each.start for each in bars])
    axes.invert_yaxis()
    axes.set_xlabel(unit)


def _draw_latencies(axes: Axes, result: Result) -> None:
    """The 95th percentiles over the number of sessions."""
    for name, metric in LATENCIES.items():
        rows = [row for row in result.rows if metric in row.figures]
        if rows:
            at = [row.setup["sessions"] for row in rows]
            axes.plot(at, [row.figures[metric] for row in rows], "o-", label=name)
    axes.set(xlabel="live sessions at once", ylabel="95th percentile, seconds", ylim=(0, None))
    _add_legend(axes)


def _draw_accuracy(axes: Axes, result: Result) -> None:
    """Word error rate over speed, for each row that has one."""
    for row in result.rows:
        if "wer_percent" in row.figures:
            axes.plot(1 / row.figures["rtf"], row.figures["wer_percent"], "o", label=row.name)
    axes.set(xlabel="speed, x real time", ylabel="word error rate, %", xlim=(0, None), ylim=(0, None))
    _add_legend(axes)


def _add_legend(axes: Axes) -> None:
    if not axes.lines:
        raise UsageError("--plot: there is nothing to draw")
    axes.legend()
