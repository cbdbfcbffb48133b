"""`asrctl bench stream`: live sessions, here or on a server."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asrctl.cli.bench_options import (
    File,
    Json,
    Model,
    Provider,
    Reference,
    Seconds,
    Threads,
    Workers,
    machine,
    notes_on,
    numbers,
    prepared,
    setup_from,
    speech_of,
)
from asrctl.cli.bench_view import Plot, draw, progress, show
from asrctl.cli.config import ConfigFile
from asrctl.errors import UsageError

if TYPE_CHECKING:
    from asrctl.bench.results import Row
    from asrctl.bench.setup import Speech
    from asrctl.bench.stage import Stage
    from asrctl.bench.stream import Target
    from asrctl.settings import Settings

_Sessions = Annotated[
    str | None, typer.Option(metavar="1,2,4", help="How many at once; 1 if nothing is said.")
]
_Find = Annotated[bool, typer.Option("--find", help="Look for the most sessions that meet the target.")]
_Target = Annotated[
    float,
    typer.Option(
        metavar="SECONDS", min=0.1, max=60.0, help="95 of 100 finals come within this after speech ends."
    ),
]
_Server = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Play them to a server that runs, such as ws://127.0.0.1:8765."),
]
_ApiKey = Annotated[
    str | None, typer.Option(metavar="KEY", envvar="ASRCTL_API_KEY", help="What the server lets you in for.")
]
_StreamRounds = Annotated[
    int | None,
    typer.Option("--rounds", metavar="N", min=1, max=1000, help="How often each is measured; once."),
]


def bench_stream(
    file: File = None,
    reference: Reference = None,
    sessions: _Sessions = None,
    find: _Find = False,
    target: _Target = 2.0,
    seconds: Seconds = 60.0,
    server: _Server = None,
    api_key: _ApiKey = None,
    provider: Provider = None,
    model: Model = None,
    threads: Threads = None,
    workers: Workers = None,
    rounds: _StreamRounds = None,
    plot: Plot = None,
    as_json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Measure live sessions, fed at the pace of speech: latencies, word errors, cost, drops.

    Word lag is the time from a word's end in the audio to its first appearance, in a partial or a final.

    \b
    Examples:
      asrctl bench stream --sessions 1,2,4
      asrctl bench stream meeting.wav --reference meeting.txt --seconds 300
      asrctl bench stream --find --target 1.5
      asrctl bench stream --server ws://127.0.0.1:8765 --sessions 1,5,10
    """
    from asrctl.bench.results import Result
    from asrctl.bench.stream import MOST_SESSIONS, Target
    from asrctl.settings import load

    if find and (sessions or rounds):
        raise UsageError("--find chooses the numbers of sessions itself, and tries each once")
    counts = [count or 1 for count in numbers(sessions, MOST_SESSIONS)]
    settings = load(config).settings
    speech = speech_of(file, reference, seconds)
    if reference and speech.duration_s > seconds:
        raise UsageError(f"--reference is for all of FILE: give --seconds {speech.duration_s:.0f} or more")
    if server is None:
        stage = _here(settings, speech, provider, model, threads, workers)
    else:
        given = {"--provider": provider, "--threads": threads, "--workers": workers}
        stage = _there(settings, speech, server, api_key, model, given)
    wanted = Target(target)
    rows, answer = _measured(stage, speech, wanted, seconds, None if find else (counts, rounds or 1))
    extra = {"target": {"final_p95_s": target, **answer}}
    result = Result("stream", rows, speech.description, machine(settings), notes_on(speech), extra)
    show(result, as_json)
    if not as_json:
        typer.echo(_verdict(extra["target"]))
    draw(result, plot)


def _measured(
    stage: Stage, speech: Speech, target: Target, seconds: float, listed: tuple[list[int], int] | None
) -> tuple[list[Row], dict[str, Any]]:
    """The rows, and what they say of the target; without a list of numbers they are looked for."""
    from asrctl.bench import stream

    answer: dict[str, Any] = {}
    with progress() as tell:
        if listed is None:
            answer["most_sessions"], rows = stream.find(stage, speech, target, seconds, tell)
        else:
            rows = stream.measure(stage, speech, *listed, seconds, tell)
    return rows, {"met_by": [row.setup["sessions"] for row in rows if target.met_by(row.figures)], **answer}


def _here(
    settings: Settings,
    speech: Speech,
    provider: str | None,
    model: str | None,
    threads: int | None,
    workers: int | None,
) -> Stage:
    """Workers of ours, or what is fed and loads no model of ours."""
    from functools import partial

    from asrctl.bench.fed import Fed
    from asrctl.bench.stage import Here
    from asrctl.cli.live_options import stream_options
    from asrctl.cli.providers import Providers
    from asrctl.from_settings import speech_detector

    chosen, recognizer = prepared(settings, speech, provider, model, threads, workers)
    if recognizer.is_pooled:
        return Here(setup_from(chosen, recognizer, speech))
    return Fed(
        f"{recognizer.model} {recognizer.spec.provider}",
        partial(Providers, recognizer),
        stream_options(recognizer.decode, chosen.vad, chosen.live),
        partial(speech_detector, chosen.vad),
    )


def _there(
    settings: Settings,
    speech: Speech,
    server: str,
    api_key: str | None,
    model: str | None,
    given: Mapping[str, object],
) -> Stage:
    """A server, and what is asked of it.

    Raises:
        UsageError: Something was given that is up to the server, or a package is missing.
    """
    if find_spec("websockets") is None:
        raise UsageError("--server needs websockets: pip install 'asrctl[client]'")
    from asrctl.bench.remote import There
    from asrctl.cli.bench_options import client_of
    from asrctl.cli.remote_options import refuse_local
    from asrctl.from_settings import endpointing
    from asrctl.policy.endpointing import EndpointerOptions

    refuse_local(given)
    options = client_of(settings, speech, model, api_key)
    return There(server, options, endpointing(settings.vad, EndpointerOptions()))


def _verdict(target: dict[str, Any]) -> str:
    bound = f"95 of 100 finals within {target['final_p95_s']:g} s and nothing dropped"
    if "most_sessions" in target:
        return f"{bound}: up to {target['most_sessions']} sessions"
    return f"{bound}: {', '.join(map(str, target['met_by'])) or 'none'} of these"
