"""Wyoming's events are read as they were written, however the bytes are cut; what is too long is refused."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.protocol.wyoming.framing import (
    MAX_DATA_BYTES,
    MAX_HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    EventReader,
    FramingError,
    WyomingEvent,
    encode,
)

TEXTS = st.text(max_size=5)
VALUES = st.none() | st.booleans() | st.integers() | TEXTS | st.lists(TEXTS, max_size=2)
EVENTS = st.builds(WyomingEvent, TEXTS, st.dictionaries(TEXTS, VALUES, max_size=3), st.binary(max_size=50))


def read(data: bytes) -> list[WyomingEvent]:
    """All events in a piece of a stream."""
    reader = EventReader()
    reader.feed(data)
    return list(iter(reader.next, None))


@given(st.lists(EVENTS, max_size=5), st.data())
def test_events_survive_any_cuts(events: list[WyomingEvent], data: st.DataObject) -> None:
    """What was written is read, whatever the pieces in which it comes."""
    stream = b"".join(encode(event.type, event.data, event.payload) for event in events)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader, found = EventReader(), list[WyomingEvent]()
    for start, end in pairwise([0, *cuts, len(stream)]):
        reader.feed(stream[start:end])
        found += iter(reader.next, None)
    assert found == events


@given(st.binary(max_size=400))
def test_any_bytes_are_events_or_an_error(data: bytes) -> None:
    """Nothing else is ever raised."""
    try:
        read(data)
    except FramingError:
        return


def test_data_comes_inline_or_behind_the_header_or_both() -> None:
    """What comes behind the header wins over what is in it."""
    header = b'{"type": "x", "data": {"a": 1, "b": 1}, "data_length": 8}\n'
    assert read(header + b'{"b": 2}') == [WyomingEvent("x", {"a": 1, "b": 2})]
    assert read(b'{"type": "x", "data": {"a": 1}, "version": "1.10.2"}\n') == [WyomingEvent("x", {"a": 1})]


def test_lengths_of_zero_and_null_announce_nothing() -> None:
    """They are as good as missing."""
    line = b'{"type": "x", "data": null, "data_length": 0, "payload_length": null}\n'
    assert read(line + b'{"type": "y", "payload_length": 0}\n') == [WyomingEvent("x"), WyomingEvent("y")]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"no json",
        b"[]",
        b'"describe"',
        b"{}",
        b'{"type": 1}',
        b'{"type": "x", "data": []}',
        b'{"type": "x", "data_length": -1}',
        b'{"type": "x", "data_length": true}',
        b'{"type": "x", "data_length": "1"}',
        b'{"type": "x", "data_length": 1.0}',
        b'{"type": "x", "data_length": %d}' % (MAX_DATA_BYTES + 1),
        b'{"type": "x", "payload_length": %d}' % (MAX_PAYLOAD_BYTES + 1),
        b'{"type": "\xff"}',
        b"[" * 50_000,
        b'{"type": "x", "data_length": 2}\n[]',
        b'{"type": "x", "data_length": 2}\n{x',
        b'{"type": "x", "n": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_event_ends_the_stream(line: bytes) -> None:
    """There is no telling where the next event begins."""
    with pytest.raises(FramingError):
        read(line + b"\n")


def test_headers_have_a_longest_length() -> None:
    """Whether the end of the line has come or not."""
    fitting = json.dumps({"type": "x" * (MAX_HEADER_BYTES - 12)}).encode()
    assert len(fitting) == MAX_HEADER_BYTES and len(read(fitting + b"\n")) == 1
    for line in (b" " + fitting + b"\n", b" " + fitting):
        with pytest.raises(FramingError, match="at most"):
            read(line)


def test_the_longest_payload_is_read_whole() -> None:
    """One byte more was refused above."""
    [event] = read(encode("audio-chunk", None, bytes(MAX_PAYLOAD_BYTES)))
    assert len(event.payload) == MAX_PAYLOAD_BYTES
