"""transcribe.cpp's plug-in."""

from __future__ import annotations

from asrctl.providers.base import ListeningModel, ModelSpec, WindowedModel
from asrctl.providers.plugin import Plugin, missing_package
from asrctl.providers.transcribe_cpp.settings import TranscribeCppSettings


def _load(spec: ModelSpec) -> WindowedModel:
    from asrctl.providers.transcribe_cpp.windows import TranscribeCpp

    return TranscribeCpp(spec)


def _listen(spec: ModelSpec) -> ListeningModel:
    from asrctl.providers.transcribe_cpp.streams import ListeningTranscribeCpp

    return ListeningTranscribeCpp(spec)


PLUGIN = Plugin(
    name="transcribe_cpp",
    summary="Parakeet, Moonshine, Qwen3-ASR, Voxtral and others through transcribe.cpp",
    settings=TranscribeCppSettings,
    missing=lambda setup: missing_package("transcribe_cpp", 'pip install "asrctl[transcribe-cpp]"'),
    load=_load,
    listen=_listen,
    serving=lambda setup: setup.settings.serving,
    options=lambda setup: setup.settings.options,
    has_beams=False,
    weights="gguf",
    requires="transcribe_cpp",
)
