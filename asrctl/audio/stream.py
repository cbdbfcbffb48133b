"""What a library in the decoding process gives: an opened file, and pieces of audio as plain bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class DecodeFailed(Exception):
    """Nothing more can be read; the message is a reason without the file's name."""


@dataclass(frozen=True)
class Request:
    """What the decoding process is asked for; it travels as JSON.

    Attributes:
        path: A regular file.
        library: "pyav" or "libsndfile".
        parts: Ranges of bytes that are files by themselves, with the length that each states in seconds,
            where that was found already.
        track: Which audio track, from 1; None for the default.
    """

    path: str
    library: str
    parts: list[tuple[int, int, float | None]]
    track: int | None = None


class Pieces(NamedTuple):
    """Audio as wire.py lays it out."""

    rate_hz: int
    channels: int
    piece_frames: int
    data: bytes

    @property
    def n_frames(self) -> int:
        return len(self.data) // (4 * self.channels)


class OpenStream(Protocol):
    """One part, opened; see `Decoder` for the attributes."""

    expected_s: float | None
    promised_s: float | None
    tolerance: float
    n_tracks: int
    track: int
    notes: list[str]

    def pieces(self) -> Iterator[Pieces]:
        """Audio in order.

        Raises:
            DecodeFailed: nothing more can be read; what was yielded before is good.
        """
        ...
