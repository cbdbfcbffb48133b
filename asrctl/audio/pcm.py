"""PCM: bytes in any cut to whole frames of float32."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from asrctl.audio import g711
from asrctl.transcript import Samples

PcmEncoding = Literal["u8", "s16le", "s24le", "s32le", "f32le", "f64le", "mulaw", "alaw"]


class Block(NamedTuple):
    """Audio of one format; within a file the format may change from block to block.

    Attributes:
        frames: Shape (frames, channels), float32.
        rate_hz: Frames per second.
    """

    frames: NDArray[np.float32]
    rate_hz: int

    @property
    def duration_s(self) -> float:
        return len(self.frames) / self.rate_hz


MAX_BLOCK_SAMPLES = 1 << 18  # of all channels together, 1 MiB

SAMPLE_BYTES: dict[PcmEncoding, int] = {
    **{"u8": 1, "s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4, "f64le": 8},
    **{"mulaw": 1, "alaw": 1},
}


def samples_from_bytes(data: bytes, encoding: PcmEncoding) -> NDArray[np.float32]:
    """Whole samples as float32, shape (n,); integers are scaled to [-1, 1), floats are left as they are."""
    match encoding:
        case "u8":
            return _scaled(np.frombuffer(data, np.uint8), 128) - np.float32(1)
        case "s16le":
            return _scaled(np.frombuffer(data, "<i2"), 1 << 15)
        case "s24le":
            padded = np.zeros((len(data) // 3, 4), np.uint8)
            padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            return _scaled(padded.view("<i4")[:, 0], 1 << 31)
        case "s32le":
            return _scaled(np.frombuffer(data, "<i4"), 1 << 31)
        case "f32le":
            return np.frombuffer(data, "<f4").astype(np.float32, copy=False)
        case "f64le":
            with np.errstate(over="ignore"):  # beyond float32 becomes infinite, which the converter counts
                return np.frombuffer(data, "<f8").astype(np.float32)
        case "mulaw" | "alaw":
            return g711.decoded(data, encoding)


def s16le_of(samples: Samples) -> bytes:
    """Floats of any shape as 16-bit PCM, clipped to full scale; NaN becomes silence."""
    scaled = np.rint(np.nan_to_num(samples).clip(-1.0, 1.0) * np.float32(1 << 15))
    return scaled.clip(max=(1 << 15) - 1).astype("<i2").tobytes()


def scale_s16(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """16-bit integers as float32 in [-1, 1), same shape."""
    return _scaled(samples, 1 << 15)


def _scaled(samples: NDArray[np.integer[Any]], full_scale: int) -> NDArray[np.float32]:
    floats = samples.astype(np.float32)
    floats /= full_scale  # in place: a second array would double the memory traffic
    return floats


def block_frames(rate_hz: int, channels: int) -> int:
    """How many frames to decode at once: half a second, or less where that would be over a MiB."""
    return max(1, min(rate_hz // 2, MAX_BLOCK_SAMPLES // max(channels, 1)))


class PcmFramer:
    """Cuts a byte stream into frames; what does not fill a frame waits for the next feed."""

    def __init__(self, channels: int, encoding: PcmEncoding) -> None:
        self._channels = channels
        self._encoding = encoding
        self._frame_bytes = channels * SAMPLE_BYTES[encoding]
        self._pending = b""

    @property
    def pending_bytes(self) -> int:
        """Bytes held back, less than one frame."""
        return len(self._pending)

    def feed(self, data: bytes) -> NDArray[np.float32]:
        """All frames that are complete now, shape (frames, channels), float32."""
        data = self._pending + data if self._pending else data
        whole_bytes = len(data) - len(data) % self._frame_bytes
        self._pending = data[whole_bytes:]
        return samples_from_bytes(data[:whole_bytes], self._encoding).reshape(-1, self._channels)
