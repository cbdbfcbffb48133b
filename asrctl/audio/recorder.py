"""Live audio kept in a WAV file while it is heard: nothing is missing, whatever ends the process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import BinaryIO

from asrctl.audio.live import LiveSource, Lost
from asrctl.audio.live_tracks import Step
from asrctl.errors import AudioError, UsageError
from asrctl.transcript import SAMPLE_RATE_HZ, Samples

_HEADER = Struct("<4sI4s4sIHHIIHH4sI")
_SAMPLE_BYTES = 2
_MAX_BYTES = 0xFFFFFFFF  # what a size in the header can say; the file may be longer, after 37 hours


class Recorder:
    """A `LiveSource` that writes down what it passes on: 16 bits, 16 kHz; what was lost is silence.

    Tracks are channels; one that ends before the others is silent.

    Samples are written as they come, and the sizes in the header with each chunk. If the process is killed in
    between, the header announces a chunk that is not there.
    """

    def __init__(self, source: LiveSource, path: Path, *, append: bool = False, channels: int = 1) -> None:
        """Open the file.

        Args:
            source: What is heard.
            path: The file; there must be none yet, unless it is appended to.
            append: Go on behind what the file holds.
            channels: How many tracks the source has.

        Raises:
            AudioError: It cannot be written.
            UsageError: It exists, or is not a recording that can be appended to.
        """
        self.name = source.name
        self.warnings = source.warnings
        self.speakers = getattr(source, "speakers", ())
        self._source = source
        self._path = path
        self._channels = channels
        self._stopped_because: OSError | None = None
        try:
            self._file: BinaryIO = path.open("r+b" if append and path.exists() else "x+b")
            self._bytes = self._existing()
            self._write(b"")
        except FileExistsError:
            raise UsageError(f"{path} exists: --append adds to it, or choose another name") from None
        except OSError as error:
            raise AudioError(f"cannot record to {path}: {error.strerror or error}") from error

    def _existing(self) -> int:
        """Bytes of samples that are there already; the file is at their end.

        Raises:
            UsageError: There is something else.
        """
        if not (header := self._file.read(_HEADER.size)):
            self._file.write(self._header(0))
            return 0
        said = _HEADER.unpack(header)[-1] if len(header) == _HEADER.size else 0
        if header != self._header(said):
            self._file.close()
            raise UsageError(f"{self._path} is not a recording of asrctl, to which --append could add")
        there = self._file.seek(0, 2) - _HEADER.size
        return there - there % self._frame_bytes  # part of a frame is left where a process was killed

    @property
    def _frame_bytes(self) -> int:
        return _SAMPLE_BYTES * self._channels

    def __iter__(self) -> Iterator[Samples | Lost]:
        for item in self._source:
            self._keep(item)
            yield item

    def _keep(self, item: Samples | Lost) -> None:
        """Write a chunk; a disk that is full ends the recording, and not what is heard."""
        if self._stopped_because is not None:
            return
        try:
            self._write(bytes(item.count * self._frame_bytes) if isinstance(item, Lost) else _pcm(item))
        except OSError as error:
            self._stopped_because = error
            at_s = self._bytes / self._frame_bytes / SAMPLE_RATE_HZ
            reason = error.strerror or error
            self.warnings.append(f"the recording {self._path} ends at {at_s:.1f} s: {reason}")

    def _write(self, data: bytes) -> None:
        """The header first: readers pass over samples that it does not announce, but not over a lack."""
        end = self._bytes + len(data)
        self._file.seek(0)
        self._file.write(self._header(end))
        self._file.seek(_HEADER.size + self._bytes)
        self._file.write(data)
        self._file.flush()
        self._bytes = end

    def _header(self, data_bytes: int) -> bytes:
        said = min(data_bytes, _MAX_BYTES - _HEADER.size)
        byte_rate = SAMPLE_RATE_HZ * self._frame_bytes
        form = (16, 1, self._channels, SAMPLE_RATE_HZ, byte_rate, self._frame_bytes, 8 * _SAMPLE_BYTES)
        return _HEADER.pack(b"RIFF", said + _HEADER.size - 8, b"WAVE", b"fmt ", *form, b"data", said)

    def stop(self) -> None:
        """End the source after what was heard up to now."""
        self._source.stop()

    def close(self) -> None:
        """Close the source and the file; what it holds was written before."""
        self._source.close()
        self._file.close()


def _pcm(item: Samples | Step) -> bytes:
    import numpy as np

    from asrctl.audio.pcm import s16le_of

    tracks = item.samples() if isinstance(item, Step) else [item]
    length = max(map(len, tracks))
    samples = np.stack([np.pad(track, (0, length - len(track))) for track in tracks], axis=1)
    return s16le_of(samples)
