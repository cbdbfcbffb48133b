"""Local streaming speech recognition, as a library and on the command line; see `asrctl.api`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asrctl.api import AsyncEngine, stream
    from asrctl.audio.live import Lost
    from asrctl.client import Client
    from asrctl.engine import Engine, transcribe
    from asrctl.errors import (
        AsrctlError,
        AudioError,
        ModelError,
        ProviderError,
        ServerError,
        UsageError,
    )
    from asrctl.events import (
        Dropped,
        Event,
        Final,
        Finished,
        Flushed,
        Partial,
        ProviderChanged,
        SpeakerChanged,
        SpeakersLost,
        SpeechEnded,
        SpeechStarted,
    )
    from asrctl.protocol.endpointing import Endpointing
    from asrctl.recordings import microphone
    from asrctl.transcript import AudioAccount, Segment, Transcript, Word

__version__ = "0.1.0"

_HOMES = {
    "asrctl.api": ("AsyncEngine", "stream"),
    "asrctl.recordings": ("microphone",),
    "asrctl.audio.live": ("Lost",),
    "asrctl.client": ("Client",),
    "asrctl.engine": ("Engine", "transcribe"),
    "asrctl.errors": (
        "AsrctlError",
        "AudioError",
        "ModelError",
        "ProviderError",
        "ServerError",
        "UsageError",
    ),
    "asrctl.events": (
        "Dropped",
        "Event",
        "Final",
        "Finished",
        "Flushed",
        "Partial",
        "ProviderChanged",
        "SpeakerChanged",
        "SpeakersLost",
        "SpeechEnded",
        "SpeechStarted",
    ),
    "asrctl.protocol.endpointing": ("Endpointing",),
    "asrctl.transcript": ("AudioAccount", "Segment", "Transcript", "Word"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AsrctlError",
    "AsyncEngine",
    "AudioAccount",
    "AudioError",
    "Client",
    "Dropped",
    "Endpointing",
    "Engine",
    "Event",
    "Final",
    "Finished",
    "Flushed",
    "Lost",
    "ModelError",
    "Partial",
    "ProviderChanged",
    "ProviderError",
    "Segment",
    "ServerError",
    "SpeakerChanged",
    "SpeakersLost",
    "SpeechEnded",
    "SpeechStarted",
    "Transcript",
    "UsageError",
    "Word",
    "microphone",
    "stream",
    "transcribe",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: `import asrctl` itself costs next to nothing."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'asrctl' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
