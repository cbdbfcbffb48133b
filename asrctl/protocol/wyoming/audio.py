"""The audio of `audio-chunk` events: its format, and whole numbers of any width as 16-bit samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asrctl.errors import UsageError

_RATES_HZ = range(8_000, 48_001)
_WIDTHS = range(2, 5)
_CHANNELS = range(1, 9)


@dataclass(frozen=True, slots=True)
class ChunkFormat:
    """What the bytes of a chunk are: `width` bytes a sample, signed, little-endian, channels interleaved."""

    rate_hz: int
    width: int
    channels: int


def format_of(data: Mapping[str, Any]) -> ChunkFormat:
    """The format that a chunk says it has.

    Raises:
        UsageError: It says none, or one that is not taken here.
    """
    return ChunkFormat(
        _within(data, "rate", _RATES_HZ),
        _within(data, "width", _WIDTHS),
        _within(data, "channels", _CHANNELS),
    )


def _within(data: Mapping[str, Any], name: str, allowed: range) -> int:
    value = data.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value not in allowed:
        raise UsageError(f"{name} is a number from {allowed.start} to {allowed.stop - 1}")
    return value


class Narrower:
    """Makes 16-bit samples of wider ones; a sample that is cut in two by chunks is put together."""

    def __init__(self, width: int) -> None:
        """`width` is the bytes of a sample."""
        self._width = width
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """The upper 16 bits of each sample that is complete."""
        if self._width == 2:
            return data
        data = self._rest + data
        whole = len(data) - len(data) % self._width
        self._rest = data[whole:]
        narrow = bytearray(2 * whole // self._width)
        narrow[0::2] = data[self._width - 2 : whole : self._width]
        narrow[1::2] = data[self._width - 1 : whole : self._width]
        return bytes(narrow)
