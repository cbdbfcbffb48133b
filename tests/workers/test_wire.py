"""Frames between parent and worker: what goes in comes out, and nothing else ever does."""

from __future__ import annotations

import io
import os
import struct
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.workers.wire import WireClosed, read_frame, write_frame

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
HEADERS = st.dictionaries(st.text(), JSON, max_size=5)


class Dribble(io.RawIOBase):
    """A pipe that gives a few bytes at a time, as pipes may."""

    def __init__(self, data: bytes, step_bytes: int) -> None:
        self._data = io.BytesIO(data)
        self._step_bytes = step_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._data.read(min(self._step_bytes, len(buffer)))
        buffer[: len(piece)] = piece
        return len(piece)


def frame(header: dict[str, Any], payload: bytes = b"") -> bytes:
    stream = io.BytesIO()
    write_frame(stream, header, payload)
    return stream.getvalue()


@given(st.lists(st.tuples(HEADERS, st.binary(max_size=200)), max_size=4), st.integers(1, 50))
def test_round_trip(frames: list[tuple[dict[str, Any], bytes]], step_bytes: int) -> None:
    """Frames written one after the other are read one after the other, however the pipe cuts them."""
    pipe: Any = Dribble(b"".join(frame(*each) for each in frames), step_bytes)
    assert [read_frame(pipe) for _ in frames] == frames
    with pytest.raises(WireClosed, match="end of stream"):
        read_frame(pipe)


@given(HEADERS, st.binary(max_size=50), st.data())
def test_truncated_frame(header: dict[str, Any], payload: bytes, data: st.DataObject) -> None:
    """A frame that breaks off anywhere is the end of the wire, never a shorter frame."""
    whole = frame(header, payload)
    with pytest.raises(WireClosed, match="end of stream"):
        read_frame(io.BytesIO(whole[: data.draw(st.integers(0, len(whole) - 1))]))


@given(st.binary(max_size=100))
def test_random_bytes(noise: bytes) -> None:
    """What is no frame is refused, or is by luck a frame; it never does anything else."""
    try:
        header, _ = read_frame(io.BytesIO(noise))
    except WireClosed:
        return
    assert isinstance(header, dict)


@pytest.mark.parametrize("lengths", [(2**32 - 1, 0), (0, 2**32 - 1), (2**32 - 1, 2**32 - 1), (2**25, 2**26)])
def test_hostile_lengths(lengths: tuple[int, int]) -> None:
    """Lengths no frame of ours has are refused before any memory is set aside for them."""
    with pytest.raises(WireClosed, match="a frame of"):
        read_frame(io.BytesIO(struct.pack("<II", *lengths)))


@pytest.mark.parametrize("header", [b"", b"not json", b"\xff\xfe", b"{", b"[1, 2]", b"7", b"null", b'"type"'])
def test_header_that_is_no_object(header: bytes) -> None:
    """A header must be a JSON object."""
    with pytest.raises(WireClosed, match="a header that is not"):
        read_frame(io.BytesIO(struct.pack("<II", len(header), 0) + header))


def test_writing_to_a_closed_stream() -> None:
    """A stream that was closed here is a closed wire."""
    stream = io.BytesIO()
    stream.close()
    with pytest.raises(WireClosed):
        write_frame(stream, {})
    with pytest.raises(WireClosed):
        read_frame(stream)


def test_writing_to_a_reader_that_is_gone() -> None:
    """A pipe without a reader is a closed wire, not a BrokenPipeError."""
    reading, writing = os.pipe()
    os.close(reading)
    stream: BinaryIO = os.fdopen(writing, "wb", buffering=0)  # type: ignore[assignment]
    with stream, pytest.raises(WireClosed):
        write_frame(stream, {"type": "decode"}, b"samples")


class Reluctant(io.RawIOBase):
    """Takes a few bytes of each write, as an unbuffered pipe may when it is full or a signal comes."""

    def __init__(self) -> None:
        self.taken = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(memoryview(data).cast("B")[:7])
        self.taken += piece
        return len(piece)


def test_short_writes() -> None:
    """A raw stream that takes only part of what it is given is given the rest."""
    stream: Any = Reluctant()
    payload = bytes(range(100))
    write_frame(stream, {"type": "decode"}, memoryview(payload))
    assert read_frame(io.BytesIO(stream.taken)) == ({"type": "decode"}, payload)
