"""Frames between the parent and a worker process: a JSON header and, for audio, raw samples.

A frame is two little-endian u32 (header bytes, payload bytes), the header, the payload.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from asyncio import StreamReader

_PREFIX = struct.Struct("<II")
_MAX_FRAME_BYTES = 64 * 1024 * 1024


class WireClosed(Exception):
    """The other side is gone, or sent something that is no frame."""


def pack(header: dict[str, Any], payload_bytes: int = 0) -> bytes:
    """The beginning of a frame: all of it but the payload, of which this many bytes follow."""
    encoded = json.dumps(header).encode()
    return _PREFIX.pack(len(encoded), payload_bytes) + encoded


def write_frame(stream: BinaryIO, header: dict[str, Any], payload: bytes | memoryview = b"") -> None:
    """Write one frame and flush it, blocking.

    Raises:
        WireClosed: The reader is gone.
    """
    payload = memoryview(payload).cast("B")
    try:
        _write_all(stream, pack(header, len(payload)))
        _write_all(stream, payload)
        stream.flush()
    except (OSError, ValueError) as error:
        raise WireClosed(str(error)) from None


def read_frame(stream: BinaryIO) -> tuple[dict[str, Any], bytearray]:
    """Read one frame, blocking.

    Raises:
        WireClosed: The writer is gone, or its bytes are no frame.
    """
    header_bytes, payload_bytes = _lengths(_read_exactly(stream, _PREFIX.size))
    return _header(_read_exactly(stream, header_bytes)), _read_exactly(stream, payload_bytes)


async def receive_frame(reader: StreamReader) -> tuple[dict[str, Any], bytes]:
    """Read one frame from an asyncio stream.

    Raises:
        WireClosed: The writer is gone, or its bytes are no frame.
    """
    try:
        header_bytes, payload_bytes = _lengths(await reader.readexactly(_PREFIX.size))
        header = _header(await reader.readexactly(header_bytes))
        return header, await reader.readexactly(payload_bytes)
    except (EOFError, OSError) as error:  # a worker shares this module, and does without asyncio
        raise WireClosed(str(error)) from None


def _lengths(prefix: bytes | bytearray) -> tuple[int, int]:
    header_bytes, payload_bytes = _PREFIX.unpack(prefix)
    if header_bytes + payload_bytes > _MAX_FRAME_BYTES:
        raise WireClosed(f"a frame of {header_bytes + payload_bytes} bytes")
    return header_bytes, payload_bytes


def _header(encoded: bytes | bytearray) -> dict[str, Any]:
    try:
        header = json.loads(encoded)
    except ValueError:
        raise WireClosed("a header that is not JSON") from None
    if not isinstance(header, dict):
        raise WireClosed("a header that is not a JSON object")
    return header


def _write_all(stream: BinaryIO, data: bytes | memoryview) -> None:
    """Write all of it: an unbuffered pipe may take less, when a signal comes in between."""
    rest = memoryview(data)
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
