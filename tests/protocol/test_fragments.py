"""Long frames cut into fragments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import SERVER, Protocol, State

from asrctl.protocol.fragments import FRAGMENT_BYTES, Fragments

_MOST_BYTES = 5 * FRAGMENT_BYTES
_REQUEST = b"GET / HTTP/1.1\r\n\r\n"


def _sent(*frames: Frame) -> bytes:
    return _REQUEST + b"".join(frame.serialize(mask=True) for frame in frames)


def _cut(data: bytes, piece_bytes: int, most_bytes: int = _MOST_BYTES) -> bytes:
    fragments = Fragments(len(_REQUEST))
    fragments.most_bytes = most_bytes
    return b"".join(fragments.cut(data[at : at + piece_bytes]) for at in range(0, len(data), piece_bytes))


def _received(data: bytes) -> list[Frame]:
    server = Protocol(SERVER, state=State.OPEN)
    server.receive_data(data.removeprefix(_REQUEST))
    assert server.parser_exc is None
    return [event for event in server.events_received() if isinstance(event, Frame)]


_LENGTHS = st.sampled_from(
    (0, 1, 125, 126, FRAGMENT_BYTES, FRAGMENT_BYTES + 1, 2 * FRAGMENT_BYTES + 200, 1 << 16, _MOST_BYTES + 1)
)


@given(lengths=st.lists(_LENGTHS, max_size=4), piece_bytes=st.sampled_from((7, 1000, 1 << 20)))
def test_messages_stay_what_they_are(lengths: list[int], piece_bytes: int) -> None:
    """Whatever the length of frames and of pieces, the same messages are heard, with pings between."""
    said = [bytes(number % 251 for number in range(length)) for length in lengths]
    frames = [each for data in said for each in (Frame(Opcode.BINARY, data), Frame(Opcode.PING, b"x"))]
    heard: list[bytes] = []
    for frame in _received(_cut(_sent(*frames), piece_bytes)):
        if frame.opcode is Opcode.BINARY:
            heard.append(bytes(frame.data))
        elif frame.opcode is Opcode.CONT:
            heard[-1] += bytes(frame.data)
    assert heard == said


def test_no_fragment_is_longer_than_the_bound() -> None:
    """The last one alone ends the message, and it was the first that said what it is."""
    frames = _received(_cut(_sent(Frame(Opcode.TEXT, bytes(3 * FRAGMENT_BYTES))), 4096))
    assert [(frame.opcode, frame.fin, len(frame.data)) for frame in frames] == [
        (Opcode.TEXT, False, FRAGMENT_BYTES),
        (Opcode.CONT, False, FRAGMENT_BYTES),
        (Opcode.CONT, True, FRAGMENT_BYTES),
    ]


def test_half_a_header() -> None:
    """It is kept until the rest comes, and known of."""
    fragments, data = Fragments(len(_REQUEST)), _sent(Frame(Opcode.TEXT, bytes(200)))
    assert fragments.cut(data[: len(_REQUEST) + 3]) == _REQUEST and fragments.unread_bytes == 3
    assert fragments.cut(data[len(_REQUEST) + 3 :]) == data[len(_REQUEST) :] and not fragments.unread_bytes


def test_fragments_of_the_client_are_cut_too() -> None:
    """A long fragment that is not the last one of its message does not end it when it is cut."""
    long = bytes(FRAGMENT_BYTES + 8)
    frames = _received(_cut(_sent(Frame(Opcode.TEXT, long, fin=False), Frame(Opcode.CONT, long)), 4096))
    assert [frame.fin for frame in frames] == [False, False, False, True]


@pytest.mark.parametrize("most_bytes", [0, FRAGMENT_BYTES + 1])
def test_what_is_too_long_is_left_as_it_is(most_bytes: int) -> None:
    """The library refuses a length that is not allowed, before the frame comes."""
    data = _sent(Frame(Opcode.BINARY, bytes(FRAGMENT_BYTES + 2)))
    assert _cut(data, 100, most_bytes) == data


def test_frames_without_a_mask_are_left_as_they_are() -> None:
    """No client may send them: the library refuses them."""
    data = _REQUEST + Frame(Opcode.BINARY, bytes(FRAGMENT_BYTES + 2)).serialize(mask=False)
    assert _cut(data, 100) == data
