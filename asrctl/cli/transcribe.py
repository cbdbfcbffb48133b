"""`asrctl transcribe`: files, pipes and live audio to text."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from asrctl.cli import endpointing, refusals
from asrctl.cli import speaker_options as spoken
from asrctl.cli import transcribe_options as given
from asrctl.cli.config import ConfigFile
from asrctl.cli.help import EXIT_CODES, GroupedCommand
from asrctl.errors import UsageError
from asrctl.render import Format

if TYPE_CHECKING:
    from asrctl.cli.folders import Found
    from asrctl.cli.sources import InputOptions
    from asrctl.render.options import RenderOptions
    from asrctl.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=GroupedCommand, epilog=EXIT_CODES)
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
    vocabulary: given.Vocabulary = None,
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
    record: given.Record = None,
    append: given.Append = False,
    device: given.Device = None,
    list_devices: given.ListDevices = False,
    source: given.Source = None,
    partial_interval: given.PartialInterval = None,
    endpoint_silence: endpointing.Silence = None,
    end_of_turn: endpointing.EndOfTurn = None,
    cluster: given.Cluster = None,
    server: given.Server = None,
    api_key: given.ApiKey = None,
    wait_for_server: given.WaitForServer = None,
    group: spoken.Group = None,
    subscribe: spoken.Subscribe = None,
    max_line_width: given.MaxLineWidth = 42,
    max_lines: given.MaxLines = 2,
    max_cps: given.MaxCps = 20.0,
    min_gap: given.MinGap = 0.08,
    word_by_word: given.WordByWord = False,
    paragraph_pause: given.ParagraphPause = None,
    track: spoken.Track = None,
    system: spoken.System = False,
    channel: given.Channel = None,
    channels: spoken.Channels = "mix",
    speaker: spoken.Speaker = None,
    speakers: spoken.Speakers = None,
    speaker_samples: spoken.SpeakerSamples = None,
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
      asrctl transcribe --mic --output notes.txt --record notes.wav --append
      asrctl transcribe --mic --system --output meeting.md
      asrctl transcribe --mic --track mic=Anna --track system=Ben
      asrctl transcribe --live meeting.mp3
      asrctl transcribe --mic --speakers auto --output meeting.md
      asrctl transcribe call.wav --channels split --speaker left=Anna --speaker right=Ben
      asrctl transcribe meeting.mp3 --speakers auto --output meeting.md
      asrctl transcribe --track mic.wav=Me --track system.wav=Them --output call.md
      asrctl transcribe --server ws://127.0.0.1:8765 --mic
      asrctl transcribe --server ws://127.0.0.1:8765 --mic --group standup --speaker Ben
      asrctl transcribe --server ws://127.0.0.1:8765 --subscribe standup --output standup.md
      asrctl transcribe recordings --recursive --output-dir transcripts --cluster ray://head:10001
    """
    from asrctl.cli.sources import MICROPHONE, InputOptions, list_input_devices, live_source, recorded
    from asrctl.cli.task import Task, run_elsewhere, run_here
    from asrctl.cli.tracks import with_speakers, with_tracks
    from asrctl.cli.vocabulary import vocabulary_of
    from asrctl.render.formats import format_of
    from asrctl.render.output import destinations

    if list_devices:
        return list_input_devices()
    options = refusals.given_options(context)
    cues = {"max_line_width": max_line_width, "max_lines": max_lines, "max_cps": max_cps}
    cues |= {"min_gap_s": min_gap, "word_by_word": word_by_word}
    if subscribe is not None:
        refusals.refuse_beside_subscribe(options)
        to = output, format, _rendering(False, True, paragraph_pause, cues), options
        raise typer.Exit(_subscribed(server, subscribe, api_key, wait_for_server, config, *to))
    who, speaker = _who_speaks(speaker, server, group)
    raw = InputOptions(raw_rate, raw_channels, raw_encoding, channel=channel, split=channels == "split")
    tracks = with_tracks(raw, track, speaker, inputs, mic=mic, system=system)
    reading = replace(with_speakers(tracks, speakers, speaker_samples), recursive=recursive)
    found = _found(inputs or [], reading, partial(_inform, quiet), mic=mic)
    names = [each.name for each in found]
    open_source = live_source(names, reading, partial(_inform, quiet), mic=mic, live=live, device=device)
    open_source = recorded(open_source, record, output, append=append)
    heard = {"live": open_source is not None, "inputs": bool(inputs), "raw": raw_rate is not None}
    refusals.refuse_idle(options, server, **heard, vad=vad, cluster=bool(cluster))
    chosen: dict[str, Any] = {"provider": provider, "model": model, "language": language, "prompt": prompt}
    chosen |= {"translate": translate, "word_timestamps": word_timestamps, "beam_size": beam_size}
    chosen |= {"threads": threads, "workers": workers, "vocabulary": vocabulary_of(vocabulary)}
    settings, origins = _settled(config, chosen, best=server is None and open_source is None)
    settings = _with_times(settings, partial_interval, wait_for_server)
    settings = endpointing.with_endpointing(settings, endpoint_silence, end_of_turn)
    folders, extension = [each.folder for each in found], format or settings.format
    outputs = destinations(names or [MICROPHONE], output, output_dir, extension, folders, [*reading.files])
    wanted = format or format_of(output) or settings.format
    refusals.refuse_mixing(names, output_dir, wanted, jobs, cluster=bool(cluster))
    refusals.refuse_appending(append, open_source is not None, output, record, wanted)
    refusals.warn_of_format(options, wanted, output)
    names, outputs, skipped = _missing(names, outputs) if skip_existing else (names, outputs, None)
    render = _rendering(settings.word_timestamps, reading.has_speakers, paragraph_pause, cues)
    task = Task(names, outputs, wanted, settings, reading, open_source, render, vad)
    task = replace(
        task, jobs=jobs, skipped=skipped, quiet=quiet, append=append, cluster=cluster, options=options
    )
    if server is None:
        raise typer.Exit(run_here(task, context.obj, origins if verbose else None))
    local = refusals.local_options(options, vad=vad)
    ours = {"--source": source, "--group": group, "--speaker": who}
    task = replace(task, wish=endpointing.wished(endpoint_silence, end_of_turn))
    raise typer.Exit(run_elsewhere(task, server, api_key, model, local, ours))


def _found(
    inputs: list[str], reading: InputOptions, inform: Callable[[str], None], *, mic: bool
) -> list[Found]:
    """What is to be transcribed; nothing but the microphone with `mic`, if nothing is named."""
    from asrctl.cli.folders import look_through

    named = inputs or ([] if mic else [*reading.files][:1])
    found = look_through(named, inform, recursive=reading.recursive)
    if not found and not mic:
        raise UsageError("nothing to transcribe: name files, - for standard input, or --mic")
    return found


def _inform(quiet: bool, line: str) -> None:
    """Say what nobody needs to act on."""
    if not quiet:
        typer.echo(line, err=True)


def _subscribed(
    server: str | None,
    group: str,
    api_key: str | None,
    wait_for_server_s: float | None,
    config: Path | None,
    output: Path | None,
    format: Format | None,
    how: RenderOptions,
    options: Sequence[str],
) -> int:
    from asrctl.cli.subscribe import subscribed
    from asrctl.render.formats import format_of
    from asrctl.settings import load

    settings = _with_times(load(config).settings, None, wait_for_server_s)
    wanted = format or format_of(output) or settings.format
    refusals.warn_of_format(options, wanted, output)
    return subscribed(server, group, api_key, output, wanted, how, settings.client.wait_for_server_s)


def _who_speaks(
    speaker: list[str] | None, server: str | None, group: str | None
) -> tuple[str | None, list[str] | None]:
    """Who is heard by a server, and who is on channels.

    Raises:
        UsageError: A group is a server's.
    """
    if group is not None and server is None:
        raise UsageError("--group puts sessions of a server together: it needs --server")
    if server is None or not speaker or len(speaker) > 1 or "=" in speaker[0]:
        return None, speaker
    from asrctl.audio.tracks import checked_name

    return checked_name(speaker[0]), None


def _missing(
    names: Sequence[str], outputs: Sequence[Path | None]
) -> tuple[list[str], list[Path | None], int]:
    """Inputs and outputs where nothing is yet, and how many there were besides.

    Raises:
        Exit: Nothing is left to be done.
        UsageError: Transcripts go to standard output, or the input is a microphone.
    """
    if not names or not all(outputs):
        raise UsageError("--skip-existing needs inputs, and --output-dir or --output for their transcripts")
    pairs = [(name, path) for name, path in zip(names, outputs, strict=True) if path is not None]
    shared = Counter((path.parent, Path(name).stem.casefold()) for name, path in pairs)
    missing = [
        (name, path)
        for name, path in pairs
        if not _has_transcript(name, path, shares=shared[path.parent, Path(name).stem.casefold()] > 1)
    ]
    skipped = len(names) - len(missing)
    if not missing:
        typer.echo(f"asrctl: nothing to do: {skipped} inputs skipped, whose transcripts exist", err=True)
        raise typer.Exit
    return [name for name, _ in missing], [path for _, path in missing], skipped


def _has_transcript(name: str, path: Path, *, shares: bool) -> bool:
    """Whether an input's transcript exists.

    Where inputs share a stem, names are numbered, and one that was added since may have come before another:
    then a transcript from before the input was there is not of this input.
    """
    try:
        made_s = path.stat().st_mtime
    except OSError:
        return False
    return not shares or not os.path.exists(name) or os.stat(name).st_ctime <= made_s


def _rendering(
    words: bool, speakers: bool, paragraph_pause_s: float | None, cues: Mapping[str, Any]
) -> RenderOptions:
    from asrctl.render.cues import SubtitleOptions
    from asrctl.render.options import RenderOptions

    return RenderOptions(words, speakers, paragraph_pause_s, SubtitleOptions(karaoke=words, **cues))


def _settled(
    config: Path | None, options: Mapping[str, Any], *, best: bool
) -> tuple[Settings, dict[str, str]]:
    """The settings with the options on top, and where model and provider come from; for `best`, the best
    model in the cache if none was named."""
    from asrctl.settings import load

    loaded = load(config)
    given = {name: f"--{name}" for name in ("model", "provider") if options[name]}
    settings, origins = loaded.settings.overridden(**options), {**loaded.origins, **given}
    return _with_best_model(settings, origins) if best else (settings, origins)


def _with_best_model(settings: Settings, origins: dict[str, str]) -> tuple[Settings, dict[str, str]]:
    """For files the best model in the cache that is fast enough, where none was named; live audio, of which
    there may be much at once, keeps the small one. Providers with weights of their own choose themselves."""
    from asrctl.detect.best_model import best_cached
    from asrctl.providers.registry import PROVIDERS

    if "model" in origins:
        return settings, origins
    first = settings.providers[0] if settings.provider == "auto" and settings.providers else settings.provider
    if first not in PROVIDERS or PROVIDERS[first].weights != "ggml":
        return settings, origins
    best = best_cached(settings.models_dir, settings.language, translate=settings.translate)
    if best is None or best == settings.model:
        return settings, origins
    why = "the best in the cache that is fast enough here; --model takes another"
    return settings.overridden(model=best), {**origins, "model": why}


def _with_times(
    settings: Settings, partial_interval: float | None, wait_for_server: float | None
) -> Settings:
    if partial_interval is not None:
        settings = settings.overridden(live=replace(settings.live, partial_interval_s=partial_interval))
    if wait_for_server is not None:
        client = replace(settings.client, wait_for_server_s=wait_for_server)
        settings = settings.overridden(client=client)
    return settings
