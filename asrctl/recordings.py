"""What the API takes as audio: files, samples, and whatever gives chunks of samples."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from asrctl.errors import UsageError
from asrctl.transcript import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from asrctl.audio.files import AudioReader
    from asrctl.audio.live import LiveSource, Lost

    Samples = NDArray[np.float32]
    """Mono float32 at 16 kHz in [-1, 1], shape (n,)."""
    Recording = str | os.PathLike[str] | Samples
    """A file, or all of its samples."""
    LiveAudio = Recording | LiveSource | Iterable[Samples | Lost] | AsyncIterable[Samples | Lost]
    """A recording, or chunks of samples as they come; blocking iterables are read in a thread."""


def is_recording(source: object) -> bool:
    return isinstance(source, str | os.PathLike) or hasattr(source, "dtype")


def opened(source: Recording) -> AudioReader:
    from asrctl.audio.files import open_audio

    if isinstance(source, str | os.PathLike):
        return open_audio(os.fspath(source))
    chunks = _checked(source)
    duration_s = sum(len(chunk) for chunk in chunks) / SAMPLE_RATE_HZ
    return _Chunks(chunks, duration_s)  # type: ignore[return-value]


def blocking(source: Any) -> Any:
    if is_recording(source):
        return opened(source)
    return source if hasattr(source, "close") else _Chunks(source)


def _checked(samples: Any) -> list[Any]:
    """Samples as a list of one chunk.

    Raises:
        UsageError: They are not mono float32.
    """
    import numpy as np

    array = np.asarray(samples)
    if array.ndim != 1 or array.dtype != np.float32:
        shape = f"{array.dtype} of shape {array.shape}"
        raise UsageError(f"samples must be float32 of shape (n,), mono at 16 kHz, not {shape}")
    return [
        np.ascontiguousarray(array[at : at + SAMPLE_RATE_HZ]) for at in range(0, len(array), SAMPLE_RATE_HZ)
    ]


class _Chunks:
    """Chunks of samples, as an open input."""

    name = "samples"

    def __init__(self, chunks: Iterable[Any], duration_s: float | None = None) -> None:
        self.warnings: list[str] = []
        self.duration_s = duration_s
        self._chunks = chunks

    def __iter__(self) -> Iterator[Any]:
        return iter(self._chunks)

    def close(self) -> None:
        """Nothing is held."""
