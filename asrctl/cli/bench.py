"""`asrctl bench`: speed, cold start, live sessions and comparisons."""

from __future__ import annotations

from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Annotated

import typer

from asrctl.cli.bench_options import (
    BUILTIN_S,
    File,
    Json,
    Reference,
    Rounds,
    Threads,
    Workers,
    machine,
    names,
    notes_on,
    numbers,
    peers_of,
    setup_of,
    speech_of,
)
from asrctl.cli.bench_speakers import bench_speakers
from asrctl.cli.bench_stream import bench_stream
from asrctl.cli.bench_view import Plot, print_json, progress, say, show
from asrctl.cli.config import ConfigFile
from asrctl.cli.help import COMMANDS
from asrctl.cli.model_options import Model, Provider
from asrctl.errors import UsageError

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help=COMMANDS["bench"])
app.command("stream")(bench_stream)
app.command("speakers")(bench_speakers)
_WhisperCli = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="whisper.cpp's command line, measured too (default: the one on PATH)."),
]
_Peers = Annotated[bool, typer.Option("--peers/--no-peers", help="Measure programs found on PATH too.")]


@app.command("rtf")
def bench_rtf(
    file: File = None,
    reference: Reference = None,
    models: Annotated[str | None, typer.Option(metavar="A,B", help="Names or paths.")] = None,
    providers: Annotated[str | None, typer.Option(metavar="A,B", help="Providers.")] = None,
    threads: Annotated[str | None, typer.Option(metavar="1,2", help="Threads for each worker.")] = None,
    workers: Annotated[str | None, typer.Option(metavar="1,2", help="Worker processes.")] = None,
    rounds: Rounds = 7,
    whisper_cli: _WhisperCli = None,
    peers: _Peers = True,
    plot: Plot = None,
    as_json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Measure how fast a file is transcribed, with every combination of what is named.

    Combinations take turns, each with fresh processes that are warmed up first; figures are medians over the
    rounds, and the noise says how far the rounds lie apart. RTF is time over audio: less is faster.

    \b
    Examples:
      asrctl bench rtf
      asrctl bench rtf meeting.wav --reference meeting.txt --models tiny.en-q8_0,base-q8_0
      asrctl bench rtf meeting.wav --threads 1,2,4 --json > a.json
      asrctl bench rtf --providers whisper_cpp,faster_whisper --whisper-cli ~/whisper.cpp/whisper-cli
    """
    from asrctl.bench import plot as plots
    from asrctl.bench import rtf
    from asrctl.bench.results import Result
    from asrctl.settings import load

    plots.check(plot)
    settings = load(config).settings
    speech = speech_of(file, reference, BUILTIN_S)
    if plot not in (None, "-") and speech.reference is None:
        raise UsageError("--plot draws speed against word errors: give --reference")
    choices = product(names(providers), names(models), numbers(workers, 64), numbers(threads, 1024))
    setups = {
        setup.name: setup
        for provider, model, processes, each in choices
        for setup in [setup_of(settings, speech, provider, model, each, processes)]
    }
    programs = peers_of(list(setups.values()), whisper_cli, look=peers)
    contestants = [*map(rtf.ours, setups.values()), *programs]
    with progress() as tell:
        rows = rtf.measure(contestants, speech, rounds, tell)
    result = Result("rtf", rows, speech.description, machine(settings), notes_on(speech))
    show(result, as_json, plot)


@app.command("coldstart")
def bench_coldstart(
    provider: Provider = None,
    model: Model = None,
    threads: Threads = None,
    workers: Workers = None,
    rounds: Rounds = 5,
    plot: Plot = None,
    as_json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Measure the time from launch to the first words, and where it goes.

    Ready is when a worker has decoded a sentence and understood it; the parts add up to it. "By command" is a
    whole `asrctl transcribe` of that sentence until its first letter. With cold weights the model's file is
    read from disk, where the system can be told so.

    Example: asrctl bench coldstart --rounds 10
    """
    from asrctl.bench import coldstart
    from asrctl.bench import plot as plots
    from asrctl.bench.results import Result
    from asrctl.settings import load

    plots.check(plot)
    settings = load(config).settings
    setup = setup_of(settings, speech_of(None, None, 0.0), provider, model, threads, workers)
    with progress() as tell:
        rows = coldstart.measure(setup, rounds, tell)
    show(Result("coldstart", rows, {}, machine(settings)), as_json, plot)


@app.command("compare")
def bench_compare(
    before: Annotated[Path, typer.Argument(metavar="A.json", help="Output of --json, before.")],
    after: Annotated[Path, typer.Argument(metavar="B.json", help="Output of --json, after.")],
    plot: Plot = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what differs between two results, and what cannot be told from noise.

    A difference is one that resamplings of the rounds agree on so far that all lines together show none by
    chance in 99 of 100 tries, and of at least 3 %. It takes 7 rounds on each side, better 15. Let the two
    take turns: a file may hold several runs, one appended to the other, and rounds that took turns are
    compared in pairs, so that what else the machine had to do falls out. Sides that were measured one after
    the other must differ by more than their noise besides.

    \b
    Examples:
      asrctl bench compare a.json b.json
      for i in $(seq 20); do
        old/bin/asrctl bench rtf --rounds 1 --json >> a.json
        new/bin/asrctl bench rtf --rounds 1 --json >> b.json
      done; asrctl bench compare a.json b.json
    """
    from asrctl.bench import plot as plots
    from asrctl.bench.compare import caveats, compare
    from asrctl.bench.results import SCHEMA, read
    from asrctl.bench.table import comparison_table

    plots.check(plot)
    first, second = read(before), read(after)
    found, warnings = compare(first, second), caveats(first, second)
    if as_json:
        rows = [{**asdict(each), "verdict": each.verdict} for each in found]
        print_json({"schema": SCHEMA, "bench": "compare", "notes": warnings, "rows": rows})
    else:
        typer.echo(comparison_table(found))
        say(warnings)
    plots.draw(plot, found)
