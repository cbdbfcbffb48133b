"""transcribe.cpp's plug-in."""

from __future__ import annotations

from asrctl.providers.base import ModelSpec, WindowedModel
from asrctl.providers.plugin import Plugin, Setup, missing_package


def _load(spec: ModelSpec) -> WindowedModel:
    from asrctl.providers.transcribe_cpp.windows import TranscribeCpp

    return TranscribeCpp(spec)


def _missing(setup: Setup) -> str:
    return missing_package("transcribe_cpp", 'pip install "asrctl[transcribe-cpp]"')


PLUGIN = Plugin(
    name="transcribe_cpp",
    summary="Parakeet, Moonshine, Qwen3-ASR, Voxtral and others through transcribe.cpp",
    missing=_missing,
    load=_load,
    weights="gguf",
    requires="transcribe_cpp",
)
