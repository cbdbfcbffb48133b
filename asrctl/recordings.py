"""What the API takes as audio: files, samples, and whatever gives chunks of samples."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from asrctl.errors import UsageError
from asrctl.transcript import SAMPLE_RATE_HZ, Samples

if TYPE_CHECKING:
    from asrctl.audio.files import OpenAudio
    from asrctl.audio.live import LiveSource, Lost
    from asrctl.audio.tracks import Tracks

    Recording = str | os.PathLike[str] | Samples
    """A file, or all of its samples."""
    Recordings = Recording | Mapping[str, Recording]
    """A recording, or the tracks of one by their speakers' names."""
    LiveAudio = Recording | LiveSource | Iterable[Samples | Lost] | AsyncIterable[Samples | Lost]
    """A recording, or chunks of samples as they come; blocking iterables are read in a thread."""


Channels = Literal["mix", "split"]
"""What becomes of the channels of a recording."""


def is_recording(source: object) -> bool:
    return isinstance(source, str | os.PathLike) or hasattr(source, "dtype")


def opened_tracks(
    source: Recordings, channels: Channels = "mix", speakers: Mapping[str, str] | None = None
) -> OpenAudio | Tracks:
    """Open a recording, with tracks if it is to have some.

    Args:
        source: A recording, or the tracks of one by their speakers' names.
        channels: "split" makes each channel a track.
        speakers: Names by channel: "left", "right", or a number from 1.

    Raises:
        AudioError: It cannot be read.
        UsageError: The arguments contradict each other.
    """
    if channels not in ("mix", "split"):
        raise UsageError(f"channels can be mix or split, not {channels!r}")
    if speakers and channels == "mix":
        raise UsageError('speakers are on channels: they need channels="split"')
    if channels == "mix" and not isinstance(source, Mapping):
        return opened(source)
    from asrctl.audio.tracks import ChannelTracks, channel_names, open_files

    if not isinstance(source, Mapping):
        return ChannelTracks(opened(source, split=True), channel_names(speakers or {}))
    if channels == "split":
        raise UsageError("tracks are not split into channels")
    return open_files({name: partial(opened, each) for name, each in source.items()})


def opened(source: Recording, *, split: bool = False) -> OpenAudio:
    from asrctl.audio.files import open_audio

    if isinstance(source, str | os.PathLike):
        return open_audio(os.fspath(source), split=split)
    chunks = _checked(source, split)
    duration_s = sum(len(chunk) for chunk in chunks) / SAMPLE_RATE_HZ
    return _Chunks(chunks, duration_s)


def blocking(source: Any) -> Any:
    if is_recording(source):
        return opened(source)
    return source if hasattr(source, "close") else _Chunks(source)


def _checked(samples: Any, split: bool) -> list[Any]:
    """Samples as a list of chunks.

    Raises:
        UsageError: They are not float32 of shape (n,), or, to be split, (n, channels).
    """
    import numpy as np

    array = np.asarray(samples)
    if array.ndim != 1 + split or array.dtype != np.float32:
        shape = f"{array.dtype} of shape {array.shape}"
        wanted = "(n, channels), at 16 kHz" if split else "(n,), mono at 16 kHz"
        raise UsageError(f"samples must be float32 of shape {wanted}, not {shape}")
    return [
        np.ascontiguousarray(array[at : at + SAMPLE_RATE_HZ]) for at in range(0, len(array), SAMPLE_RATE_HZ)
    ]


class _Chunks:
    """Chunks of samples, as an open input."""

    name = "samples"
    hint = ""

    def __init__(self, chunks: Iterable[Any], duration_s: float | None = None) -> None:
        self.warnings: list[str] = []
        self.duration_s = duration_s
        self._chunks = chunks

    def __iter__(self) -> Iterator[Any]:
        return iter(self._chunks)

    def close(self) -> None:
        """Nothing is held."""


def microphone(device: str | None = None) -> LiveSource:
    """A microphone as a source for `stream`; needs the extra "mic".

    Args:
        device: Its number or a part of its name; None for the system's default.

    Raises:
        AudioError: There is none, or the system does not give it.
        UsageError: There is none of that name, or the extra is not installed.
    """
    from asrctl.audio.devices import choose_device, input_devices, load_portaudio
    from asrctl.audio.mic import Microphone

    portaudio = load_portaudio()
    return Microphone(portaudio, choose_device(input_devices(portaudio), device))
