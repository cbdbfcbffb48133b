"""libsndfile through soundfile, in the decoding process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from asrctl.audio.slices import FileSlice
from asrctl.audio.stream import DecodeFailed, Pieces

SLICES_A_SECOND = 8  # libsndfile loses the whole slice in which it finds damage


def open_sndfile(path: str, start: int, end: int, resources: ExitStack) -> SndfileStream:
    """Opens a range of a file with libsndfile.

    Raises:
        DecodeFailed: a format or codec that it does not know, or a damaged header.
    """
    import soundfile

    file = resources.enter_context(FileSlice(path, start, end))
    try:
        return SndfileStream(resources.enter_context(soundfile.SoundFile(file)), file)
    except (soundfile.SoundFileError, OSError) as error:
        raise DecodeFailed(_reason(error)) from error


class SndfileStream:
    """One file, or one part of a joined file."""

    def __init__(self, sound: Any, file: FileSlice) -> None:
        self._sound = sound
        self._file = file
        self.notes: list[str] = []
        self.n_tracks = self.track = 1
        self.promised_s = _promised_s(sound)
        self.expected_s = self.promised_s
        if sound.format == "MP3":  # without a Xing header it is a guess
            self.promised_s = None
        self.tolerance = 0.02 if sound.format == "MP3" else 0.0

    def pieces(self) -> Iterator[Pieces]:
        """As OpenStream.pieces."""
        import soundfile

        rate_hz, channels = self._sound.samplerate, self._sound.channels
        if not (rate_hz > 0 and channels > 0):
            return
        frames = max(1, min(rate_hz // SLICES_A_SECOND, (1 << 16) // channels))
        buffer = bytearray(frames * channels * 4)
        while True:
            try:
                n_frames = self._sound.buffer_read_into(buffer, dtype="float32")
            except soundfile.SoundFileError as error:
                raise DecodeFailed(_reason(error)) from error
            if self._file.error:
                raise DecodeFailed(str(self._file.error.strerror)) from self._file.error
            if n_frames <= 0:
                break
            yield Pieces(rate_hz, channels, 1, bytes(buffer[: n_frames * channels * 4]))


def _reason(error: Exception) -> str:
    """libsndfile's reason without its prefix, which quotes the file object."""
    text = getattr(error, "error_string", str(error)).strip()
    return re.sub(r"^Error\s*:\s*", "", text).rstrip(".")


def _promised_s(sound: Any) -> float | None:
    """The length that the header stated; libsndfile replaces it by the file's and tells only in its log."""
    frames: int = sound.frames
    if frames >= 1 << 62 or sound.samplerate <= 0:  # its way to say unknown
        return None
    # Lengths of chunks only: "Bytes/sec : 16000 (should be 8027)" is a rate.
    found = re.findall(
        r"^ *(?:data|SSND|Data|RIFF|FORM)[^:/\n]*: (\d+) \(should be (\d+)\)", sound.extra_info, re.M
    )
    sizes = [(int(stated), int(real)) for stated, real in found]
    ratios = [stated / real for stated, real in sizes if 0 < real < stated < 0x7FFFEF00]
    return frames * max(ratios, default=1.0) / float(sound.samplerate)
