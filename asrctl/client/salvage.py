"""Audio that no server took, saved where its owner finds it."""

from __future__ import annotations

import os
import tempfile
import wave
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import IO

from asrctl.client.replay import Piece, ReplayBuffer
from asrctl.transcript import SAMPLE_RATE_HZ

_SILENCE = bytes(2 * SAMPLE_RATE_HZ)


def what_is_left(buffer: ReplayBuffer, directory: Path | None) -> str:
    """Save what the buffer holds; returns what became of it, for people: empty if it holds nothing."""
    if buffer.start == buffer.end:
        return ""
    audio = f"the audio from {buffer.start / SAMPLE_RATE_HZ:.1f} to {buffer.end / SAMPLE_RATE_HZ:.1f} s"
    try:
        path = save(buffer.pieces(), directory, datetime.now())
    except OSError as error:
        return f"{audio} is lost: it could not be saved: {error.strerror or error}"
    return f"{audio} is not transcribed; it is kept in {path}"


def save(pieces: Iterable[Piece], directory: Path | None, now: datetime) -> Path:
    """Write 16-bit mono audio as a WAV of its own; what is lost is silence in it, so that times stay right.

    Args:
        pieces: Consecutive.
        directory: Where to; if no file can be made there, or it is None, the system's temporary directory.
        now: The time that the file is called after.

    Raises:
        OSError: It cannot be written.
    """
    path, file = _new_file(directory, now)
    with file, wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(SAMPLE_RATE_HZ)
        for piece in pieces:
            if piece.data is not None:
                wav.writeframesraw(piece.data)
                continue
            for at in range(0, piece.frames, SAMPLE_RATE_HZ):
                wav.writeframesraw(_SILENCE[: 2 * min(SAMPLE_RATE_HZ, piece.frames - at)])
    return path


def _new_file(directory: Path | None, now: datetime) -> tuple[Path, IO[bytes]]:
    temporary = Path(tempfile.gettempdir())
    try:
        return _created(directory or temporary, now)
    except OSError:
        if directory is None:
            raise
        return _created(temporary, now)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)  # speech is nobody else's business


def _created(directory: Path, now: datetime) -> tuple[Path, IO[bytes]]:
    """A file that was not there before."""
    name, copy = f"asrctl-unsent-{now:%Y%m%d-%H%M%S}", 1
    while True:
        path = directory / (f"{name}.wav" if copy == 1 else f"{name}-{copy}.wav")
        try:
            return path, open(path, "xb", opener=_private)
        except FileExistsError:
            copy += 1
