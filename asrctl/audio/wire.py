"""Messages from a decoding process to its parent: a header of fixed size, then a payload.

The payload of BLOCK is float32 in the machine's byte order, in pieces of `piece_frames` frames each, and
within a piece channel after channel. One frame a piece is therefore interleaved audio; a codec's planar
frames go as they are, so that this side needs no numpy.
"""

from __future__ import annotations

from struct import Struct
from typing import BinaryIO, NamedTuple

OPENED = b"O"  # JSON, once: what the container says
BLOCK = b"B"  # audio
FAILED = b"F"  # JSON, the last message: why nothing more can be read
END = b"E"  # JSON, the last message: the stream was read to its end

MAX_PAYLOAD_BYTES = 8 << 20  # the parent does not trust a process that parses foreign bytes
SAMPLE_BYTES = 4

_HEADER = Struct("<cIIII")


class Message(NamedTuple):
    """One message; the numbers are 0 but for BLOCK."""

    kind: bytes
    payload: bytes = b""
    rate_hz: int = 0
    channels: int = 0
    piece_frames: int = 0


class WireError(Exception):
    """The other side ended within a message, or sent what no message can be."""


def write_message(stream: BinaryIO, message: Message) -> None:
    """Writes a message whole; `stream` is buffered or blocking."""
    size = len(message.payload)
    stream.write(_HEADER.pack(message.kind, message.rate_hz, message.channels, message.piece_frames, size))
    stream.write(message.payload)


def read_message(stream: BinaryIO) -> Message:
    """The next message from a buffered stream.

    Raises:
        WireError: no whole message is left, or it is too long, or a block that is no whole pieces.
    """
    header = stream.read(_HEADER.size)
    if len(header) < _HEADER.size:
        raise WireError("ended")
    kind, rate_hz, channels, piece_frames, size = _HEADER.unpack(header)
    if kind not in (OPENED, BLOCK, FAILED, END) or size > MAX_PAYLOAD_BYTES:
        raise WireError("no message")
    if kind == BLOCK and (
        not (rate_hz and channels and piece_frames) or size % (channels * piece_frames * SAMPLE_BYTES)
    ):
        raise WireError("no whole pieces")
    payload = stream.read(size)
    if len(payload) < size:
        raise WireError("ended")
    return Message(kind, payload, rate_hz, channels, piece_frames)
