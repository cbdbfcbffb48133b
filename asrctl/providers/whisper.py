"""The plug-ins of the providers that run Whisper's weights in worker processes."""

from __future__ import annotations

from asrctl.providers.base import ModelSpec, WindowedModel
from asrctl.providers.plugin import Plugin, missing_package


def _whisper_cpp(spec: ModelSpec) -> WindowedModel:
    from asrctl.providers.whisper_cpp import WhisperCpp

    return WhisperCpp(spec)


def _faster_whisper(spec: ModelSpec) -> WindowedModel:
    from asrctl.providers.faster_whisper import FasterWhisper

    return FasterWhisper(spec)


WHISPER_CPP = Plugin(
    name="whisper_cpp",
    summary="Whisper through whisper.cpp, on the CPU or a GPU",
    missing=lambda setup: missing_package("_pywhispercpp", "pip install pywhispercpp"),
    load=_whisper_cpp,
    weights="ggml",
    requires="_pywhispercpp",
)
FASTER_WHISPER = Plugin(
    name="faster_whisper",
    summary="Whisper through CTranslate2",
    missing=lambda setup: missing_package("faster_whisper", 'pip install "asrctl[faster-whisper]"'),
    load=_faster_whisper,
    weights="ctranslate2",
    requires="faster_whisper",
)
