"""`asrctl bench`: speed, cold start, live latency, comparisons, and the promises."""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer

from asrctl.cli.bench_options import machine, names, notes_on, numbers, setup_of, speech_of
from asrctl.cli.bench_view import print_json, progress, say, show
from asrctl.cli.config import ConfigFile
from asrctl.errors import UsageError

_BUILTIN_S = 40.0
"""Length of the built-in speech where nothing else is said: a dozen sentences."""

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Measure: speed, cold start, live latency."
)

_File = Annotated[
    str | None,
    typer.Argument(metavar="[FILE]", help="Audio to decode; without it, built-in speech."),
]
_Reference = Annotated[
    Path | None, typer.Option(metavar="TXT", help="A text file with what is said in FILE, for word errors.")
]
_Provider = Annotated[str | None, typer.Option(metavar="NAME", help="auto, whisper_cpp or faster_whisper.")]
_Model = Annotated[
    str | None,
    typer.Option(metavar="NAME|PATH", help="A name of `asrctl models list`, a file, or a directory."),
]
_Threads = Annotated[
    int | None, typer.Option(metavar="N", min=1, max=1024, help="For each worker; all cores by default.")
]
_Workers = Annotated[int | None, typer.Option(metavar="N", min=1, max=64, help="Processes that decode.")]
_Rounds = Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="How often each is measured.")]
_Seconds = Annotated[
    float, typer.Option(metavar="SECONDS", min=1.0, max=86_400.0, help="Audio for each session.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON, as `bench compare` reads it.")]


@app.command("rtf")
def bench_rtf(
    file: _File = None,
    reference: _Reference = None,
    models: Annotated[str | None, typer.Option(metavar="A,B", help="Names or paths.")] = None,
    providers: Annotated[str | None, typer.Option(metavar="A,B", help="Recognisers.")] = None,
    threads: Annotated[str | None, typer.Option(metavar="1,2", help="Threads for each worker.")] = None,
    workers: Annotated[str | None, typer.Option(metavar="1,2", help="Processes that decode.")] = None,
    rounds: _Rounds = 5,
    plot: Annotated[
        Path | None, typer.Option(metavar="SVG", help="Draw speed and word errors here; needs a reference.")
    ] = None,
    as_json: _Json = False,
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
    """
    from asrctl.bench import rtf
    from asrctl.bench.results import Result
    from asrctl.settings import load

    settings = load(config).settings
    speech = speech_of(file, reference, _BUILTIN_S)
    if plot is not None and speech.reference is None:
        raise UsageError("--plot draws speed against word errors: give --reference")
    choices = product(names(providers), names(models), numbers(workers, 64), numbers(threads, 1024))
    setups = {
        setup.name: setup
        for provider, model, processes, each in choices
        for setup in [setup_of(settings, speech, provider, model, each, processes)]
    }
    with progress() as tell:
        rows = rtf.measure(list(setups.values()), speech, rounds, tell)
    result = Result("rtf", rows, speech.description, machine(settings), notes_on(speech))
    show(result, as_json)
    if plot is not None:
        from asrctl.bench.plane import plot_of

        plot.write_text(plot_of(result), encoding="utf-8")


@app.command("coldstart")
def bench_coldstart(
    provider: _Provider = None,
    model: _Model = None,
    threads: _Threads = None,
    workers: _Workers = None,
    rounds: _Rounds = 5,
    as_json: _Json = False,
    config: ConfigFile = None,
) -> None:
    """Measure how long it takes from nothing to words, and where the time goes.

    Ready is when a worker has decoded a sentence and understood it; the parts add up to it. "By command" is a
    whole `asrctl transcribe` of that sentence until its first letter. With cold weights the model's file is
    read from disk, where the system can be told so.

    Example: asrctl bench coldstart --rounds 10
    """
    from asrctl.bench import coldstart
    from asrctl.bench.results import Result
    from asrctl.settings import load

    settings = load(config).settings
    setup = setup_of(settings, speech_of(None, None, 0.0), provider, model, threads, workers)
    with progress() as tell:
        rows = coldstart.measure(setup, rounds, tell)
    show(Result("coldstart", rows, {}, machine(settings)), as_json)


@app.command("stream")
def bench_stream(
    file: _File = None,
    reference: _Reference = None,
    sessions: Annotated[
        str | None, typer.Option(metavar="1,2,4", help="How many at once; 1 if nothing is said.")
    ] = None,
    find: Annotated[
        bool, typer.Option("--find", help="Look for the most sessions that meet the target.")
    ] = False,
    target: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=0.1, max=60.0, help="95 of 100 finals come within this after speech ends."
        ),
    ] = 2.0,
    seconds: _Seconds = 60.0,
    provider: _Provider = None,
    model: _Model = None,
    threads: _Threads = None,
    workers: _Workers = None,
    rounds: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=1000, help="How often each is measured; once.")
    ] = None,
    as_json: _Json = False,
    config: ConfigFile = None,
) -> None:
    """Measure live sessions, fed at the pace of speech: latencies, word errors, cost, drops.

    \b
    Examples:
      asrctl bench stream --sessions 1,2,4
      asrctl bench stream meeting.wav --reference meeting.txt --seconds 300
      asrctl bench stream --find --target 1.5
    """
    from asrctl.bench import stream
    from asrctl.bench.results import Result
    from asrctl.settings import load

    if find and (sessions or rounds):
        raise UsageError("--find chooses the numbers of sessions itself, and tries each once")
    settings = load(config).settings
    speech = speech_of(file, reference, seconds)
    if reference and speech.duration_s > seconds:
        raise UsageError(f"--reference is for all of FILE: give --seconds {speech.duration_s:.0f} or more")
    setup = setup_of(settings, speech, provider, model, threads, workers)
    wanted = stream.Target(target)
    counts = [count or 1 for count in numbers(sessions, stream.MOST_SESSIONS)]
    with progress() as tell:
        if find:
            most, rows = stream.find(setup, speech, wanted, seconds, tell)
        else:
            rows = stream.measure(setup, speech, counts, rounds or 1, seconds, tell)
    extra: dict[str, Any] = {
        "target": {
            "final_p95_s": target,
            "met_by": [row.setup["sessions"] for row in rows if wanted.met_by(row.figures)],
        }
    }
    if find:
        extra["target"]["most_sessions"] = most
    result = Result("stream", rows, speech.description, machine(settings), notes_on(speech), extra)
    show(result, as_json)
    if not as_json:
        typer.echo(_verdict(extra["target"]))


def _verdict(target: dict[str, Any]) -> str:
    bound = f"95 of 100 finals within {target['final_p95_s']:g} s and nothing dropped"
    if "most_sessions" in target:
        return f"{bound}: up to {target['most_sessions']} sessions"
    return f"{bound}: {', '.join(map(str, target['met_by'])) or 'none'} of these"


@app.command("compare")
def bench_compare(
    before: Annotated[Path, typer.Argument(metavar="A.json", help="What --json printed before.")],
    after: Annotated[Path, typer.Argument(metavar="B.json", help="The same, afterwards.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what differs between two results, and what cannot be told from noise.

    A difference is one that 99 of 100 resamplings of the rounds agree on, and that is larger than the noise.
    It takes 5 rounds on each side, better 10, on a machine that does nothing else. Where it has other things
    to do, let the two take turns: a file may hold several runs, one appended to the other.

    \b
    Examples:
      asrctl bench compare a.json b.json
      for i in $(seq 20); do
        old/bin/asrctl bench rtf --rounds 1 --json >> a.json
        new/bin/asrctl bench rtf --rounds 1 --json >> b.json
      done; asrctl bench compare a.json b.json
    """
    from asrctl.bench.compare import caveats, compare
    from asrctl.bench.results import SCHEMA, read
    from asrctl.bench.table import comparison_table

    first, second = read(before), read(after)
    found, warnings = compare(first, second), caveats(first, second)
    if as_json:
        rows = [{**asdict(each), "verdict": each.verdict} for each in found]
        print_json({"schema": SCHEMA, "bench": "compare", "notes": warnings, "rows": rows})
        return
    typer.echo(comparison_table(found))
    say(warnings)


@app.command("promises")
def bench_promises(
    provider: _Provider = None,
    model: _Model = None,
    threads: _Threads = None,
    workers: _Workers = None,
    rounds: _Rounds = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    config: ConfigFile = None,
) -> None:
    """Hold what asrctl promises against what this machine does; exit code 1 if a promise is broken.

    Example: asrctl bench promises --json | jq '.promises[] | select(.kept == false)'
    """
    from asrctl.bench import promises
    from asrctl.bench.results import Result, busy_notes
    from asrctl.bench.results import as_json as document
    from asrctl.bench.table import promise_table
    from asrctl.settings import load

    settings = load(config).settings
    speech = speech_of(None, None, _BUILTIN_S)
    setup = setup_of(settings, speech, provider, model, threads, workers)
    with progress() as tell:
        rows = promises.measure(setup, speech, rounds, tell)
    limits = {
        "max_sessions": settings.serve.max_sessions,
        "max_attempts": settings.client.max_attempts,
    }
    found = promises.check({**promises.figures(rows), **limits})
    result = Result("promises", rows, speech.description, machine(settings))
    result = replace(result, notes=busy_notes(result), extra={"promises": [asdict(each) for each in found]})
    if as_json:
        print_json(document(result))
    else:
        typer.echo(promise_table(found))
        typer.echo(f"measured with {setup.name}")
        say(result.notes)
    raise typer.Exit(1 if any(each.kept is False for each in found) else 0)
