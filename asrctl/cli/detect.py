"""`asrctl detect`: probe this machine, measure it, write the config."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asrctl import __version__
from asrctl.cli.config import ConfigFile
from asrctl.cli.view import stdout_is_terminal
from asrctl.errors import AsrctlError

if TYPE_CHECKING:
    from asrctl.detect.calibrate import Tell
    from asrctl.detect.config_file import Existing
    from asrctl.detect.machine import Machine
    from asrctl.detect.report import Report
    from asrctl.policy.recommend import Candidate, Recommendation
    from asrctl.policy.sizing import Wish


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def detect(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change and write nothing.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write the config to this file instead of the default one."
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Probe without measuring: under a second instead of up to --limit."),
    ] = False,
    limit: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", min=5.0, max=3600.0, help="Time limit for probing and measuring (default 25)."
        ),
    ] = None,
    sessions: Annotated[
        int, typer.Option(metavar="N", min=1, max=64, help="Concurrent live sessions to plan for.")
    ] = 1,
    target_latency: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=0.6, max=60.0, help="Bound for the 95th percentile of the final latency."
        ),
    ] = 2.0,
    language: Annotated[
        str | None, typer.Option(metavar="CODE", help="Spoken language; default: the configured one.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Measure this machine and write a config that suits it.

    An existing config is shown as a diff and kept as a backup; other settings in it are preserved.

    \b
    Examples:
      asrctl detect
      asrctl detect --quick --dry-run
      asrctl detect --sessions 10 --target-latency 1.5
      asrctl detect --json --dry-run | jq .recommendation
    """
    from asrctl.detect.config_file import read_existing
    from asrctl.detect.survey import LIMIT_S
    from asrctl.policy.sizing import Wish
    from asrctl.settings import default_path

    path = output or config or default_path()
    existing = read_existing(path)
    if existing.problem:
        _say(f"asrctl: warning: {existing.problem}; none of its settings are preserved")
    wish = Wish(sessions, target_latency, language or _setting("language", existing) or "auto")
    report = _examine(path, existing, wish, None if quick else limit or LIMIT_S)
    _conclude(report, existing, as_json=as_json, dry_run=dry_run)


def _conclude(report: Report, existing: Existing, *, as_json: bool, dry_run: bool) -> None:
    """Tell what was found, and put the config in place.

    Raises:
        AsrctlError: What was measured is no good, or it cannot be written; everything else was told.
    """
    from asrctl.detect.config_file import difference, masked, write
    from asrctl.detect.report import as_text
    from asrctl.detect.survey import doubt

    if not as_json:
        typer.echo(as_text(report, bold=stdout_is_terminal()))
    if reason := doubt(report.calibration):
        if as_json:
            _print_json(report, False, None)
        raise AsrctlError(
            f"{report.path} is not written: {reason}; try again later, with a longer --limit, or take --quick"
        )
    changed = report.text != existing.text
    if changed and existing.text:
        _say(masked(difference(report.path, existing.text, report.text)).rstrip("\n"))
    backup, failure = None, None
    if changed and not dry_run:
        try:
            backup = write(report.path, report.text)
        except AsrctlError as error:
            failure = error  # what was found out is told first
    if as_json:
        _print_json(report, changed and not dry_run and failure is None, backup)
    if failure is not None:
        raise failure
    _tell_written(report.path, changed, dry_run, backup)


def _examine(path: Path, existing: Existing, wish: Wish, limit_s: float | None) -> Report:
    """Probe, and measure within the limit; without one only probe."""
    from asrctl.detect import survey
    from asrctl.detect.probes import QUICK, probe_machine
    from asrctl.detect.report import Report
    from asrctl.models.store import ModelStore

    directory = _setting("models_dir", existing)
    store = ModelStore(Path(directory).expanduser() if directory else None)
    started = time.perf_counter()
    machine = probe_machine(store, QUICK if limit_s is None else None)
    probe_s = time.perf_counter() - started
    calibration = None
    if limit_s is not None:
        with _progress() as tell:
            calibration = survey.calibrated(machine, store, wish, limit_s - probe_s, tell)
    recommendation = survey.recommended(machine, calibration, wish)
    notes = survey.notes_on(machine)
    text = _config_text(machine, recommendation, existing)
    return Report(machine, wish, calibration, recommendation, notes, path, text, probe_s)


def _config_text(machine: Machine, recommendation: Recommendation, existing: Existing) -> str:
    from asrctl.detect.config_file import entries, kept_values, render
    from asrctl.detect.report import heading
    from asrctl.settings import Settings, flat

    known = flat(Settings()).keys()
    decided = entries(recommendation, known)
    return render(heading(machine, __version__), decided, kept_values(existing, decided, known))


def _setting(name: str, existing: Existing) -> str:
    """A text as the other commands would have it; not checked, since a bad config must not stop this one."""
    return os.environ.get(f"ASRCTL_{name.upper()}") or str(existing.values.get(name, ""))


def _print_json(report: Report, written: bool, backup: Path | None) -> None:
    from asrctl.detect.report import as_json

    typer.echo(json.dumps(as_json(report, written, backup), ensure_ascii=False, indent=2))


def _tell_written(path: Path, changed: bool, dry_run: bool, backup: Path | None) -> None:
    kept = f"; the previous config is kept as {backup}" if backup else ""
    if not changed:
        _say(f"{path} is up to date")
    elif dry_run:
        _say(f"{path} is not written (dry run)")
    else:
        _say(f"{path} is written{kept}")


@contextmanager
def _progress() -> Iterator[Tell | None]:
    """A line that says what is measured, on a terminal; None elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    with Console(stderr=True).status("probing the machine") as status:

        def tell(candidate: Candidate, number: int, count: int) -> None:
            what = f"{candidate.model} with {candidate.provider}, {candidate.workers} x {candidate.threads}"
            status.update(f"measuring {number} of {count}: {what}")

        yield tell


def _say(text: str) -> None:
    print(text, file=sys.stderr)
