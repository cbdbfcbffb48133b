"""The options for how audio is cut into utterances, and what they mean here and to a server."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from asrctl.cli.transcribe_options import live_option, recognition_option

if TYPE_CHECKING:
    from asrctl.protocol.endpointing import Endpointing
    from asrctl.settings import Settings

Silence = Annotated[
    float | None,
    recognition_option(
        "--endpoint-silence",
        metavar="SECONDS",
        min=0.05,
        max=10.0,
        help="A pause this long ends an utterance, live and in files (default 0.5).",
    ),
]
EndOfTurn = Annotated[
    bool | None,
    live_option(
        "--end-of-turn/--no-end-of-turn",
        help="Live: hear whether a sentence is finished, and wait less if it is (extra turn).",
    ),
]


def with_endpointing(settings: Settings, silence_s: float | None, end_of_turn: bool | None) -> Settings:
    """The settings with the options that were given."""
    if silence_s is not None:
        settings = settings.overridden(vad=replace(settings.vad, trailing_silence_s=silence_s))
    if end_of_turn is not None:
        settings = settings.overridden(live=replace(settings.live, end_of_turn=end_of_turn))
    return settings


def wished(silence_s: float | None, end_of_turn: bool | None) -> Endpointing | None:
    """What to ask of a server; None where no option was given, which older servers know too."""
    if silence_s is None and end_of_turn is None:
        return None
    from asrctl.protocol.endpointing import Endpointing

    return Endpointing(trailing_silence_s=silence_s, end_of_turn=end_of_turn)
