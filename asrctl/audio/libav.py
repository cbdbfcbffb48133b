"""FFmpeg's libraries through PyAV, in the decoding process."""

from __future__ import annotations

import re
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

from asrctl.audio.slices import FileSlice
from asrctl.audio.stream import DecodeFailed, Pieces

MIN_GAP_S = 0.1  # shorter jumps of the clock are rounding in the container
MAX_SILENCE_S = 24 * 3600.0  # for all gaps of a file; a hostile one could ask for years
MAX_CHANNELS, MAX_RATE_HZ = 1024, 10_000_000  # beyond any real frame: its header is damaged
PLANES = 8
"""PyAV counts a planar frame's planes up to a null pointer, and FFmpeg's array of them has PLANES places:
with as many channels, or more, it would read past the end. Such frames are made packed first."""

EXACT_LENGTHS = {"flac", "ogg", "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}
GUESSED_LENGTHS = {"aac", "mpegts", "mpeg", "mp3", "ac3", "eac3", "dts", "amr", "loas", "swf"}
"""FFmpeg's formats without a stated length: it takes the bit rate of the beginning for that of the whole."""

WITHOUT_CLOCK = {"aac", "mp3", "ac3", "eac3", "dts", "dtshd", "amr", "loas", "truehd"}
"""Formats that carry no times: FFmpeg counts samples at the first rate, which is wrong where it changes."""

_DURATION = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
SEEN_PACKETS = 4096  # over a minute of packets of 20 ms


def open_libav(
    path: str,
    start: int,
    end: int,
    whole: bool,
    track: int | None,
    resources: ExitStack,
) -> LibavStream:
    """Opens a range of a file with PyAV.

    Args:
        path: The file.
        start: Its first byte.
        end: The byte behind its last.
        whole: True if that is all of the file, which FFmpeg then reads by itself.
        track: Which audio track, from 1; None for the default.
        resources: Gets what has to be closed.

    Raises:
        DecodeFailed: not a container that FFmpeg's libraries know, or one without audio.
    """
    import av

    try:
        # "file:" lets a name like "concat:a" be a name; the list lets no playlist lead elsewhere
        source: Any = f"file:{path}" if whole else resources.enter_context(FileSlice(path, start, end))
        options = {"protocol_whitelist": "file"}
        container = resources.enter_context(av.open(source, options=options, metadata_errors="replace"))
        stream = _chosen(container, track)
        if stream.codec_context is None:
            raise DecodeFailed("its audio codec is not known")
        return LibavStream(container, stream)
    except (av.FFmpegError, ValueError, OSError) as error:
        raise DecodeFailed(_reason(error)) from error


def _chosen(container: Any, track: int | None) -> Any:
    tracks = container.streams.audio
    if not tracks:
        raise DecodeFailed("it has no audio track")
    if track is None:
        return container.streams.best("audio") or tracks[0]
    if track > len(tracks):
        count = "1 audio track" if len(tracks) == 1 else f"{len(tracks)} audio tracks"
        raise DecodeFailed(f"there is no audio track {track}: it has {count}")
    return tracks[track - 1]


class LibavStream:
    """One audio track; gaps in its clock become silence, so that times stay those of the file."""

    def __init__(self, container: Any, stream: Any) -> None:
        self._container = container
        self._stream = stream
        self.notes: list[str] = []
        self.n_tracks = len(container.streams.audio)
        self.track = container.streams.audio.index(stream) + 1
        self.expected_s = _expected_s(container)
        self.promised_s = _promised_s(container, stream)
        self.tolerance = 0.0 if container.format.name in EXACT_LENGTHS else 0.02
        # Only here are a packet's times absolute, so that the same packet twice is a repetition.
        self._repeats = _Repeats() if container.format.name == "matroska,webm" else None
        self._has_clock = container.format.name not in WITHOUT_CLOCK
        self._damaged_packets = 0
        self._early_s = 0.0  # when damage came first whose length nothing tells
        self._resampler: Any = None
        self._resampler_input: tuple[str, str, int] | None = None

    def pieces(self) -> Iterator[Pieces]:
        """As OpenStream.pieces; a damaged packet is left out and noted, what follows is still read."""
        origin_s = (self._container.start_time or 0) / 1e6
        position_s, lead_s, filled_s, damaged = 0.0, 0.0, 0.0, 0
        try:
            for start_s, piece in self._timed():
                if self._damaged_packets > damaged and not self._has_clock:
                    self._early_s = self._early_s or position_s
                damaged = self._damaged_packets
                gap_s = 0.0 if start_s is None or not self._has_clock else start_s - origin_s - position_s
                if gap_s > MAX_SILENCE_S - lead_s - filled_s:
                    self.notes.append(
                        f"damaged: its clock jumps by {gap_s:.0f} s; times are wrong after that"
                    )
                    origin_s += gap_s
                elif gap_s < -1.0:  # the clock was set back: joined recordings
                    origin_s += gap_s
                elif gap_s > MIN_GAP_S:
                    if position_s:
                        filled_s += gap_s
                    else:  # audio that starts later than the picture
                        lead_s = gap_s
                    position_s += gap_s
                    yield from _silence(gap_s, piece)
                position_s += piece.n_frames / piece.rate_hz
                yield piece
        finally:
            self._tell(filled_s)

    def _tell(self, filled_s: float) -> None:
        if filled_s:
            self.notes.append(f"gaps: {filled_s:.1f} s are missing in between and became silence")
        if self._damaged_packets:
            early = f"; times after {self._early_s:.1f} s are too early" if self._early_s else ""
            self.notes.append(f"damaged: {self._damaged_packets} packets could not be decoded{early}")
        if self._repeats and self._repeats.dropped:
            count = self._repeats.dropped
            self.notes.append(f"repeated: {count} packets came a second time and were left out")

    def _timed(self) -> Iterator[tuple[float | None, Pieces]]:
        """Pieces with their start in the container's clock, where it says one."""
        import av

        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                raise DecodeFailed(_reason(error)) from error
            if packet is None:
                return
            if self._repeats and self._repeats.has(packet):
                continue
            try:
                pieces = [
                    (frame.time, piece) for frame in packet.decode() for piece in self._pieces_of(frame)
                ]
            except (av.FFmpegError, ValueError):  # ValueError: a frame of an impossible format
                self._damaged_packets += 1
                continue
            yield from pieces

    def _pieces_of(self, frame: Any) -> list[Pieces]:
        """A decoded frame as float32 of its own rate and channels, which may change within a file."""
        channels, rate_hz = frame.layout.nb_channels, frame.sample_rate
        if not (0 < channels <= MAX_CHANNELS and 0 < rate_hz <= MAX_RATE_HZ):
            raise ValueError("impossible frame")
        if not frame.samples:
            return []
        if frame.format.name == "fltp" and channels < PLANES:  # what most codecs give, without a filter graph
            n_bytes = 4 * frame.samples
            planes = [bytes(memoryview(plane)[:n_bytes]) for plane in frame.planes]
            if len(planes) == channels:
                return [Pieces(rate_hz, channels, frame.samples, b"".join(planes))]
        return [
            Pieces(rate_hz, channels, 1, bytes(memoryview(packed.planes[0])[: 4 * channels * packed.samples]))
            for packed in self._packed(frame)
            if packed.samples
        ]

    def _packed(self, frame: Any) -> list[Any]:
        import av

        frame_input = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler_input != frame_input:  # the first frame, or the stream changed its parameters
            self._resampler = av.AudioResampler(format="flt", layout=frame.layout, rate=frame.sample_rate)
            self._resampler_input = frame_input
        packed: list[Any] = self._resampler.resample(frame)
        return packed


class _Repeats:
    """Remembers the last packets, to know one that comes again: a cluster that a recorder uploaded twice."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[int, int, int], None] = OrderedDict()
        self.dropped = 0

    def has(self, packet: Any) -> bool:
        """True if this packet, with the same time, was here before."""
        if packet.pts is None or not packet.size:
            return False
        key = (packet.pts, packet.size, zlib.crc32(bytes(packet)))
        if key in self._seen:
            self.dropped += 1
            return True
        self._seen[key] = None
        if len(self._seen) > SEEN_PACKETS:
            self._seen.popitem(last=False)
        return False


def _expected_s(container: Any) -> float | None:
    """The container's length; Matroska counts it from 0, where its audio may begin later."""
    if container.duration is None:
        return None
    first = max(0, container.start_time or 0) if container.format.name == "matroska,webm" else 0
    return float(container.duration - first) / 1e6


def _promised_s(container: Any, stream: Any) -> float | None:
    """The length that the container states for the track, from the container's first moment on."""
    if container.format.name in GUESSED_LENGTHS:
        return None
    first_s = max(0.0, (container.start_time or 0) / 1e6)
    if container.format.name == "matroska,webm":  # where FFmpeg takes the file's length for each track's
        stated_s = _tagged_s(stream.metadata)
        if stated_s is None and len(container.streams) == 1 and container.duration is not None:
            stated_s = float(container.duration / 1e6)
        return None if stated_s is None else stated_s - first_s
    if stream.duration:
        end_s = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
        if container.format.name not in EXACT_LENGTHS:  # whole packets are counted, and the last may be cut
            end_s -= stream.codec_context.frame_size / (stream.codec_context.sample_rate or 1)
        # Some writers count the length from the first moment, and others from 0: the shorter is promised.
        return end_s - 2 * first_s
    if len(container.streams) == 1 and container.duration is not None:
        return float(container.duration / 1e6) - first_s
    return None


def _tagged_s(tags: Mapping[str, str]) -> float | None:
    """A track's own length, which is written as a tag in Matroska."""
    # a language may be appended to the name
    stated = (_DURATION.match(tags[name]) for name in tags if name.partition("-")[0] == "DURATION")
    return next((3600 * int(at[1]) + 60 * int(at[2]) + float(at[3]) for at in stated if at), None)


def _silence(gap_s: float, like: Pieces) -> Iterator[Pieces]:
    """Zeros of the format of what follows them, a second at a time."""
    left = round(gap_s * like.rate_hz)
    while left > 0:
        n_frames = min(left, like.rate_hz)
        yield Pieces(like.rate_hz, like.channels, 1, bytes(4 * like.channels * n_frames))
        left -= n_frames


def _reason(error: Exception) -> str:
    """FFmpeg's words without the error number and the file name around them."""
    return str(getattr(error, "strerror", None) or error)
