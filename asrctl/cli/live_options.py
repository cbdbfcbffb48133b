"""From settings to the options of a live stream, and of the workers that decode for it."""

from __future__ import annotations

from dataclasses import replace

from asrctl.audio.sample import SAMPLE_WORDS, sample_speech
from asrctl.cli.recognizer import Recognizer
from asrctl.cli.voice_activity import endpointing
from asrctl.engine.slot import HealthCheck
from asrctl.engine.stream import StreamOptions
from asrctl.models.catalog import ALIASES, CATALOG
from asrctl.policy.endpointing import EndpointerOptions
from asrctl.policy.pacing import PacingOptions
from asrctl.policy.window import Effort
from asrctl.providers.base import DecodeOptions
from asrctl.settings import LiveSettings, VadSettings


def health_check(recognizer: Recognizer) -> HealthCheck:
    """What a worker decodes before it is ready: speech in English, which all models of the catalog know."""
    known = ALIASES.get(recognizer.model, recognizer.model) in CATALOG
    options = replace(
        recognizer.decode,
        language="en",
        translate=False,
        prompt="",
        beam_size=1,
        word_timestamps=True,
        effort=Effort.DRAFT,  # which this sample does not run in circles on, and which is ready sooner
    )
    return HealthCheck(sample_speech(), SAMPLE_WORDS if known else frozenset(), options)


def stream_options(decode: DecodeOptions, vad: VadSettings | None, live: LiveSettings) -> StreamOptions:
    """How live audio is cut, and how often partials are made; `vad` is None where all is decoded."""
    pacing = PacingOptions(
        interval_s=live.partial_interval_s,
        max_interval_s=max(PacingOptions().max_interval_s, live.partial_interval_s),
    )
    return StreamOptions(decode, endpointing(vad, EndpointerOptions(overlong_s=live.max_utterance_s)), pacing)
