"""`asrctl bench stream`: live sessions, here or on a server."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from asrctl.cli.bench_options import (
    File,
    Json,
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
from asrctl.cli.bench_view import Plot, progress, show
from asrctl.cli.config import ConfigFile
from asrctl.cli.model_options import Model, Provider
from asrctl.errors import UsageError

if TYPE_CHECKING:
    from asrctl.bench.results import Row
    from asrctl.bench.setup import Speech
    from asrctl.bench.stream import Backend, Target
    from asrctl.settings import Settings

_Sessions = Annotated[
    str | None, typer.Option(metavar="1,2,4", help="Numbers of concurrent sessions (default 1).")
]
_Find = Annotated[bool, typer.Option("--find", help="Search for the most sessions that meet the target.")]
_Target = Annotated[
    float,
    typer.Option(
        metavar="SECONDS", min=0.1, max=60.0, help="Target for the 95th percentile of the final latency."
    ),
]
_Server = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Stream to a running server, as of `asrctl transcribe --server`."),
]
_KEY_VARIABLE = "ASRCTL_API_KEY"
_ApiKey = Annotated[
    str | None, typer.Option(metavar="KEY", envvar=_KEY_VARIABLE, help="API key for --server.")
]
_OURS = ("--provider", "--threads", "--workers")
"""Options of what decodes here."""
_StreamRounds = Annotated[
    int | None,
    typer.Option("--rounds", metavar="N", min=1, max=1000, help="Measurements of each (default 1)."),
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
    from asrctl.bench import plot as plots
    from asrctl.bench.results import Result
    from asrctl.bench.stream import MOST_SESSIONS, Target
    from asrctl.cli.foreign import is_foreign, server_errors
    from asrctl.settings import load

    if find and (sessions or rounds):
        raise UsageError("--find chooses the numbers of sessions itself, and tries each once")
    plots.check(plot)
    counts = [count or 1 for count in numbers(sessions, MOST_SESSIONS)]
    settings = load(config).settings
    speech = speech_of(file, reference, seconds)
    if reference and speech.duration_s > seconds:
        raise UsageError(f"--reference is for all of FILE: give --seconds {speech.duration_s:.0f} or more")
    if server is None and api_key not in (None, os.environ.get(_KEY_VARIABLE)):
        raise UsageError("--api-key says who you are to a server: it needs --server")
    ours = (provider, threads, workers)
    if server is None:
        backend = _here(settings, speech, model, *ours)
    elif is_foreign(server):
        backend = _through(settings, speech, server, api_key, model, ours)
    elif find_spec("websockets") is None:
        raise UsageError("--server needs websockets: pip install 'asrctl[client]'")
    else:
        backend = _there(settings, speech, server, api_key, model, ours)
    listed = None if find else (counts, rounds or 1)
    with server_errors() if server else nullcontext():
        rows, answer = _measured(backend, speech, Target(target), seconds, listed)
    extra = {"target": {"final_p95_s": target, **answer}}
    result = Result("stream", rows, speech.description, machine(settings), notes_on(speech), extra)
    show(result, as_json, plot)


def _measured(
    backend: Backend, speech: Speech, target: Target, seconds: float, listed: tuple[list[int], int] | None
) -> tuple[list[Row], dict[str, Any]]:
    """The rows, and what they say of the target; without a list of numbers they are looked for."""
    from asrctl.bench import stream

    answer: dict[str, Any] = {}
    with progress() as tell:
        if listed is None:
            answer["most_sessions"], rows = stream.find(backend, speech, target, seconds, tell)
        else:
            rows = stream.measure(backend, speech, *listed, seconds, tell)
    return rows, {"met_by": [row.setup["sessions"] for row in rows if target.met_by(row.figures)], **answer}


def _here(
    settings: Settings,
    speech: Speech,
    model: str | None,
    provider: str | None,
    threads: int | None,
    workers: int | None,
) -> Backend:
    """Workers of ours, or what is fed and loads no model of ours."""
    from asrctl.assembly import start
    from asrctl.bench.backends import LocalBackend, pooled
    from asrctl.bench.engine import Streams
    from asrctl.from_settings import speech_detector, stream_options

    chosen, plan = prepared(settings, speech, provider, model, threads, workers)
    if plan.is_pooled:
        return pooled(setup_from(chosen, plan, speech))
    name = f"{plan.model} {plan.provider}"
    options = stream_options(plan.decode, chosen.vad, chosen.live)

    def streams() -> Streams:
        return Streams(lambda: start(plan), options, lambda: speech_detector(chosen.vad))

    return LocalBackend(name, {"provider": name}, options.endpointing, streams)


def _through(
    settings: Settings,
    speech: Speech,
    server: str,
    api_key: str | None,
    model: str | None,
    ours: Sequence[object],
) -> Backend:
    """A server that speaks another protocol than ours; see `_there`."""
    from asrctl.bench.backends import LocalBackend
    from asrctl.cli.foreign import through
    from asrctl.cli.remote_options import refuse_local

    refuse_local(dict(zip(_OURS, ours, strict=True)))
    chosen = through(settings, server, api_key, model)
    backend = _here(chosen, speech, None, None, None, None)
    assert isinstance(backend, LocalBackend)
    address = urlsplit(server)
    place = f"{address.scheme}://{address.netloc.rpartition('@')[2]}"
    return replace(backend, name=place, description={"server": place})


def _there(
    settings: Settings,
    speech: Speech,
    server: str,
    api_key: str | None,
    model: str | None,
    ours: Sequence[object],
) -> Backend:
    """A server, and what is asked of it.

    Raises:
        UsageError: Something was given that is up to the server.
    """
    from asrctl.bench.remote import RemoteBackend
    from asrctl.cli.bench_options import client_of
    from asrctl.cli.remote_options import refuse_local
    from asrctl.from_settings import endpointing
    from asrctl.policy.endpointing import EndpointerOptions

    refuse_local(dict(zip(_OURS, ours, strict=True)))
    options = client_of(settings, speech, model, api_key)
    return RemoteBackend(server, options, endpointing(settings.vad, EndpointerOptions()))
