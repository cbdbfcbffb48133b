"""The options of `asrctl transcribe` about who speaks, one type each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from asrctl.cli.transcribe_options import input_option, live_option, server_option

Group = Annotated[
    str | None,
    server_option(
        metavar="NAME", help="Sessions of one group at a server come out as one transcript, for --subscribe."
    ),
]
Subscribe = Annotated[
    str | None,
    server_option(
        metavar="GROUP", help="Write what is said in a group at --server, until it ends or Ctrl-C."
    ),
]
Track = Annotated[
    list[str] | None,
    input_option(
        metavar="N|FILE=NAME",
        help="Audio track of a film, from 1 (default: the file's own default). "
        "Or, repeated, the files of one recording and who speaks on each; with --mic, devices.",
    ),
]
System = Annotated[
    bool,
    live_option(
        "--system",
        help="With --mic: what the machine plays, too, as a track called Them beside one called Me.",
    ),
]
Channels = Annotated[
    Literal["mix", "split"], input_option(help="split: each channel is a speaker of its own.")
]
Speaker = Annotated[
    list[str] | None,
    input_option(
        metavar="CHANNEL=NAME",
        help="Who is on a channel that is split: left, right, or a number; repeat it for each. "
        "With --server, NAME alone: who is heard.",
    ),
]
Speakers = Annotated[
    str | None,
    input_option(
        metavar="auto|N",
        help="Tell speakers apart by voice, N at most; the text comes at the end, also of live audio.",
    ),
]
SpeakerSamples = Annotated[
    Path | None,
    input_option(
        metavar="DIR",
        exists=True,
        file_okay=False,
        help="Known speakers: a file with the voice of each, called after them.",
    ),
]
