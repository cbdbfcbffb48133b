"""The options of `asrctl transcribe`, one type each."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from asrctl.cli import completion
from asrctl.render import Format

input_option = partial(typer.Option, rich_help_panel="Inputs")
"""Makes an option that `--help` shows under this title; so do those below."""
recognition_option = partial(typer.Option, rich_help_panel="Recognition")
_output_option = partial(typer.Option, rich_help_panel="Output")
live_option = partial(typer.Option, rich_help_panel="Live audio")
server_option = partial(typer.Option, rich_help_panel="Server")
API_KEY_VARIABLE = "ASRCTL_API_KEY"

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[INPUTS]...", help="Audio or video files, or directories of them; - is standard input."
    ),
]
Recursive = Annotated[
    bool, input_option("--recursive", "-r", help="Look through directories below those given, too.")
]
SkipExisting = Annotated[
    bool, input_option("--skip-existing", help="Leave out inputs whose transcript exists already.")
]
Jobs = Annotated[
    int, input_option("--jobs", "-j", metavar="N", min=1, max=64, help="Inputs to transcribe at once.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show only warnings and errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show which model was chosen, and why.")]
Provider = Annotated[
    str | None,
    recognition_option(
        metavar="NAME",
        help="auto, or a provider's name such as whisper_cpp or faster_whisper.",
        autocompletion=completion.providers,
    ),
]
Model = Annotated[
    str | None,
    recognition_option(
        "--model",
        "-m",
        metavar="NAME|PATH",
        help="A name of `asrctl models list`, a file, or a directory.",
        autocompletion=completion.models,
    ),
]
Language = Annotated[
    str | None,
    recognition_option(
        "--language",
        "-l",
        metavar="CODE",
        help="Language code such as en or de; auto detects it, en,es chooses between these.",
        autocompletion=completion.languages,
    ),
]
Translate = Annotated[
    bool | None, recognition_option("--translate/--no-translate", help="Translate into English.")
]
Prompt = Annotated[
    str | None,
    recognition_option(metavar="TEXT", help="Initial prompt: text as if it came before; sets the style."),
]
Vocabulary = Annotated[
    str | None,
    recognition_option(
        metavar="FILE|TERMS",
        help="Names and terms that are likely: a file, one a line, or with commas between.",
    ),
]
OutputFormat = Annotated[
    Format | None,
    _output_option("--format", "-f", help="What to write; txt if neither this nor the output's name says."),
]
Output = Annotated[
    Path | None,
    _output_option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write one input's transcript here; - is standard output.",
        callback=lambda path: None if path == Path("-") else path,
    ),
]
OutputDir = Annotated[
    Path | None, _output_option(metavar="DIR", help="Write a file for each input in this directory.")
]
WordTimestamps = Annotated[
    bool | None,
    recognition_option(
        "--word-timestamps/--no-word-timestamps",
        help="Word timestamps in JSON, WebVTT and ASS (karaoke) and TSV (one row per word).",
    ),
]
Threads = Annotated[
    int | None,
    recognition_option(metavar="N", min=1, max=1024, help="Threads of each worker (default: all cores)."),
]
Workers = Annotated[
    int | None,
    recognition_option(
        metavar="N", min=1, max=64, help="Worker processes, each with the model; 2 are faster on long files."
    ),
]
BeamSize = Annotated[
    int | None,
    recognition_option(metavar="N", min=1, max=16, help="Beam size: 1 is greedy, 5 slightly more accurate."),
]
Vad = Annotated[bool, recognition_option("--vad/--no-vad", help="Detect speech first, or decode everything.")]
Mic = Annotated[bool, live_option("--mic", help="Transcribe the microphone until Ctrl-C.")]
Live = Annotated[
    bool, live_option("--live", help="Transcribe one input at its own pace, as if it were spoken now.")
]
Record = Annotated[Path | None, live_option(metavar="FILE", help="Live: keep the audio in this WAV file.")]
Append = Annotated[bool, live_option("--append", help="Live: add to the files of --output and --record.")]
Device = Annotated[
    str | None,
    live_option(
        metavar="INDEX|NAME",
        help="Which microphone; a part of its name will do.",
        autocompletion=completion.microphones,
    ),
]
ListDevices = Annotated[
    bool, live_option("--list-devices", help="Show the audio inputs of this machine, and nothing else.")
]
Source = Annotated[
    Literal["mic", "system"] | None,
    server_option(help="What the audio is, for a server (default mic): under load, system yields to mic."),
]
PartialInterval = Annotated[
    float | None,
    live_option(metavar="SECONDS", min=0.1, max=60.0, help="Live: new audio between partial results."),
]
Cluster = Annotated[
    str | None,
    server_option(
        metavar="[ray://]HOST:PORT|local",
        help="Transcribe on a Ray cluster; its machines must have the inputs at the same paths.",
    ),
]
Server = Annotated[
    str | None,
    server_option(
        metavar="URL",
        help="Transcribe on a server: ws://127.0.0.1:8765; wyoming://host:10300; or by its path one of "
        "OpenAI's kind (http://host/v1, ws://host/v1/realtime) or Deepgram's (wss://host/v1/listen).",
    ),
]
ApiKey = Annotated[
    str | None, server_option(metavar="KEY", envvar=API_KEY_VARIABLE, help="API key for --server.")
]
WaitForServer = Annotated[
    float | None,
    server_option(
        metavar="SECONDS",
        min=0.0,
        max=86_400.0,
        help="How long to wait for a server (default 5 if it never answers, longer if full; 0: 15 attempts).",
    ),
]
MaxLineWidth = Annotated[
    int, _output_option(metavar="COLUMNS", min=4, max=1000, help="Subtitles: longest line.")
]
MaxLines = Annotated[int, _output_option(metavar="N", min=1, max=10, help="Subtitles: most lines of a cue.")]
MaxCps = Annotated[
    float, _output_option(metavar="COLUMNS", min=1, max=1000, help="Subtitles: reading speed, per second.")
]
MinGap = Annotated[
    float, _output_option(metavar="SECONDS", min=0, max=1, help="Subtitles: shortest time between two cues.")
]
WordByWord = Annotated[bool, _output_option("--word-by-word", help="Subtitles: a cue for each word.")]
ParagraphPause = Annotated[
    float | None,
    _output_option(metavar="SECONDS", min=0.1, help="txt, md: an empty line after a pause of this length."),
]
Channel = Annotated[
    int | None, input_option(metavar="N", min=1, help="Only this channel, from 1 (default: all, mixed).")
]
RawRate = Annotated[
    int | None, input_option(metavar="HZ", help="The inputs are headerless PCM of this rate.")
]
RawChannels = Annotated[int, input_option(metavar="N", min=1, help="Channels of headerless PCM.")]
RawEncoding = Annotated[Literal["s16le", "f32le"], input_option(help="Samples of headerless PCM.")]
