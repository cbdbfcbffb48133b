"""The plug-ins of the providers that run Whisper's weights in worker processes."""

from __future__ import annotations

from dataclasses import dataclass

from asrctl.providers.base import ModelSpec, WindowedModel
from asrctl.providers.plugin import Plugin, missing_package, number


@dataclass(frozen=True, slots=True)
class FasterWhisperSettings:
    """The section [faster_whisper] of the config file.

    Attributes:
        parallel: Windows that a worker decodes at a time, on the same weights; they share its threads. 0 for
            two where it has several: more threads do little for one window.
        together: Windows that are decoded in one call, if as many wait: faster, and takes memory.
    """

    parallel: int = number(0, 0, 64)
    together: int = number(4, 1, 64)

    def parallel_on(self, threads: int) -> int:
        """The same for a worker with so many threads."""
        return min(self.parallel or 2, threads)


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
    settings=FasterWhisperSettings,
    missing=lambda setup: missing_package("faster_whisper", 'pip install "asrctl[faster-whisper]"'),
    load=_faster_whisper,
    parallel=FasterWhisperSettings.parallel_on,
    together=lambda settings: settings.together,
    weights="ctranslate2",
    requires="faster_whisper",
)
