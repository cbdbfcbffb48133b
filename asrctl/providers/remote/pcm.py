"""16-bit PCM at the rate that a server takes."""

from __future__ import annotations

from typing import Any

from asrctl.transcript import SAMPLE_RATE_HZ

SAMPLE_BYTES = 2


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
        from asrctl.audio.pcm import s16le_of, samples_from_bytes

        return s16le_of(self._stream.resample_chunk(samples_from_bytes(pcm, "s16le"), last=last))
