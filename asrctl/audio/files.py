"""Files, pipes and standard input as streams of samples: `open_audio`.

Everything is decoded block by block and never held in memory. sources.py knows pipes, decoders.py formats.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO, Protocol, Self

import numpy as np

from asrctl.audio.convert import StreamConverter, StreamEncoding
from asrctl.audio.decoders import Decoder
from asrctl.audio.sampler import Sampler
from asrctl.audio.sources import STDIN, open_source
from asrctl.audio.wav import WavHeader
from asrctl.errors import AudioError, UsageError
from asrctl.transcript import Samples

TRUNCATED_S = 0.1  # less is rounding and padding
CLIPPED_SHARE = 0.01  # clean masters touch full scale now and then
SILENT_PEAK = 2 / 32768  # dither of 16 bits
QUIET_PEAK = 10 ** (
    -62 / 20
)  # the sample sentence keeps its words down to a peak of -61 dB, and loses some at -66
INVERTED_S = 0.3  # shorter is chance, and nothing that was lost
INTEGER_PEAK = 8.0  # no float recording is this hot


class OpenAudio(Protocol):
    """What is transcribed: an `AudioReader`, which see, or what has the same face, such as samples."""

    name: str
    hint: str
    warnings: list[str]

    @property
    def duration_s(self) -> float | None: ...
    def __iter__(self) -> Iterator[Samples]: ...
    def close(self) -> None: ...


class AudioReader:
    """An open input; iterate over it once to get its samples, and close it (it is a context manager).

    Attributes:
        name: The input as the user should see it in messages.
        duration_s: Length by the header, None if it says nothing; it may be wrong: for progress only.
        hint: What else could be heard of it: other audio tracks, where none was chosen; else "".
        warnings: What is wrong with the audio although it can be read; complete after the iteration.
    """

    def __init__(
        self, name: str, decoder: Decoder, sampler: Sampler, resources: ExitStack, *, chosen: bool = True
    ) -> None:
        self.name = name
        self.hint = ""
        if decoder.n_tracks > 1 and not chosen:
            what = f"it has {decoder.n_tracks} audio tracks"
            self.hint = f"{what}: this is track {decoder.track}, its default; --track N takes another"
        self.duration_s = decoder.expected_s
        self.warnings: list[str] = []
        self._decoder = decoder
        self._sampler = sampler
        self._resources = resources

    def __iter__(self) -> Iterator[Samples]:
        """Samples in chunks of a second or less, never empty: shape (n,), float32, mono, 16 kHz, in [-1, 1].

        Where channels are split, shape (n, channels).

        Raises:
            AudioError: the input holds no samples, or none that can be decoded.
        """
        try:
            for block in self._decoder.blocks():
                yield from self._sampler.feed(block)
        except (AudioError, OSError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            if not self._sampler.received_s:
                raise AudioError(f"{self.name}: {reason}") from error
            self.warnings.append(f"stopped early: {reason}")
        yield from self._sampler.flush()
        self._judge()

    def _judge(self) -> None:
        """Says at the end what was wrong with the stream as a whole."""
        heard = self._sampler
        if not heard.received_s:
            raise AudioError(f"{self.name}: holds no audio (0 samples)")
        lengths = _length_warnings(self._decoder, heard.received_s)
        # A decoder notes the same of each part of a file.
        self.warnings += dict.fromkeys([*lengths, *_level_warnings(heard, self._decoder.n_tracks)])

    @property
    def mixed_channels(self) -> int:
        """How many channels became one; 0 before the iteration, or if they are apart, or one was chosen."""
        return self._sampler.mixed_channels

    def close(self) -> None:
        """Closes files, ends helper processes and deletes temporary files; safe to call twice."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _length_warnings(decoder: Decoder, received_s: float) -> list[str]:
    promised_s = decoder.promised_s or 0.0
    if promised_s - received_s <= max(decoder.tolerance * promised_s, TRUNCATED_S):
        return decoder.notes
    notes = [note for note in decoder.notes if not note.startswith("truncated")]  # seconds say more
    what = "damaged" if decoder.is_whole else "truncated"
    return [*notes, f"{what}: the header promised {promised_s:.1f} s, got {received_s:.1f} s"]


def _level_warnings(heard: Sampler, n_tracks: int) -> list[str]:
    warnings = [*heard.notes]
    if heard.replaced_samples:
        warnings.append(f"replaced {heard.replaced_samples} NaN or infinite samples by silence")
    share = heard.full_scale_samples / heard.received_samples
    if heard.peak < SILENT_PEAK:
        other = (
            "was the microphone muted?" if n_tracks == 1 else f"it has {n_tracks} audio tracks: try another"
        )
        heard_db = 20 * np.log10(heard.peak) if heard.peak else None
        level = "nothing but zeros" if heard_db is None else f"nothing above {heard_db:.0f} dB of full scale"
        warnings.append(f"silent: {level}; {other}")
    elif heard.peak < QUIET_PEAK:
        level_db = 20 * np.log10(heard.peak)
        what = f"nothing above {level_db:.0f} dB of full scale"
        warnings.append(f"quiet: {what}; if words are missing, try --no-vad")
    if heard.peak > INTEGER_PEAK:
        warnings.append(
            f"clipped: float samples up to {heard.peak:.3g}; integers stored as floats? scale them to [-1, 1]"
        )
    elif share > CLIPPED_SHARE:
        warnings.append(f"clipped: {share:.0%} of the samples at full scale")
    if heard.inverted_s >= INVERTED_S:
        warnings.append(
            f"the channels cancel each other (opposite phase) for {heard.inverted_s:.1f} s; "
            "one was inverted there"
        )
    return warnings


def open_audio(
    spec: str,
    *,
    raw_rate_hz: int | None = None,
    raw_channels: int = 1,
    raw_encoding: StreamEncoding = "s16le",
    stdin: BinaryIO | None = None,
    track: int | None = None,
    channel: int | None = None,
    split: bool = False,
) -> AudioReader:
    """Opens a file, or standard input, whatever the container, rate and number of channels.

    Args:
        spec: A path, or "-" for standard input.
        raw_rate_hz: If given, the input is headerless PCM of this rate in Hz, with raw_channels interleaved
            channels in raw_encoding.
        stdin: What "-" reads instead of the process's own standard input; it is left open.
        track: Which audio track of a film or a container, from 1; None for its default.
        channel: The only channel to take, from 1; None mixes all.
        split: Do not mix channels, but give each a column.

    Raises:
        AudioError: the input is missing, unreadable, empty not audio, or has no such track; one line,
            with its name. A channel that it does not have is known, and raised, with the first samples.
        UsageError: the raw format, the track or the channel makes no sense.
    """
    for what, number in (("track", track), ("channel", channel)):
        if number is not None and number < 1:
            raise UsageError(f"{what} {number}: they are counted from 1")
    name = _shown(spec)
    raw = None if raw_rate_hz is None else _raw_header(raw_rate_hz, raw_channels, raw_encoding)
    with ExitStack() as resources:
        try:
            decoder = open_source(spec, raw, stdin, resources, track)
            sampler = Sampler(channel, split=split)
            return AudioReader(name, decoder, sampler, resources.pop_all(), chosen=track is not None)
        except AudioError as error:
            raise AudioError(f"{name}: {error}") from error
        except (OSError, ValueError) as error:
            raise AudioError(f"{name}: {_os_reason(error)}") from error


def _raw_header(rate_hz: int, channels: int, encoding: StreamEncoding) -> WavHeader:
    try:
        StreamConverter(rate_hz, channels)
    except AudioError as error:
        raise UsageError(f"raw format: {error}") from error
    return WavHeader(rate_hz, channels, encoding, data_bytes=None)


def _shown(spec: str) -> str:
    if spec == STDIN:
        return "stdin"
    return spec if spec.isprintable() and spec else repr(spec)


def _os_reason(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    return getattr(error, "strerror", None) or str(error)
