"""Events whose audio is decoded as it comes."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.protocol.openai.realtime import client_event
from asrctl.protocol.openai.realtime.client_event import LongEvent, LongText

_LONG_BYTES = 64


@pytest.fixture(autouse=True, scope="module")
def short_is_long() -> Iterator[None]:
    """Strings are long from 64 bytes on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client_event, "LONG_BYTES", _LONG_BYTES)
        yield


def _taken(text: str | bytes, piece_bytes: int = 7) -> LongText:
    data, event = text if isinstance(text, bytes) else text.encode(), LongEvent()
    for at in range(0, len(data), piece_bytes):
        event.push(data[at : at + piece_bytes])
    assert event.came_bytes == len(data)
    assert 0 <= event.held_bytes <= len(data)
    return event.end()


def _escaped(text: str, letters: str) -> str:
    """As encoders for the web write base64."""
    for letter in letters:
        text = text.replace(letter, "\\/" if letter == "/" else f"\\u{ord(letter):04x}")
    return text


@given(
    audio=st.binary(min_size=48, max_size=300),
    others=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    letters=st.sampled_from(("", "/", "+", "=", "/+=")),
    piece_bytes=st.integers(1, 200),
)
def test_audio_is_what_was_said(audio: bytes, others: dict[str, str], letters: str, piece_bytes: int) -> None:
    """However it comes in pieces, whatever stands around it, and however base64 is escaped."""
    others = {name: value for name, value in others.items() if name not in ("audio", "type")}
    said = base64.b64encode(audio).decode()
    event = json.dumps({**others, "audio": "?", "type": "x"}).replace('"?"', f'"{_escaped(said, letters)}"')
    text = _taken(event, piece_bytes)
    assert json.loads(text) == {**others, "audio": "", "type": "x"}
    assert text.audio is not None and b"".join(text.audio) == audio


def test_short_strings_stay() -> None:
    """An event without a long string is the text that it was."""
    event = json.dumps({"type": "session.update", "session": {"prompt": 'a "name" \\ é'}})
    text = _taken(event)
    assert text == event and text.audio == ()


@pytest.mark.parametrize(
    "wrong",
    [
        "%" * 100,
        "A" * 101,
        "A" * 62 + "==" + "A" * 64,
        "AAAA" * 40 + "A==A",
        "\\ud800" * 30,
        "\\n" * 50,
        "A" * 70 + "\\/%" + "A" * 100,
    ],
)
def test_long_strings_that_are_no_audio(wrong: str) -> None:
    """They are told of as such, and are not held."""
    event = f'{{"type":"input_audio_buffer.append","audio":"{wrong}"}}'
    text = _taken(event)
    assert text.audio is None and json.loads(text)["audio"] == ""


@pytest.mark.parametrize(
    "wrong",
    ['{"a":"\\uZZZZ and more"}', json.dumps(["A" * 100, "A" * 100]), '["A' + "A" * 100],
)
def test_what_is_no_event(wrong: str) -> None:
    """Escapes that there are not, two long strings, one that does not end: it is no JSON."""
    with pytest.raises(ValueError):
        json.loads(_taken(wrong))


def test_little_is_held_of_what_is_not_audio(monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON of many small things is given up as soon as it is too long, and what follows is not looked at."""
    monkeypatch.setattr(client_event, "_MOST_TEXT_BYTES", 1000)
    event = LongEvent()
    for _ in range(100):
        event.push(b'["a"],' * 20)
        assert event.held_bytes <= 1120
    assert (event.held_bytes, event.end()) == (0, "")


def test_what_is_not_utf8() -> None:
    """The socket is to be closed, as WebSocket wants it."""
    with pytest.raises(UnicodeDecodeError):
        _taken(b'{"a":"\xff"}')
