"""`asrctl bench promises`: what asrctl promises, measured here and held against its targets."""

from __future__ import annotations

from dataclasses import asdict, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from asrctl.cli.bench_options import (
    BUILTIN_S,
    Model,
    Provider,
    Rounds,
    Threads,
    Workers,
    machine,
    setup_of,
    speech_of,
)
from asrctl.cli.bench_view import print_json, progress, say
from asrctl.cli.config import ConfigFile

if TYPE_CHECKING:
    from asrctl.bench.promises import Limits
    from asrctl.bench.setup import Speech
    from asrctl.settings import Settings

_NEEDED = ("websockets", "starlette", "uvicorn", "httptools", "prometheus_client")
"""What a server and a client need."""


def bench_promises(
    provider: Provider = None,
    model: Model = None,
    threads: Threads = None,
    workers: Workers = None,
    rounds: Rounds = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    config: ConfigFile = None,
) -> None:
    """Hold what asrctl promises against what this machine does; exit code 1 if one is broken or could
    not be measured.

    Starts are timed, a file is decoded, a live session played; then a server is started and more sessions
    come than it may let in, and a client meets a server that closes every connection at once.

    Example: asrctl bench promises --json | jq '.promises[] | select(.kept == false)'
    """
    from asrctl.bench import promises
    from asrctl.bench.results import Result, busy_notes
    from asrctl.bench.results import as_json as document
    from asrctl.bench.table import promise_table
    from asrctl.settings import load

    settings = load(config).settings
    speech = speech_of(None, None, BUILTIN_S)
    setup = setup_of(settings, speech, provider, model, threads, workers)
    with progress() as tell:
        rows = promises.measure(setup, speech, _limits(settings, speech), rounds, tell)
    found = promises.check(promises.figures(rows))
    result = Result("promises", rows, speech.description, machine(settings))
    result = replace(result, notes=busy_notes(result), extra={"promises": [asdict(each) for each in found]})
    if as_json:
        print_json(document(result))
    else:
        typer.echo(promise_table(found))
        typer.echo(f"measured with {setup.name}")
        say(result.notes)
    raise typer.Exit(1 if any(not each.kept for each in found) else 0)


def _limits(settings: Settings, speech: Speech) -> Limits | None:
    """What is set; None where a package is missing that a server or a client needs."""
    if any(find_spec(module) is None for module in _NEEDED):
        return None
    from asrctl.bench.promises import Limits
    from asrctl.cli.bench_options import client_of

    return Limits(settings.serve.max_sessions, client_of(settings, speech, None, None))
