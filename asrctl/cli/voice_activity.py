"""From settings to what finds speech, alike for files and live audio."""

from __future__ import annotations

from dataclasses import replace

from asrctl.engine.stream import SpeechDetector
from asrctl.policy.endpointing import EndpointerOptions
from asrctl.settings import VadSettings


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


def speech_detector(vad: VadSettings | None) -> SpeechDetector:
    """A fresh detector; with None one that calls everything speech."""
    if vad is None:
        from asrctl.audio.loudness import Loudness

        return Loudness()
    from asrctl.audio.vad import SileroVad, SileroWeights

    return SileroVad(SileroWeights.load())
