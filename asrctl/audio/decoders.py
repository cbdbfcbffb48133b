"""Which library reads which file, behind one interface.

The rule, in order, decided by what the file holds and never by its name:
    text                   refused (playlists too: they can point anywhere)
    WAV with PCM or float  our own reader: it knows what the header promised
    MP3, FLAC, Ogg         PyAV if installed, since it reads on behind damage; otherwise libsndfile
    all else               libsndfile, which looks at the header; what it refuses goes to PyAV, or to ffmpeg
"""

from __future__ import annotations

import io
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from asrctl.audio.media import NO_AUDIO_TRACK, open_ffmpeg, open_pyav
from asrctl.audio.pcm import batched, block_frames
from asrctl.audio.wav import open_wav_file
from asrctl.errors import AudioError

HEAD_BYTES = 4096
SLICES_A_BLOCK = 4  # libsndfile loses the whole slice in which it finds damage
OGG_TAIL_BYTES = 1 << 17  # a page is at most 65 kB

INSTALL_HINT = "install PyAV (pip install 'asrctl[media]') or ffmpeg"


class Decoder(Protocol):
    """One open stream of audio.

    Attributes:
        rate_hz: Frames per second.
        channels: Samples per frame.
        promised_frames: Length that the header states, None if it does not.
        promise_tolerance: Share of it that may be missing without anything being lost.
        expected_s: Length to show progress against, None if unknown; it may be an estimate.
        notes: Things the user should know; complete when `blocks` has ended.
    """

    rate_hz: int
    channels: int
    promised_frames: int | None
    promise_tolerance: float
    notes: list[str]

    @property
    def expected_s(self) -> float | None: ...

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Frames in order, shape (frames, channels), float32, at most about a second each.

        Raises:
            AudioError: nothing more can be read; what was yielded before is good.
        """
        ...


Opener = Callable[[Path, ExitStack], Decoder | None]
"""Opens a path and registers what to close; None if the tool is not installed, AudioError if it fails."""


def open_decoder(path: Path, resources: ExitStack) -> Decoder:
    """Finds something that can read this file.

    Args:
        path: A regular file.
        resources: Gets what has to be closed afterwards.

    Raises:
        AudioError: nothing here can read it; the message is a reason without the file's name.
        OSError: the file cannot be opened.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    refuse_no_audio(head)
    reason, tools_missing = "", True
    for opener in _openers(head):
        with ExitStack() as attempt:
            try:
                decoder = opener(path, attempt)
            except AudioError as error:
                reason = str(error) if str(error) == NO_AUDIO_TRACK else reason or str(error)
                tools_missing &= opener is open_sndfile
                continue
            if decoder is not None:
                if head.startswith(b"OggS") and not _has_ogg_end(path):
                    decoder.notes.append("truncated: the Ogg stream has no end mark")
                resources.push(attempt.pop_all())
                return decoder
    if tools_missing:
        raise AudioError(f"not audio that is read without help ({reason}); if it is audio, {INSTALL_HINT}")
    raise AudioError(reason if reason == NO_AUDIO_TRACK else f"damaged, or not audio ({reason})")


def _openers(head: bytes) -> list[Opener]:
    if is_compressed(head):
        return [open_pyav, open_sndfile, open_ffmpeg]
    return [open_wav, open_sndfile, open_pyav, open_ffmpeg]


def refuse_no_audio(head: bytes) -> None:
    """Raises AudioError if the first HEAD_BYTES of an input already show that it is not audio."""
    if not head:
        raise AudioError("it is empty")
    if is_text(head):
        raise AudioError("it is text, not audio")


def is_text(head: bytes) -> bool:
    """True if the start of a file is readable text and nothing else."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # else a character that was cut in half
            return False
        text = head[: error.start].decode("utf-8")
    return bool(text) and all(character.isprintable() or character in "\t\r\n\f\ufeff" for character in text)


def is_compressed(head: bytes) -> bool:
    """True for FLAC, Ogg, an ID3 tag, or an MPEG audio frame of layer I to III (layer 0 is AAC)."""
    if head.startswith((b"fLaC", b"OggS", b"ID3")):
        return True
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06 != 0


def open_wav(path: Path, resources: ExitStack) -> Decoder | None:
    """Our own reader, for WAV with plain samples."""
    file = resources.enter_context(path.open("rb"))
    return open_wav_file(file)


def open_sndfile(path: Path, resources: ExitStack) -> Decoder:
    """libsndfile: what its header check recognises.

    Raises:
        AudioError: a format or codec that it does not know, or a damaged header.
    """
    import soundfile

    file = resources.enter_context(_QuietFile(path))
    try:
        with _quiet_stderr():
            sound = resources.enter_context(soundfile.SoundFile(file))
    except soundfile.SoundFileError as error:
        raise AudioError(_reason(error)) from error
    return SndfileDecoder(sound, file)


class _QuietFile(io.FileIO):
    """A file for libsndfile's callbacks, where an exception would be printed: it is kept for later."""

    error: OSError | None = None

    def readinto(self, buffer: Any) -> int | None:
        try:
            return super().readinto(buffer)
        except OSError as error:
            self.error = error
            return 0


class SndfileDecoder:
    """Reads through libsndfile."""

    def __init__(self, sound: Any, file: _QuietFile) -> None:
        self._sound = sound
        self._file = file
        self.rate_hz: int = sound.samplerate
        self.channels: int = sound.channels
        self.promised_frames: int | None = _promised_frames(sound)
        self.promise_tolerance = 0.02 if sound.format == "MP3" else 0.0
        self.notes: list[str] = []

    @property
    def expected_s(self) -> float | None:
        return self.promised_frames and self.promised_frames / max(self.rate_hz, 1)

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """As Decoder.blocks."""
        return batched(self._slices(), block_frames(self.rate_hz, self.channels))

    def _slices(self) -> Iterator[NDArray[np.float32]]:
        import soundfile

        frames = max(1, block_frames(self.rate_hz, self.channels) // SLICES_A_BLOCK)
        quiet: Callable[[], AbstractContextManager[None]] = (
            _quiet_stderr if self._sound.format == "MP3" else nullcontext
        )
        while True:
            try:
                with quiet():
                    block = self._sound.read(frames, dtype="float32", always_2d=True)
            except soundfile.SoundFileError as error:
                raise AudioError(_reason(error)) from error
            if self._file.error:
                raise AudioError(str(self._file.error.strerror)) from self._file.error
            if not len(block):
                break
            yield block


def _reason(error: Exception) -> str:
    """libsndfile's reason without its prefix, which quotes the file object."""
    text = getattr(error, "error_string", str(error)).strip()
    return re.sub(r"^Error\s*:\s*", "", text).rstrip(".")


def _promised_frames(sound: Any) -> int | None:
    """The length that the header stated; libsndfile replaces it by the file's and tells only in its log."""
    frames: int = sound.frames
    if frames >= 1 << 62:  # its way to say unknown
        return None
    sizes = [(int(a), int(b)) for a, b in re.findall(r": (\d+) \(should be (\d+)\)", sound.extra_info)]
    ratios = [promised / found for promised, found in sizes if 0 < found < promised < 0x7FFFEF00]
    return round(frames * max(ratios, default=1.0))


def _has_ogg_end(path: Path) -> bool:
    """True if the last page is whole and carries the end-of-stream flag (RFC 3533, section 6)."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - OGG_TAIL_BYTES))
        tail = file.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < 27 or len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]]):
        return False
    return bool(page[5] & 4)


_stderr_lock = threading.Lock()


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Sends the process's stderr to nowhere for one native call: libsndfile's mpg123 prints complaints."""
    with _stderr_lock:
        try:
            saved = os.dup(2)
        except OSError:  # there is no stderr to protect
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(nowhere)
