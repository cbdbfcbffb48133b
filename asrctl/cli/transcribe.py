"""`asrctl transcribe`: files, pipes and live audio to text."""

from __future__ import annotations

import os
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer

from asrctl.cli.config import ConfigFile
from asrctl.errors import EXIT_INTERRUPTED, UsageError
from asrctl.render import Format

Encoding = Literal["s16le", "f32le"]
SourceName = Literal["mic", "system"]

_ONE_FILE_EACH = ("srt", "vtt", "tsv")
_ListDevices = Annotated[
    bool, typer.Option("--list-devices", help="Show the audio inputs of this machine, and nothing else.")
]
_API_KEY_VARIABLE = "ASRCTL_API_KEY"
_Server = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", help="Have a server do it, such as ws://127.0.0.1:8765."),
]
_ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key", metavar="KEY", envvar=_API_KEY_VARIABLE, help="What the server lets you in for."
    ),
]
_Inputs = Annotated[
    list[str] | None,
    typer.Argument(metavar="[INPUTS]...", help="Audio or video files; - is standard input."),
]


def transcribe(
    context: typer.Context,
    inputs: _Inputs = None,
    provider: Annotated[
        str | None, typer.Option(metavar="NAME", help="auto, whisper_cpp or faster_whisper.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME|PATH", help="A name of `asrctl models list`, a file, or a directory."),
    ] = None,
    language: Annotated[
        str | None, typer.Option(metavar="CODE", help="Such as en or de; auto finds out.")
    ] = None,
    translate: Annotated[
        bool | None, typer.Option("--translate/--no-translate", help="Into English.")
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Names and terms the audio is likely to hold.")
    ] = None,
    format: Annotated[
        Format | None,
        typer.Option("--format", "-f", help="What to write; txt if neither this nor the output's name says."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write one input's transcript here.")
    ] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option("--output-dir", metavar="DIR", help="Write a file for each input in this directory."),
    ] = None,
    word_timestamps: Annotated[
        bool | None,
        typer.Option("--word-timestamps/--no-word-timestamps", help="Times of words, in JSON."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=1024, help="For each worker; all cores by default.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=64, help="Processes; 2 are faster on long files, each loads the model."
        ),
    ] = None,
    beam_size: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=16, help="1 is greedy, 5 a little better.")
    ] = None,
    vad: Annotated[
        bool, typer.Option("--vad/--no-vad", help="Find speech first, or decode everything.")
    ] = True,
    mic: Annotated[bool, typer.Option("--mic", help="Transcribe the microphone until Ctrl-C.")] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Transcribe one input at its own pace, as if it were spoken now.")
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(metavar="INDEX|NAME", help="Which microphone; a part of its name will do."),
    ] = None,
    list_devices: _ListDevices = False,
    source: Annotated[
        SourceName, typer.Option(help="Whose live audio it is; system audio yields to a microphone's.")
    ] = "mic",
    partial_interval: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=0.1, max=60.0, help="Live: new audio between partial results."),
    ] = None,
    server: _Server = None,
    api_key: _ApiKey = None,
    raw_rate: Annotated[
        int | None,
        typer.Option("--raw-rate", metavar="HZ", help="The inputs are headerless PCM of this rate."),
    ] = None,
    raw_channels: Annotated[
        int, typer.Option("--raw-channels", metavar="N", min=1, help="Their channels.")
    ] = 1,
    raw_encoding: Annotated[Encoding, typer.Option("--raw-encoding", help="Their samples.")] = "s16le",
    config: ConfigFile = None,
) -> None:
    """Transcribe audio files, standard input, or live audio.

    The text goes to standard output as it is found, everything else to standard error.

    \b
    Examples:
      asrctl transcribe meeting.mp3
      asrctl transcribe talk.mp4 --format srt --output talk.srt
      asrctl transcribe *.wav --output-dir transcripts --format json --word-timestamps
      ffmpeg -i rtsp://camera -f wav - | asrctl transcribe -
      arecord -f S16_LE -r 16000 -t raw | asrctl transcribe - --raw-rate 16000
      asrctl transcribe --mic
      asrctl transcribe --mic --device usb --format srt --output talk.srt
      asrctl transcribe --live meeting.mp3
      asrctl transcribe --server ws://127.0.0.1:8765 --mic

    Exit codes: 0 good, 1 some input failed, 2 usage, 3 model, 4 provider, 5 server, 130 interrupted.
    """
    from asrctl.cli.offline import Offline, RawFormat, Request
    from asrctl.cli.recognizer import prepare, with_words
    from asrctl.cli.sources import MICROPHONE, list_input_devices, live_source
    from asrctl.cli.view import FileView, bytes_progress
    from asrctl.render.output import destinations
    from asrctl.settings import load

    if list_devices:
        return list_input_devices()
    names = inputs or []
    if not names and not mic:
        raise UsageError("nothing to transcribe: name files, - for standard input, or --mic")
    raw = RawFormat(raw_rate, raw_channels, raw_encoding) if raw_rate is not None else None
    open_source = live_source(names, raw, mic=mic, live=live, device=device)
    settings = load(config).settings.overridden(
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
    if partial_interval is not None:
        settings = settings.overridden(live=replace(settings.live, partial_interval_s=partial_interval))
    wanted = format or _format_of(output) or settings.format
    if wanted in _ONE_FILE_EACH and len(names) > 1 and not output_dir:
        raise UsageError(f"several inputs make several {wanted} files: say where with --output-dir")
    outputs = destinations(names or [MICROPHONE], output, output_dir, wanted)
    if server is None and api_key not in (None, os.environ.get(_API_KEY_VARIABLE)):
        raise UsageError("--api-key says who you are to a server: it needs --server")
    if server is not None:
        if find_spec("websockets") is None:
            raise UsageError("--server needs websockets: pip install 'asrctl[client]'")
        from asrctl.cli.feeder import whole_files
        from asrctl.cli.live_view import LiveView
        from asrctl.cli.remote import RemoteRequest, transcribe_remotely
        from asrctl.cli.remote_options import client_options, refuse_local

        refuse_local(
            {
                **{"--provider": provider, "--threads": threads, "--workers": workers},
                **{"--beam-size": beam_size, "--partial-interval": partial_interval},
                **{"--translate": translate or None, "--no-vad": None if vad else False},
            }
        )
        remote_request = RemoteRequest(
            url=server,
            client=client_options(settings, source, model, api_key),
            format=wanted,
            words=settings.word_timestamps,
            paced=open_source is not None,
            interrupt_code=0 if mic else EXIT_INTERRUPTED,
        )
        sources = [open_source] if open_source is not None else whole_files(names, raw)
        raise typer.Exit(transcribe_remotely(sources, outputs, remote_request, LiveView()))
    with bytes_progress() as progress:
        recognizer = prepare(settings, progress)
    if wanted in ("srt", "vtt"):
        recognizer = with_words(recognizer)
    if open_source is not None:
        from asrctl.cli.live import LiveRequest, listen  # not above: files need not wait for it
        from asrctl.cli.live_view import LiveView
        from asrctl.policy.priority import Source

        live_request = LiveRequest(
            output=outputs[0],
            format=wanted,
            words=settings.word_timestamps,
            vad=settings.vad if vad else None,
            live=settings.live,
            priority=Source[source.upper()],
            interrupt_code=0 if mic else EXIT_INTERRUPTED,
        )
        raise typer.Exit(listen(recognizer, open_source(), live_request, LiveView()))
    request = Request(names, outputs, wanted, raw, settings.vad if vad else None)
    with FileView() as view:
        failed = Offline(recognizer, request, view, context.obj).run()
    raise typer.Exit(1 if failed else 0)


def _format_of(output: Path | None) -> Format | None:
    """The format that an output's extension names, if it does."""
    from asrctl.render.formats import WRITERS

    extension = output.suffix.lower().lstrip(".") if output else ""
    return next((name for name in WRITERS if name == extension), None)
