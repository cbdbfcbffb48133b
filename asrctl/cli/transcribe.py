"""`asrctl transcribe`: files, pipes and live audio to text."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from asrctl.cli import transcribe_options as given
from asrctl.cli.config import ConfigFile
from asrctl.errors import EXIT_INTERRUPTED, UsageError
from asrctl.render import Format

if TYPE_CHECKING:
    from asrctl.assembly import Plan
    from asrctl.audio.live import LiveSource
    from asrctl.cli.live import LiveRequest
    from asrctl.cli.sources import InputOptions
    from asrctl.render.options import RenderOptions
    from asrctl.settings import Settings
    from asrctl.workers.standby import Standby

_ONE_FILE_EACH = ("srt", "vtt", "tsv")


def transcribe(
    context: typer.Context,
    inputs: given.Inputs = None,
    recursive: given.Recursive = False,
    skip_existing: given.SkipExisting = False,
    jobs: given.Jobs = 1,
    quiet: given.Quiet = False,
    verbose: given.Verbose = False,
    provider: given.Provider = None,
    model: given.Model = None,
    language: given.Language = None,
    translate: given.Translate = None,
    prompt: given.Prompt = None,
    format: given.OutputFormat = None,
    output: given.Output = None,
    output_dir: given.OutputDir = None,
    word_timestamps: given.WordTimestamps = None,
    threads: given.Threads = None,
    workers: given.Workers = None,
    beam_size: given.BeamSize = None,
    vad: given.Vad = True,
    mic: given.Mic = False,
    live: given.Live = False,
    device: given.Device = None,
    list_devices: given.ListDevices = False,
    source: given.Source = None,
    partial_interval: given.PartialInterval = None,
    server: given.Server = None,
    api_key: given.ApiKey = None,
    wait_for_server: given.WaitForServer = None,
    max_line_width: given.MaxLineWidth = 42,
    max_lines: given.MaxLines = 2,
    max_cps: given.MaxCps = 20.0,
    min_gap: given.MinGap = 0.08,
    word_by_word: given.WordByWord = False,
    paragraph_pause: given.ParagraphPause = None,
    track: given.Track = None,
    channel: given.Channel = None,
    raw_rate: given.RawRate = None,
    raw_channels: given.RawChannels = 1,
    raw_encoding: given.RawEncoding = "s16le",
    config: ConfigFile = None,
) -> None:
    """Transcribe audio files, standard input, or live audio.

    The text goes to standard output as it is found, everything else to standard error.

    \b
    Examples:
      asrctl transcribe meeting.mp3
      asrctl transcribe talk.mp4 --format srt --output talk.srt
      asrctl transcribe recordings --recursive --output-dir transcripts --skip-existing
      asrctl transcribe *.wav --output-dir transcripts --format json --word-timestamps
      ffmpeg -i rtsp://camera -f wav - | asrctl transcribe -
      arecord -f S16_LE -r 16000 -t raw | asrctl transcribe - --raw-rate 16000
      asrctl transcribe --mic
      asrctl transcribe --mic --device usb --format srt --output talk.srt
      asrctl transcribe --live meeting.mp3
      asrctl transcribe --server ws://127.0.0.1:8765 --mic

    Exit codes: 0 good, 1 some input failed, 2 usage, 3 model, 4 provider, 5 server, 130 interrupted.
    """
    from asrctl.cli.folders import look_through
    from asrctl.cli.sources import MICROPHONE, InputOptions, list_input_devices, live_source
    from asrctl.render.cues import SubtitleOptions
    from asrctl.render.formats import format_of
    from asrctl.render.options import RenderOptions
    from asrctl.render.output import destinations
    from asrctl.settings import load

    if list_devices:
        return list_input_devices()
    found = look_through(inputs or [], recursive=recursive)
    names = [each.name for each in found]
    if not names and not mic:
        raise UsageError("nothing to transcribe: name files, - for standard input, or --mic")
    reading = InputOptions(raw_rate, raw_channels, raw_encoding, track, channel)
    open_source = live_source(names, reading, mic=mic, live=live, device=device)
    loaded = load(config)
    settings = loaded.settings.overridden(
        provider=provider,
        model=model,
        language=language,
        translate=translate,
        prompt=prompt,
        word_timestamps=word_timestamps,
        threads=threads,
        workers=workers,
        beam_size=beam_size,
    )
    settings = _with_times(settings, partial_interval, wait_for_server)
    folders = [each.folder for each in found]
    extension = format or settings.format
    outputs = destinations(names or [MICROPHONE], output, output_dir, extension, folders)
    wanted = format or format_of(output) or settings.format
    if wanted in _ONE_FILE_EACH and len(names) > 1 and not output_dir:
        raise UsageError(f"several inputs make several {wanted} files: say where with --output-dir")
    if jobs > 1 and len(names) > 1 and not output_dir:
        raise UsageError("--jobs would mix the texts of several inputs: say where with --output-dir")
    whole = bool(output_dir) or skip_existing
    skipped = 0
    if skip_existing:
        names, outputs, skipped = _without_existing(names, outputs)
    shown = SubtitleOptions(
        max_line_width=max_line_width,
        max_lines=max_lines,
        max_cps=max_cps,
        min_gap_s=min_gap,
        word_by_word=word_by_word,
        karaoke=settings.word_timestamps,
    )
    render = RenderOptions(settings.word_timestamps, paragraph_pause, shown)
    code = 0 if mic else EXIT_INTERRUPTED
    task = _Task(
        names, reading, open_source, outputs, wanted, render, settings, vad, code, jobs, whole, skipped, quiet
    )
    given_here = {"model": model and "--model", "provider": provider and "--provider"}
    origins = {**loaded.origins, **{key: origin for key, origin in given_here.items() if origin}}
    if server is None:
        _refuse_what_needs_a_server(source, api_key)
        raise typer.Exit(_here(task, context.obj, origins if verbose else None))
    local = {
        **{"--provider": provider, "--threads": threads, "--workers": workers, "--beam-size": beam_size},
        **{"--partial-interval": partial_interval, "--translate": translate or None},
        **{"--no-vad": None if vad else False, "--jobs": jobs if jobs > 1 else None},
    }
    raise typer.Exit(_elsewhere(task, server, api_key, source or "mic", model, local))


def _without_existing(
    names: Sequence[str], outputs: Sequence[Path | None]
) -> tuple[list[str], list[Path | None], int]:
    """Inputs and outputs where nothing is yet, and how many there were besides.

    Raises:
        Exit: Nothing is left to be done.
        UsageError: Transcripts go to standard output, or the input is a microphone.
    """
    if not names or not all(outputs):
        raise UsageError("--skip-existing needs inputs, and --output-dir or --output for their transcripts")
    missing = [(name, path) for name, path in zip(names, outputs, strict=True) if path and not path.exists()]
    skipped = len(names) - len(missing)
    if not missing:
        typer.echo(f"asrctl: nothing to do: {skipped} inputs skipped, whose transcripts exist", err=True)
        raise typer.Exit
    return [name for name, _ in missing], [path for _, path in missing], skipped


def _with_times(
    settings: Settings, partial_interval: float | None, wait_for_server: float | None
) -> Settings:
    if partial_interval is not None:
        settings = settings.overridden(live=replace(settings.live, partial_interval_s=partial_interval))
    if wait_for_server is not None:
        client = replace(settings.client, wait_for_server_s=wait_for_server)
        settings = settings.overridden(client=client)
    return settings


def _refuse_what_needs_a_server(source: str | None, api_key: str | None) -> None:
    if source is not None:
        raise UsageError("--source tells a server whose audio it is: it needs --server")
    if api_key not in (None, os.environ.get(given.API_KEY_VARIABLE)):
        raise UsageError("--api-key says who you are to a server: it needs --server")


@dataclass(frozen=True, slots=True)
class _Task:
    """What is to be transcribed, wherever that is done.

    Attributes:
        names: Inputs; empty for a microphone.
        reading: How they are read.
        open_source: Opens the live source; None where inputs are read as fast as may be.
        outputs: A file for each input; None is standard output.
        format: What is written.
        render: How it looks.
        settings: What is in force.
        vad: Whether speech is looked for.
        interrupt_code: Exit code after one Ctrl-C.
        jobs: Inputs under way at once.
        whole: Whether files have their names only once they are complete.
        skipped: Inputs that were left out, since their transcripts exist.
        quiet: Whether progress and warnings are not shown.
    """

    names: Sequence[str]
    reading: InputOptions
    open_source: Callable[[], LiveSource] | None
    outputs: Sequence[Path | None]
    format: Format
    render: RenderOptions
    settings: Settings
    vad: bool
    interrupt_code: int
    jobs: int
    whole: bool
    skipped: int
    quiet: bool


def _elsewhere(
    task: _Task, url: str, api_key: str | None, source: str, model: str | None, local: Mapping[str, object]
) -> int:
    """Have a server do it; `local` are options that do not go with that. Returns the exit code."""
    if find_spec("websockets") is None:
        raise UsageError("--server needs websockets: pip install 'asrctl[client]'")
    import asyncio

    from asrctl.cli.in_turn import Inputs
    from asrctl.cli.live_view import LiveView
    from asrctl.cli.remote import RemoteRequest, transcribe_remotely
    from asrctl.cli.remote_options import client_options, refuse_local
    from asrctl.cli.sources import MICROPHONE, whole_files

    refuse_local(local)
    client = client_options(task.settings, source, model, api_key)
    live = replace(_live_request(task), paced=task.open_source is not None)
    sources = [task.open_source] if task.open_source else whole_files(task.names, task.reading)
    request = RemoteRequest(url, client, live)
    inputs = Inputs(task.names or [MICROPHONE], sources, task.outputs, task.skipped)
    return asyncio.run(transcribe_remotely(inputs, request, LiveView(quiet=task.quiet)))


def _here(task: _Task, standby: Standby | None, origins: Mapping[str, str] | None) -> int:
    """Do it on this machine; returns the exit code. With `origins` of settings, say what is taken and why."""
    import asyncio

    from asrctl.assembly import prepare
    from asrctl.cli.view import bytes_progress

    with bytes_progress() as progress:
        plan = prepare(task.settings, progress)
    if task.format in ("srt", "vtt"):
        plan = plan.with_words()
    if origins is not None:
        typer.echo(f"asrctl: {_choice(plan, task.settings, origins)}", err=True)
    return asyncio.run(_run(plan, task, standby))


def _choice(plan: Plan, settings: Settings, origins: Mapping[str, str]) -> str:
    """Which model and provider were taken, and why."""
    model_origin = origins.get("model", "the default")
    if plan.setup is not None:
        model_origin = "the provider's"
    why = origins.get("provider", "the default")
    if settings.provider == "auto":
        tried = ", ".join(settings.providers)
        why = f"the first of {tried} that can run"
    workers = f"{plan.workers} worker{'s' if plan.workers > 1 else ''}"
    threads = f" of {plan.spec.threads} threads" if plan.spec.threads else ""
    language = plan.decode.language
    return (
        f"model {plan.model} ({model_origin}), provider {plan.provider} ({why}), "
        f"{workers}{threads}, language {language}"
    )


async def _run(plan: Plan, task: _Task, standby: Standby | None) -> int:
    from asrctl.api import AsyncEngine
    from asrctl.workers.options import PoolOptions

    is_live = task.open_source is not None
    # Only live audio needs workers that are warm before the first word.
    pool = None if is_live else PoolOptions(workers=plan.workers)
    async with AsyncEngine.of(plan, task.settings, pool, standby) as engine:
        if task.open_source is not None:
            from asrctl.cli.live_view import LiveView
            from asrctl.cli.local import listen

            return await listen(engine, task.open_source, _live_request(task), LiveView(quiet=task.quiet))
        if not plan.is_windowed:
            from asrctl.cli.in_turn import Inputs
            from asrctl.cli.live_view import LiveView
            from asrctl.cli.local import listen_to_all
            from asrctl.cli.sources import whole_files

            sources = whole_files(task.names, task.reading)
            inputs = Inputs(task.names, sources, task.outputs, task.skipped)
            return await listen_to_all(engine, inputs, _live_request(task), LiveView(quiet=task.quiet))
        from asrctl.cli.files import FilesRequest, transcribe_files
        from asrctl.cli.view import FileView

        request = FilesRequest(
            inputs=task.names,
            outputs=task.outputs,
            format=task.format,
            reading=task.reading,
            render=task.render,
            vad=task.vad,
            jobs=task.jobs,
            whole=task.whole,
            skipped=task.skipped,
        )
        with FileView(quiet=task.quiet) as view:
            return await transcribe_files(engine, request, view)


def _live_request(task: _Task) -> LiveRequest:
    from asrctl.cli.live import LiveRequest

    return LiveRequest(
        output=task.outputs[0],
        format=task.format,
        words=task.settings.word_timestamps,
        render=task.render,
        vad=task.vad,
        interrupt_code=task.interrupt_code,
        whole=task.whole and task.open_source is None,
    )
