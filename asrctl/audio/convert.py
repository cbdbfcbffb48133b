"""Any rate and number of channels to samples (mono, 16 kHz, float32): for files, microphone and server."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from asrctl.audio.mix import ChannelMixer
from asrctl.audio.pcm import PcmFramer, scale_s16
from asrctl.errors import AudioError
from asrctl.transcript import SAMPLE_RATE_HZ, Samples

MIN_RATE_HZ = 1_000  # below this there is no speech to hear
MAX_RATE_HZ = 768_000  # the fastest PCM that recorders make
MAX_CHANNELS = 64
FULL_SCALE = 0.9999  # just under the largest 16-bit sample, 32767 / 32768

StreamEncoding = Literal["s16le", "s32le", "f32le", "mulaw", "alaw"]


class StreamConverter:
    """Converts one stream, fed in chunks of any size; the cuts between chunks leave no trace in the output.

    Channels are mixed as mix.py says, or one of them is taken. NaN and infinite samples become 0 and samples
    beyond ±1 are clipped; both are counted. At 16 kHz mono, clean float32 comes out as it went in, without a
    copy.

    Attributes:
        received_frames: Whole frames fed so far.
        replaced_samples: NaN or infinite samples that became 0, all channels counted.
        full_scale_samples: Samples at or beyond full scale, all channels counted.
        peak: Largest finite magnitude so far; above 1 it was clipped.
    """

    def __init__(
        self,
        rate_hz: int,
        channels: int,
        encoding: StreamEncoding = "f32le",
        *,
        channel: int | None = None,
        split: bool = False,
    ) -> None:
        """Starts a stream.

        Args:
            rate_hz: Frames per second of the input.
            channels: Samples per frame.
            encoding: What chunks of bytes hold.
            channel: The only channel to take, from 1; None for all.
            split: Do not mix channels: samples have the shape (n, channels).

        Raises:
            AudioError: a rate or a number of channels that no speech recording has, or no such channel.
        """
        check_format(rate_hz, channels)
        if channel is not None and not 1 <= channel <= channels:
            has = "1 channel" if channels == 1 else f"{channels} channels"
            raise AudioError(f"there is no channel {channel}: it has {has}")
        self.rate_hz = rate_hz
        self.channels = channels
        self.received_frames = 0
        self._given_samples = 0
        self.replaced_samples = 0
        self.full_scale_samples = 0
        self.peak = 0.0
        self._framer = PcmFramer(channels, encoding)
        self._column = slice(None) if split else 0 if channel is None else channel - 1
        is_mixed = channels > 1 and channel is None and not split
        self._mixer = ChannelMixer(channels, rate_hz) if is_mixed else None
        resampled = channels if split else 1
        self._resampler = _resampler(rate_hz, resampled) if rate_hz != SAMPLE_RATE_HZ else None
        self._nothing = np.empty((0, channels) if split else 0, np.float32)

    @property
    def pending_bytes(self) -> int:
        """Bytes of a frame that is not complete yet."""
        return self._framer.pending_bytes

    @property
    def inverted_s(self) -> float:
        """How long channels were in opposite phase, so that they were inverted before the mix."""
        return self._mixer.inverted_frames / self.rate_hz if self._mixer else 0.0

    def feed(self, chunk: bytes | NDArray[np.float32] | NDArray[np.int16]) -> NDArray[np.float32]:
        """Takes the next chunk and gives what is ready, which may be nothing yet.

        Args:
            chunk: Bytes in the stream's encoding, in any cut; or an array of whole frames, float32 or int16,
                shape (frames, channels) or interleaved (frames * channels,).

        Returns:
            Samples, shape (n,), float32; if they are split, (n, channels).

        Raises:
            ValueError: an array that is not whole frames of this stream.
        """
        frames = self._mixable(self._frames(chunk))
        self.received_frames += len(frames)
        mono = self._mixer.feed(frames) if self._mixer else frames[:, self._column]
        samples = self._resample(mono, last=False) if self._resampler else mono
        self._given_samples += len(samples)
        return samples

    @property
    def held_samples(self) -> int:
        """Samples of what was fed that were not given yet."""
        due = (2 * self.received_frames * SAMPLE_RATE_HZ + self.rate_hz) // (2 * self.rate_hz)
        return due - self._given_samples

    def flush(self) -> NDArray[np.float32]:
        """Gives what is held, shape (n,), float32; what is fed next is taken as if after silence.

        All output together is received_frames * 16000 / rate_hz samples, rounded, so no sample is lost
        however often it is flushed; only bytes of an incomplete last frame (`pending_bytes`) are left out.
        """
        rest = self._mixer.flush() if self._mixer else self._nothing
        if self._resampler:
            rest = _of_length(self._resample(rest, last=True), self.held_samples)
            self._resampler.clear()
        self._given_samples += len(rest)
        return rest

    def _frames(self, chunk: bytes | NDArray[np.float32] | NDArray[np.int16]) -> NDArray[np.float32]:
        if not isinstance(chunk, np.ndarray):
            return self._framer.feed(bytes(chunk))
        if chunk.ndim == 2 and chunk.shape[1] != self.channels:
            raise ValueError(f"{chunk.shape[1]} channels fed to a stream of {self.channels}")
        if chunk.dtype == np.int16:
            return scale_s16(chunk.view(np.int16)).reshape(-1, self.channels)
        return chunk.astype(np.float32, copy=False).reshape(-1, self.channels)

    def _mixable(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """The frames, or where they hold something that is not a sample, a cleaned copy."""
        with np.errstate(invalid="ignore"):
            peak = max(frames.max(initial=0), -frames.min(initial=0))
        if peak < FULL_SCALE:  # false for NaN
            self.peak = max(self.peak, float(peak))
            return frames
        finite = np.isfinite(frames)
        clean = np.where(finite, frames, np.float32(0))
        magnitude = np.abs(clean)
        self.replaced_samples += int(finite.size - np.count_nonzero(finite))
        self.full_scale_samples += int(np.count_nonzero(magnitude >= FULL_SCALE))
        self.peak = max(self.peak, float(magnitude.max()))
        return np.clip(clean, -1, 1)

    def _resample(self, mono: NDArray[np.float32], *, last: bool) -> NDArray[np.float32]:
        assert self._resampler is not None
        samples: Samples = self._resampler.resample_chunk(mono, last=last)
        return np.clip(samples, -1, 1, out=samples)  # the filter may ring past full scale


def _of_length(samples: Samples, count: int) -> NDArray[np.float32]:
    """Each part of a stream is rounded to whole samples: one may be too many, or missing for the whole."""
    missing = count - len(samples)
    if missing <= 0:
        return samples[:count]
    last = samples[-1:] if len(samples) else np.zeros((1, *samples.shape[1:]), np.float32)
    return np.concatenate((samples, *[last] * missing))


def check_format(rate_hz: int, channels: int) -> None:
    """Raises AudioError for a rate or a number of channels that no speech recording has."""
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise AudioError(f"a sample rate of {rate_hz} Hz is outside {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz")
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(f"{channels} channels are outside 1 to {MAX_CHANNELS}")


def check_header(rate_hz: int, channels: int, encoding: str) -> None:
    """As `check_format`, of what a header says of samples that can be read without it: the error says how."""
    try:
        check_format(rate_hz, channels)
    except AudioError as error:
        options = {"s16le": "--raw-rate HZ", "f32le": "--raw-encoding f32le --raw-rate HZ"}.get(encoding)
        options = options and options + " --raw-channels N" * (channels != 1)
        advice = f": if you know better, {options} reads the samples without it" if options else ""
        raise AudioError(f"{error}; its header is wrong{advice}") from error


def _resampler(rate_hz: int, channels: int) -> Any:
    import soxr

    return soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, channels, dtype="float32", quality="HQ")
