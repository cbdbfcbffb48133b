"""Events as bytes: a line of JSON, then as many bytes of JSON data and of payload as it announces.

{"type": "audio-chunk", "data_length": 61, "payload_length": 2048}\\n{"rate": 16000, …}<2048 bytes of PCM>
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from asrctl.protocol.strict_json import parsed

MAX_HEADER_BYTES = 64 * 1024
MAX_DATA_BYTES = 64 * 1024
MAX_PAYLOAD_BYTES = 1 << 20


class FramingError(Exception):
    """The bytes are no events, or events that are too long: the stream cannot be read any further."""


@dataclass(frozen=True, slots=True)
class WyomingEvent:
    """What one side tells the other."""

    type: str
    data: Mapping[str, Any] = field(default_factory=dict)
    payload: bytes = b""


def encode(kind: str, data: Mapping[str, Any] | None = None, payload: bytes = b"") -> bytes:
    """The bytes of an event."""
    body = json.dumps(data).encode() if data else b""
    header: dict[str, object] = {"type": kind}
    if body:
        header["data_length"] = len(body)
    if payload:
        header["payload_length"] = len(payload)
    return json.dumps(header).encode() + b"\n" + body + payload


@dataclass(frozen=True, slots=True)
class _Header:
    """A line that was read; what it announces is still to come."""

    kind: str
    data: Mapping[str, Any]
    data_bytes: int
    payload_bytes: int


class EventReader:
    """Makes events of the bytes of a stream, however they are cut."""

    def __init__(self, max_data_bytes: int = MAX_DATA_BYTES) -> None:
        """Begin with an empty stream; the data of an event may have so many bytes beside its header."""
        self._max_data_bytes = max_data_bytes
        self._buffer = bytearray()
        self._searched = 0
        self._header: _Header | None = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._buffer += data

    def next(self) -> WyomingEvent | None:
        """The next event; None until more bytes have come.

        Raises:
            FramingError: There will be none.
        """
        header = self._header = self._header or self._read_header()
        if header is None or len(self._buffer) < header.data_bytes + header.payload_bytes:
            return None
        body = self._take(header.data_bytes)
        data = {**header.data, **(_object(body) if body else {})}
        self._header = None
        return WyomingEvent(header.kind, data, self._take(header.payload_bytes))

    def _read_header(self) -> _Header | None:
        end = self._buffer.find(b"\n", self._searched)
        if max(end, len(self._buffer) if end < 0 else 0) > MAX_HEADER_BYTES:
            raise FramingError(f"a header has at most {MAX_HEADER_BYTES} bytes")
        if end < 0:
            self._searched = len(self._buffer)
            return None
        self._searched = 0
        line = _object(self._take(end + 1))
        kind, data = line.get("type"), line.get("data")
        if not isinstance(kind, str) or not isinstance(data, dict | None):
            raise FramingError("a header has a type, and its data is an object")
        return _Header(
            kind,
            data or {},
            _length(line, "data_length", self._max_data_bytes),
            _length(line, "payload_length", MAX_PAYLOAD_BYTES),
        )

    def _take(self, count: int) -> bytes:
        piece = bytes(self._buffer[:count])
        del self._buffer[:count]
        return piece


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = parsed(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise FramingError("an event is not a JSON object")
    return value


def _length(line: Mapping[str, Any], name: str, most: int) -> int:
    """A length that the header announces; 0 where there is none."""
    length = line.get(name)
    if length is None:
        return 0
    if not isinstance(length, int) or isinstance(length, bool) or not 0 <= length <= most:
        raise FramingError(f"{name} is a number from 0 to {most}")
    return length
