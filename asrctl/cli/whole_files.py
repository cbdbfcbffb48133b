"""Inputs that are read as fast as they are taken, as sources of live audio."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrctl.audio.files import AudioReader, open_audio
from asrctl.audio.live import LiveSource, Lost
from asrctl.cli.offline import RawFormat


class WholeFile:
    """A `LiveSource` that gives an input as fast as it is taken."""

    def __init__(self, audio: AudioReader) -> None:
        """Prepare; the input is closed with this."""
        self.name = audio.name
        self.warnings = audio.warnings
        self._audio = audio
        self._stopped = False

    def __iter__(self) -> Iterator[NDArray[np.float32] | Lost]:
        """Chunks of a second or less; see `LiveSource`."""
        for chunk in self._audio:
            yield chunk
            if self._stopped:
                return

    def stop(self) -> None:
        """End the iteration after the chunk that is being read."""
        self._stopped = True

    def close(self) -> None:
        """Close the input."""
        self._audio.close()


def whole_files(names: Sequence[str], raw: RawFormat | None) -> list[Callable[[], LiveSource]]:
    """What opens each input; they are headerless PCM if `raw` says of which format."""
    options: dict[str, Any] = {}
    if raw is not None:
        options = {"raw_rate_hz": raw.rate_hz, "raw_channels": raw.channels, "raw_encoding": raw.encoding}
    return [functools.partial(_open, name, options) for name in names]


def _open(name: str, options: dict[str, Any]) -> LiveSource:
    return WholeFile(open_audio(name, **options))
