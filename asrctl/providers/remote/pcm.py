"""Samples as the bytes that servers take: signed 16 bit, little-endian, at the server's rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asrctl.transcript import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLE_BYTES = 2


def pcm_of(samples: NDArray[np.float32]) -> bytes:
    """Samples in [-1, 1], shape (n,), as PCM; no number becomes silence, what is beyond is clipped."""
    import numpy as np

    scaled = np.rint(np.nan_to_num(samples).clip(-1.0, 1.0) * np.float32(32768))
    return scaled.clip(max=32767).astype("<i2").tobytes()


def samples_of(pcm: bytes) -> NDArray[np.float32]:
    """PCM as samples in [-1, 1), shape (n,)."""
    import numpy as np

    samples: NDArray[np.float32] = np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)
    return samples


class Resampler:
    """One utterance's PCM at 16 kHz to another rate; the cuts between pieces leave no trace."""

    def __init__(self, rate_hz: int) -> None:
        """Begin an utterance for a server that takes `rate_hz`."""
        self._stream: Any = None
        if rate_hz != SAMPLE_RATE_HZ:
            import soxr

            self._stream = soxr.ResampleStream(SAMPLE_RATE_HZ, rate_hz, 1, dtype="float32", quality="HQ")

    def feed(self, pcm: bytes) -> bytes:
        """The next piece, as far as it is ready, which may be nothing yet."""
        return self._convert(pcm, last=False)

    def flush(self) -> bytes:
        """The utterance's end."""
        return self._convert(b"", last=True)

    def _convert(self, pcm: bytes, *, last: bool) -> bytes:
        if self._stream is None:
            return pcm
        return pcm_of(self._stream.resample_chunk(samples_of(pcm), last=last))
