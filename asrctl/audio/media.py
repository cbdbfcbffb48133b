"""Containers that libsndfile does not know (mp4, mkv, webm, aac, wma, video): PyAV, or the ffmpeg program."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from asrctl.audio.pcm import batched, block_frames
from asrctl.audio.wav import HeaderReader, WavDecoder, WavHeader, read_wav_header
from asrctl.errors import AudioError

MIN_GAP_S = 0.1  # shorter jumps of the clock are rounding in the container
MAX_SILENCE_S = 24 * 3600.0  # for all gaps of a file; a hostile one could ask for years
EXACT_LENGTHS = {"flac", "ogg", "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}
ESTIMATED_LENGTHS = {"aac", "mpegts", "mpeg"}  # FFmpeg's formats without a stated length: it guesses
REASON_CHARS = 200

NO_AUDIO_TRACK = "it has no audio track"


def open_pyav(path: Path, resources: ExitStack) -> PyavDecoder | None:
    """Opens with PyAV; None if it is not installed.

    Raises:
        AudioError: not a container that FFmpeg's libraries know, or one without audio.
    """
    if find_spec("av") is None:
        return None
    import av

    try:
        # "file:" lets a name like "concat:a" be a name; the list lets no playlist lead elsewhere
        container = resources.enter_context(
            av.open(f"file:{path}", options={"protocol_whitelist": "file"}, metadata_errors="replace")
        )
        stream = container.streams.best("audio")
        if stream is None:
            raise AudioError(NO_AUDIO_TRACK)
        if stream.codec_context is None:
            raise AudioError("its audio codec is not known")
        return PyavDecoder(container, stream)
    except (av.FFmpegError, ValueError) as error:
        raise AudioError(_av_reason(error)) from error


class PyavDecoder:
    """Reads the best audio track; gaps in its clock become silence, so that times stay those of the file."""

    def __init__(self, container: Any, stream: Any) -> None:
        self._container = container
        self._stream = stream
        self.rate_hz: int = stream.codec_context.sample_rate
        self.channels: int = stream.codec_context.layout.nb_channels
        self.notes: list[str] = []
        self.expected_s = None if container.duration is None else container.duration / 1e6
        promised_s = float(stream.duration * stream.time_base) if stream.duration else None
        if promised_s is None and len(container.streams) == 1:
            promised_s = self.expected_s
        if container.format.name in ESTIMATED_LENGTHS:
            promised_s = None
        self.promised_frames = None if promised_s is None else round(promised_s * self.rate_hz)
        self.promise_tolerance = 0.0 if container.format.name in EXACT_LENGTHS else 0.02
        self._damaged_packets = 0
        self._resampler: Any = None
        self._resampler_input: tuple[str, str, int] | None = None

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """As Decoder.blocks; a damaged packet is left out and noted, what follows is still read."""
        return batched(self._blocks_without_gaps(), block_frames(self.rate_hz, self.channels))

    def _blocks_without_gaps(self) -> Iterator[NDArray[np.float32]]:
        origin_s = (self._container.start_time or 0) / 1e6
        position_frames = 0
        lead_s, filled_s = 0.0, 0.0
        for start_s, block in self._timed_blocks():
            gap_s = 0.0 if start_s is None else start_s - origin_s - position_frames / self.rate_hz
            if gap_s > MAX_SILENCE_S - lead_s - filled_s:
                self.notes.append(f"damaged: its clock jumps by {gap_s:.0f} s; times are wrong after that")
                origin_s += gap_s
            elif gap_s > MIN_GAP_S:
                if position_frames:
                    filled_s += gap_s
                else:  # audio that starts later than the picture
                    lead_s = gap_s
                gap_frames = round(gap_s * self.rate_hz)
                position_frames += gap_frames
                yield from self._silence(gap_frames)
            position_frames += len(block)
            yield block
        if filled_s:
            self.notes.append(f"gaps: {filled_s:.1f} s are missing in between and became silence")
        if self._damaged_packets:
            self.notes.append(f"damaged: {self._damaged_packets} packets could not be decoded")

    def _timed_blocks(self) -> Iterator[tuple[float | None, NDArray[np.float32]]]:
        """Blocks with their start in the container's clock, where it says one."""
        import av

        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                raise AudioError(_av_reason(error)) from error
            if packet is None:
                return
            try:
                blocks = [(frame.time, self._interleaved(frame)) for frame in packet.decode()]
            except (av.FFmpegError, ValueError):  # ValueError: a frame of an impossible format
                self._damaged_packets += 1
                continue
            yield from blocks

    def _interleaved(self, frame: Any) -> NDArray[np.float32]:
        """A decoded frame as float32 of the stream's rate and channels, whatever the frame itself has."""
        import av

        same_shape = frame.sample_rate == self.rate_hz and frame.layout.nb_channels == self.channels
        if same_shape and frame.format.name == "fltp":  # what most codecs give, at a third of the time
            planar: NDArray[np.float32] = frame.to_ndarray()
            return planar.T
        frame_input = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler_input != frame_input:  # the first frame, or the stream changed its parameters
            layout = self._stream.codec_context.layout
            self._resampler = av.AudioResampler(format="flt", layout=layout, rate=self.rate_hz)
            self._resampler_input = frame_input
        pieces = [piece.to_ndarray().reshape(-1, self.channels) for piece in self._resampler.resample(frame)]
        return np.concatenate(pieces) if pieces else np.empty((0, self.channels), np.float32)

    def _silence(self, n_frames: int) -> Iterator[NDArray[np.float32]]:
        for start in range(0, n_frames, self.rate_hz):
            yield np.zeros((min(self.rate_hz, n_frames - start), self.channels), np.float32)


def _av_reason(error: Exception) -> str:
    """FFmpeg's words without the error number and the file name around them."""
    return str(getattr(error, "strerror", None) or error)


def open_ffmpeg(path: Path, resources: ExitStack) -> FfmpegDecoder | None:
    """Opens through the ffmpeg program; None if PyAV is there to do the same, or no program is on the PATH.

    Raises:
        AudioError: not a container that ffmpeg knows, or one without audio.
    """
    program = None if find_spec("av") else shutil.which("ffmpeg")
    if program is None:
        return None
    # not a pipe: that could fill up and block the program
    complaints = resources.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    process = _start_ffmpeg(program, path, complaints, resources)
    assert process.stdout is not None
    header = read_wav_header(HeaderReader(process.stdout))  # type: ignore[arg-type]  # IO[bytes] is a BinaryIO
    if header is None:
        raise AudioError(_ffmpeg_reason(complaints))
    return FfmpegDecoder(process, header, complaints)


def _start_ffmpeg(
    program: str, path: Path, complaints: IO[bytes], resources: ExitStack
) -> subprocess.Popen[bytes]:
    command = [program, "-nostdin", "-v", "error", "-protocol_whitelist", "file,pipe", "-i", f"file:{path}"]
    command += ["-map", "0:a:0", "-af", "aresample=async=1:first_pts=0"]
    command += ["-c:a", "pcm_f32le", "-f", "wav", "pipe:1"]
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints
        )
    except OSError as error:
        raise AudioError(f"ffmpeg does not start: {error.strerror}") from error
    resources.enter_context(process)  # closes the pipe and waits
    resources.callback(process.kill)
    return process


class FfmpegDecoder(WavDecoder):
    """Reads the WAV that an ffmpeg process writes to a pipe."""

    def __init__(self, process: subprocess.Popen[bytes], header: WavHeader, complaints: IO[bytes]) -> None:
        assert process.stdout is not None
        super().__init__(process.stdout, header)  # type: ignore[arg-type]
        self._process = process
        self._complaints = complaints

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """As Decoder.blocks; what ffmpeg complained about is noted."""
        yield from super().blocks()
        if self._process.wait() != 0:
            raise AudioError(_ffmpeg_reason(self._complaints))
        if self._complaints.seek(0, os.SEEK_END):
            self.notes.append(f"damaged: {_ffmpeg_reason(self._complaints)}")


def _ffmpeg_reason(complaints: IO[bytes]) -> str:
    """The last line that ffmpeg wrote, without its prefix, or what it means."""
    complaints.seek(max(0, complaints.seek(0, os.SEEK_END) - 4096))
    lines = complaints.read().decode("utf-8", "replace").strip().splitlines() or ["ffmpeg gave no audio"]
    if any("matches no streams" in line for line in lines):
        return NO_AUDIO_TRACK
    line = lines[-1].split("] ")[-1]
    return line.rpartition(": ")[2][:REASON_CHARS] if line.startswith("file:") else line[:REASON_CHARS]
