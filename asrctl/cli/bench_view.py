"""What a person sees of a benchmark: a bar while it runs, then a table, or JSON for other programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from asrctl.bench.compare import Comparison
    from asrctl.bench.results import Result
    from asrctl.bench.setup import Tell

Plot = Annotated[
    str | None,
    typer.Option("--plot", metavar="SVG|-", help="Draw the figures into this file, or with - on the screen."),
]


def show(result: Result, as_json: bool) -> None:
    """A result as JSON, or as a table with its notes on standard error."""
    from asrctl.bench.results import as_json as document
    from asrctl.bench.results import busy_notes
    from asrctl.bench.table import result_table

    result = replace(result, notes=[*result.notes, *busy_notes(result)])
    if as_json:
        print_json(document(result))
    else:
        typer.echo(result_table(result))
        say(result.notes)


def draw(result: Result, plot: str | None) -> None:
    """The picture of a result.

    Raises:
        UsageError: There is nothing to draw for a file.
    """
    from asrctl.bench.bars import bars_of
    from asrctl.bench.lanes import stacks_of
    from asrctl.bench.plane import plot_of

    svg_of = stacks_of if result.bench == "coldstart" else plot_of
    _draw(plot, partial(bars_of, result), partial(svg_of, result))


def draw_comparison(found: Sequence[Comparison], plot: str | None) -> None:
    """The picture of what differs."""
    from asrctl.bench import bars, lanes

    _draw(plot, partial(bars.intervals_of, found), partial(lanes.intervals_of, found))


def _draw(plot: str | None, bars: Callable[[], str], svg: Callable[[], str]) -> None:
    """Bars on standard error, which leaves JSON alone, or a file."""
    if plot == "-":
        print(bars(), file=sys.stderr)
    elif plot is not None:
        Path(plot).write_text(svg(), encoding="utf-8")


def print_json(document: dict[str, Any]) -> None:
    """A document for other programs."""
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))


def say(notes: Sequence[str]) -> None:
    """What a reader should know besides, on standard error."""
    for note in notes:
        print(f"asrctl: note: {note}", file=sys.stderr)


@contextmanager
def progress() -> Iterator[Tell]:
    """A bar on a terminal; nothing elsewhere."""
    from asrctl.bench.setup import silent

    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
