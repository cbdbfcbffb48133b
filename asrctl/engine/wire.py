"""Frames between the parent and a worker process: a JSON header and, for audio, raw samples.

A frame is two little-endian u32 (header bytes, payload bytes), the header, the payload. One copy into the
pipe and one out of it: 1 MB for 16 s of audio, under a millisecond against the second a decode takes.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict
from typing import Any, BinaryIO

from asrctl.transcript import Hypothesis, Segment, Word

_PREFIX = struct.Struct("<II")
_MAX_FRAME_BYTES = 64 * 1024 * 1024


class WireClosed(Exception):
    """The other side is gone, or sent something that is no frame."""


def write_frame(stream: BinaryIO, header: dict[str, Any], payload: bytes | memoryview = b"") -> None:
    """Write one frame and flush it.

    Raises:
        WireClosed: The reader is gone.
    """
    encoded = json.dumps(header).encode()
    try:
        _write_all(stream, _PREFIX.pack(len(encoded), len(payload)) + encoded)
        _write_all(stream, payload)
        stream.flush()
    except (OSError, ValueError) as error:
        raise WireClosed(str(error)) from None


def read_frame(stream: BinaryIO) -> tuple[dict[str, Any], bytearray]:
    """Read one frame, blocking.

    Raises:
        WireClosed: The writer is gone, or its bytes are no frame.
    """
    header_bytes, payload_bytes = _PREFIX.unpack(_read_exactly(stream, _PREFIX.size))
    if header_bytes + payload_bytes > _MAX_FRAME_BYTES:
        raise WireClosed(f"a frame of {header_bytes + payload_bytes} bytes")
    try:
        header = json.loads(_read_exactly(stream, header_bytes))
    except ValueError:
        raise WireClosed("a header that is not JSON") from None
    if not isinstance(header, dict):
        raise WireClosed("a header that is not a JSON object")
    return header, _read_exactly(stream, payload_bytes)


def _write_all(stream: BinaryIO, data: bytes | memoryview) -> None:
    """Write all of it: an unbuffered pipe may take less, when a signal comes in between."""
    rest = memoryview(data).cast("B")
    while rest:
        rest = rest[stream.write(rest) :]


def _read_exactly(stream: BinaryIO, count: int) -> bytearray:
    buffer = bytearray(count)
    view = memoryview(buffer)
    filled = 0
    while filled < count:
        try:
            got = stream.readinto(view[filled:])  # type: ignore[attr-defined]
        except (OSError, ValueError) as error:
            raise WireClosed(str(error)) from None
        if not got:
            raise WireClosed("end of stream")
        filled += got
    return buffer


def hypothesis_to_json(hypothesis: Hypothesis) -> dict[str, Any]:
    """A hypothesis as plain JSON values."""
    return asdict(hypothesis)


def hypothesis_from_json(value: dict[str, Any]) -> Hypothesis:
    """The inverse of `hypothesis_to_json`."""
    segments = tuple(
        Segment(**{**segment, "words": tuple(Word(**word) for word in segment["words"])})
        for segment in value["segments"]
    )
    return Hypothesis(segments, value["language"], value["inference_s"], value["provider"])
