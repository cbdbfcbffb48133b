"""From settings to what finds speech and how audio is cut, for files and for live audio."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from asrctl.policy.end_of_turn import TurnOptions
from asrctl.policy.endpointing import EndpointerOptions
from asrctl.policy.pacing import PacingOptions
from asrctl.policy.packing import PackingOptions
from asrctl.policy.window import Effort
from asrctl.protocol.endpointing import Endpointing
from asrctl.providers.base import DecodeOptions
from asrctl.settings import LiveSettings, VadSettings
from asrctl.streaming.stream import SpeechDetector, StreamOptions

if TYPE_CHECKING:
    from asrctl.streaming.files import FileOptions

_WINDOW_S = 16.0
_WHOLE_WINDOW_S = 28.0
_SHORT_S = 30.0


def endpointing(vad: VadSettings | None, lengths: EndpointerOptions) -> EndpointerOptions:
    """How speech is cut: `lengths` has the utterances' lengths; with `vad` None all is speech."""
    if vad is None:
        return replace(lengths, min_speech_s=0.0)
    return replace(
        lengths,
        onset_threshold=vad.onset,
        offset_threshold=min(vad.offset, vad.onset),
        pad_before_s=vad.speech_pad_s,
        pad_after_s=min(vad.speech_pad_s, vad.trailing_silence_s),
        min_speech_s=vad.min_speech_s,
        trailing_silence_s=vad.trailing_silence_s,
    )


def stream_options(
    decode: DecodeOptions, vad: VadSettings | None, live: LiveSettings, wish: Endpointing | None = None
) -> StreamOptions:
    """How live audio is cut, and how often partials are made.

    Args:
        decode: How windows are decoded.
        vad: How speech is found; None where all is decoded.
        live: What holds for all streams.
        wish: What is to differ in this one.

    Raises:
        UsageError: The values do not go together.
    """
    wish = wish or Endpointing()
    pacing = PacingOptions(
        interval_s=live.partial_interval_s,
        max_interval_s=max(PacingOptions().max_interval_s, live.partial_interval_s),
    )
    lengths = EndpointerOptions(overlong_s=live.max_utterance_s)
    wanted = live.end_of_turn if wish.end_of_turn is None else wish.end_of_turn
    turn = TurnOptions(unfinished_silence_s=live.unfinished_silence_s) if wanted and vad else None
    cut = wish.applied(endpointing(vad, lengths))
    return StreamOptions(decode, cut, pacing, turn=wish.turn(turn))


def file_options(decode: DecodeOptions, vad: VadSettings | None, duration_s: float | None) -> FileOptions:
    """How an input is cut, by its length if that is known; measured in benchmarks/RESULTS.md."""
    from asrctl.streaming.files import FileOptions

    window_s = _WINDOW_S
    if vad is None:
        decode, window_s = replace(decode, effort=Effort.THOROUGH), _WHOLE_WINDOW_S
    # A small first window shows text early, and costs more: short inputs are done as soon without.
    is_short = duration_s is not None and duration_s <= _SHORT_S
    return FileOptions(
        decode,
        endpointing(vad, EndpointerOptions(overlong_s=window_s, max_utterance_s=window_s)),
        PackingOptions(
            max_window_s=window_s,
            first_window_s=window_s if is_short else PackingOptions().first_window_s,
        ),
    )


def speech_detector(vad: VadSettings | None) -> SpeechDetector:
    """A fresh detector; with None one that calls everything speech."""
    if vad is None:
        from asrctl.audio.loudness import Loudness

        return Loudness()
    from asrctl.audio.gain_control import GainControlled
    from asrctl.audio.vad import SileroVad, SileroWeights

    return GainControlled(SileroVad(SileroWeights.load()))
