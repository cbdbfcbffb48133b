"""What a person sees of a benchmark: a bar while it runs, then a table, or JSON for other programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from asrctl.bench.results import Result
    from asrctl.bench.setup import Tell

Plot = Annotated[
    str | None,
    typer.Option(metavar="FILE|-", help="Plot into this .svg, .png or .pdf file; - plots on the terminal."),
]


def show(result: Result, as_json: bool, plot: str | None) -> None:
    """A result as JSON, or as a table with its notes on standard error; and its picture."""
    from asrctl.bench.plot import draw
    from asrctl.bench.results import as_json as document
    from asrctl.bench.results import busy_notes
    from asrctl.bench.table import result_table

    result = replace(result, notes=[*result.notes, *busy_notes(result)])
    if as_json:
        print_json(document(result))
    else:
        typer.echo(result_table(result))
        if target := result.extra.get("target"):
            typer.echo(_verdict(target))
        say(result.notes)
    draw(plot, result)


def _verdict(target: Mapping[str, Any]) -> str:
    bound = f"95 of 100 finals within {target['final_p95_s']:g} s and nothing dropped"
    if "most_sessions" in target:
        return f"{bound}: up to {target['most_sessions']} sessions"
    return f"{bound}: {', '.join(map(str, target['met_by'])) or 'none'} of these"


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
