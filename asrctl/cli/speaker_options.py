"""The options of `asrctl transcribe` about who speaks, one type each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from asrctl.cli.transcribe_options import INPUTS, LIVE, SERVER

Group = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Sessions of one group at a server come out as one transcript, for --subscribe.",
        rich_help_panel=SERVER,
    ),
]
Subscribe = Annotated[
    str | None,
    typer.Option(
        metavar="GROUP",
        help="Write what is said in a group at --server, until it ends or Ctrl-C.",
        rich_help_panel=SERVER,
    ),
]
Track = Annotated[
    list[str] | None,
    typer.Option(
        metavar="N|FILE=NAME",
        help="Audio track of a film, from 1 (default: the file's own default). "
        "Or, repeated, the files of one recording and who speaks on each; with --mic, devices.",
        rich_help_panel=INPUTS,
    ),
]
System = Annotated[
    bool,
    typer.Option(
        "--system",
        help="With --mic: what the machine plays, too, as a track called Them beside one called Me.",
        rich_help_panel=LIVE,
    ),
]
Channels = Annotated[
    Literal["mix", "split"],
    typer.Option(help="split: each channel is a speaker of its own.", rich_help_panel=INPUTS),
]
Speaker = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CHANNEL=NAME",
        help="Who is on a channel that is split: left, right, or a number; repeat it for each. "
        "With --server, NAME alone: who is heard.",
        rich_help_panel=INPUTS,
    ),
]
Speakers = Annotated[
    str | None,
    typer.Option(
        metavar="auto|N",
        help="Tell speakers apart by voice, N at most; the text comes at the end, also of live audio.",
        rich_help_panel=INPUTS,
    ),
]
SpeakerSamples = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        exists=True,
        file_okay=False,
        help="Known speakers: a file with the voice of each, called after them.",
        rich_help_panel=INPUTS,
    ),
]
