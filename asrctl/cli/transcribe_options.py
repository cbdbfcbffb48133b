"""The options of `asrctl transcribe`, one type each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from asrctl.cli import completion
from asrctl.render import Format

INPUTS, _RECOGNITION, _OUTPUT, LIVE, SERVER = "Inputs", "Recognition", "Output", "Live audio", "Server"
"""Under these titles `--help` shows options."""
API_KEY_VARIABLE = "ASRCTL_API_KEY"

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[INPUTS]...", help="Audio or video files, or directories of them; - is standard input."
    ),
]
Recursive = Annotated[
    bool,
    typer.Option(
        "--recursive", "-r", help="Look through directories below those given, too.", rich_help_panel=INPUTS
    ),
]
SkipExisting = Annotated[
    bool,
    typer.Option(
        "--skip-existing", help="Leave out inputs whose transcript exists already.", rich_help_panel=INPUTS
    ),
]
Jobs = Annotated[
    int,
    typer.Option(
        "--jobs",
        "-j",
        metavar="N",
        min=1,
        max=64,
        help="Inputs to transcribe at once.",
        rich_help_panel=INPUTS,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show only warnings and errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show which model was chosen, and why.")]
Provider = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="auto, or a provider's name such as whisper_cpp or faster_whisper.",
        rich_help_panel=_RECOGNITION,
        autocompletion=completion.providers,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|PATH",
        help="A name of `asrctl models list`, a file, or a directory.",
        rich_help_panel=_RECOGNITION,
        autocompletion=completion.models,
    ),
]
Language = Annotated[
    str | None,
    typer.Option(
        "--language",
        "-l",
        metavar="CODE",
        help="Language code such as en or de; auto detects it, en,es chooses between these.",
        rich_help_panel=_RECOGNITION,
        autocompletion=completion.languages,
    ),
]
Translate = Annotated[
    bool | None,
    typer.Option("--translate/--no-translate", help="Translate into English.", rich_help_panel=_RECOGNITION),
]
Prompt = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="Initial prompt: text as if it came before; sets the style.",
        rich_help_panel=_RECOGNITION,
    ),
]
Vocabulary = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|TERMS",
        help="Names and terms that are likely: a file, one a line, or with commas between.",
        rich_help_panel=_RECOGNITION,
    ),
]
OutputFormat = Annotated[
    Format | None,
    typer.Option(
        "--format",
        "-f",
        help="What to write; txt if neither this nor the output's name says.",
        rich_help_panel=_OUTPUT,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write one input's transcript here; - is standard output.",
        callback=lambda path: None if path == Path("-") else path,
        rich_help_panel=_OUTPUT,
    ),
]
OutputDir = Annotated[
    Path | None,
    typer.Option(
        "--output-dir",
        metavar="DIR",
        help="Write a file for each input in this directory.",
        rich_help_panel=_OUTPUT,
    ),
]
WordTimestamps = Annotated[
    bool | None,
    typer.Option(
        "--word-timestamps/--no-word-timestamps",
        help="Word timestamps in JSON, WebVTT and ASS (karaoke) and TSV (one row per word).",
        rich_help_panel=_RECOGNITION,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        max=1024,
        help="Threads of each worker (default: all cores).",
        rich_help_panel=_RECOGNITION,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        max=64,
        help="Worker processes, each with the model; 2 are faster on long files.",
        rich_help_panel=_RECOGNITION,
    ),
]
BeamSize = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        max=16,
        help="Beam size: 1 is greedy, 5 slightly more accurate.",
        rich_help_panel=_RECOGNITION,
    ),
]
Vad = Annotated[
    bool,
    typer.Option(
        "--vad/--no-vad", help="Detect speech first, or decode everything.", rich_help_panel=_RECOGNITION
    ),
]
Mic = Annotated[
    bool, typer.Option("--mic", help="Transcribe the microphone until Ctrl-C.", rich_help_panel=LIVE)
]
Live = Annotated[
    bool,
    typer.Option(
        "--live",
        help="Transcribe one input at its own pace, as if it were spoken now.",
        rich_help_panel=LIVE,
    ),
]
Record = Annotated[
    Path | None,
    typer.Option(
        "--record", metavar="FILE", help="Live: keep the audio in this WAV file.", rich_help_panel=LIVE
    ),
]
Append = Annotated[
    bool,
    typer.Option("--append", help="Live: add to the files of --output and --record.", rich_help_panel=LIVE),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="INDEX|NAME",
        help="Which microphone; a part of its name will do.",
        rich_help_panel=LIVE,
        autocompletion=completion.microphones,
    ),
]
ListDevices = Annotated[
    bool,
    typer.Option(
        "--list-devices",
        help="Show the audio inputs of this machine, and nothing else.",
        rich_help_panel=LIVE,
    ),
]
Source = Annotated[
    Literal["mic", "system"] | None,
    typer.Option(
        help="What the audio is, for a server (default mic): under load, system yields to mic.",
        rich_help_panel=SERVER,
    ),
]
PartialInterval = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        min=0.1,
        max=60.0,
        help="Live: new audio between partial results.",
        rich_help_panel=LIVE,
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="[ray://]HOST:PORT|local",
        help="Transcribe on a Ray cluster; its machines must have the inputs at the same paths.",
        rich_help_panel=SERVER,
    ),
]
Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="Transcribe on a server: ws://127.0.0.1:8765; wyoming://host:10300; or by its path one of "
        "OpenAI's kind (http://host/v1, ws://host/v1/realtime) or Deepgram's (wss://host/v1/listen).",
        rich_help_panel=SERVER,
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        metavar="KEY",
        envvar=API_KEY_VARIABLE,
        help="API key for --server.",
        rich_help_panel=SERVER,
    ),
]
WaitForServer = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        min=0.0,
        max=86_400.0,
        help="How long to wait for a server that has never answered (default 5).",
        rich_help_panel=SERVER,
    ),
]
MaxLineWidth = Annotated[
    int,
    typer.Option(
        metavar="COLUMNS", min=4, max=1000, help="Subtitles: longest line.", rich_help_panel=_OUTPUT
    ),
]
MaxLines = Annotated[
    int,
    typer.Option(metavar="N", min=1, max=10, help="Subtitles: most lines of a cue.", rich_help_panel=_OUTPUT),
]
MaxCps = Annotated[
    float,
    typer.Option(
        metavar="COLUMNS",
        min=1,
        max=1000,
        help="Subtitles: reading speed, per second.",
        rich_help_panel=_OUTPUT,
    ),
]
MinGap = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        min=0,
        max=1,
        help="Subtitles: shortest time between two cues.",
        rich_help_panel=_OUTPUT,
    ),
]
WordByWord = Annotated[
    bool, typer.Option("--word-by-word", help="Subtitles: a cue for each word.", rich_help_panel=_OUTPUT)
]
ParagraphPause = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        min=0.1,
        help="txt: an empty line after a pause of this length.",
        rich_help_panel=_OUTPUT,
    ),
]
Channel = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, help="Only this channel, from 1 (default: all, mixed).", rich_help_panel=INPUTS
    ),
]
RawRate = Annotated[
    int | None,
    typer.Option(
        "--raw-rate",
        metavar="HZ",
        help="The inputs are headerless PCM of this rate.",
        rich_help_panel=INPUTS,
    ),
]
RawChannels = Annotated[
    int,
    typer.Option("--raw-channels", metavar="N", min=1, help="Number of channels.", rich_help_panel=INPUTS),
]
RawEncoding = Annotated[
    Literal["s16le", "f32le"], typer.Option("--raw-encoding", help="Sample format.", rich_help_panel=INPUTS)
]
