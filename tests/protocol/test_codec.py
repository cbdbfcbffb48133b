"""Messages as JSON: what goes out comes back, and what does not fit is refused by name."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.protocol.codec import decode_client, decode_server, encode
from asrctl.protocol.codes import CloseCode, Violation
from asrctl.protocol.endpointing import Endpointing
from asrctl.protocol.fields import Misfit
from asrctl.protocol.messages import (
    CLIENT_TYPES,
    SERVER_TYPES,
    AudioFormat,
    ClientMessage,
    Done,
    Dropped,
    Error,
    Final,
    Limits,
    Ready,
    ServerMessage,
    Start,
    Status,
    WireWord,
)

COUNT = st.integers(0, 2**31)
TIME = st.floats(0, 1e9)
TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=50)
WORDS = st.builds(WireWord, TIME, TIME, TEXT, st.floats(0, 1))
FORMATS = st.builds(
    AudioFormat,
    st.sampled_from(["pcm_s16le", "pcm_f32le"]),
    st.integers(8000, 192_000),
    st.integers(1, 8),
)
ENDPOINTING = st.builds(
    Endpointing,
    st.none() | st.floats(0.05, 10),
    st.none() | st.floats(0, 2),
    st.none() | st.floats(0.5, 0.99),
    st.none() | st.floats(0.01, 0.5),
    st.none() | st.floats(2, 29),
    st.none() | st.floats(0, 1),
    st.none() | st.booleans(),
    st.none() | st.floats(0.2, 10),
)
BY_TYPE = {
    "int": COUNT.filter(bool),
    "int | None": st.none() | COUNT,
    "float": TIME,
    "float | None": st.none() | TIME,
    "str": TEXT,
    "str | None": st.none() | TEXT,
    "bool": st.booleans(),
    "bool | int | None": st.none() | st.booleans() | st.integers(1, 100),
    "AudioFormat": FORMATS,
    "Limits": st.just(Limits()),
    "Endpointing | None": st.none() | ENDPOINTING,
    "tuple[WireWord, ...] | None": st.none() | st.tuples() | st.tuples(WORDS, WORDS),
    "tuple[str, ...] | None": st.none() | st.lists(TEXT.filter(bool), max_size=3).map(tuple),
}
BY_NAME = {
    "partial_interval_s": st.none() | st.floats(0.1, 60),
    "source": st.sampled_from(["mic", "system"]),
    "language": st.just("en"),
    "level": st.integers(0, 4),
    "from_level": st.integers(0, 4),
    "confidence": st.floats(0, 1),
}


def any_of(kind: type[ClientMessage] | type[ServerMessage]) -> st.SearchStrategy[object]:
    """Any valid message of a class."""
    specs = {spec.name: BY_NAME.get(spec.name, BY_TYPE[str(spec.type)]) for spec in dataclasses.fields(kind)}
    return st.builds(kind, **specs)


@given(st.one_of([any_of(kind) for kind in CLIENT_TYPES.values()]))
def test_client_messages_survive(message: ClientMessage) -> None:
    """Any client's message is the same after JSON."""
    assert decode_client(encode(message)) == message


@given(st.one_of([any_of(kind) for kind in SERVER_TYPES.values()]))
def test_server_messages_survive(message: ServerMessage) -> None:
    """Any server's message is the same after JSON, which is UTF-8."""
    assert decode_server(encode(message).encode().decode()) == message


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_text(text: str) -> None:
    """No text makes anything but a message or a refusal."""
    try:
        decode_client(text)
    except Violation as violation:
        assert violation.close_code in (CloseCode.INVALID_DATA, CloseCode.BAD_REQUEST)


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.lists(st.dictionaries(TEXT, TEXT)),
    st.dictionaries(st.sampled_from(["encoding", "sample_rate", "channels"]), TEXT | st.integers()),
)
KEYS = st.sampled_from(["format", "source", "model", "prompt", "words", "audio_offset", "vocabulary"])


@given(st.dictionaries(KEYS, ANYTHING))
def test_any_start(keys: dict[str, object]) -> None:
    """Values of any type under keys that exist make a message, or a refusal."""
    try:
        assert isinstance(decode_client(json.dumps({"type": "start", **keys})), Start)
    except Violation as violation:
        assert violation.close_code in (CloseCode.INVALID_DATA, CloseCode.BAD_REQUEST)


def test_the_keys_on_the_wire() -> None:
    """`from` is spelled so; what is None is left out; text is not escaped."""
    dropped = Dropped(from_=1, to=2, reason="é", id=3)
    assert encode(dropped) == '{"type":"dropped","from":1,"to":2,"reason":"é","id":3}'


def test_defaults() -> None:
    """A client need only say that its audio has the default format."""
    assert decode_client('{"type":"start","format":{}}') == Start(AudioFormat("pcm_s16le", 16_000, 1))
    assert AudioFormat("pcm_f32le", 48_000, 2).frame_bytes == 8


def test_endpointing_is_asked_for_in_part_or_not_at_all() -> None:
    """Each key may be left out, and a client that does not set it sends what clients always sent."""
    whole = {"trailing_silence_s": 0.3, "min_speech_s": 0, "onset": 0.6, "offset": 0.6, "max_utterance_s": 20}
    hearing = {"pad_before_s": 0.1, "end_of_turn": True, "unfinished_silence_s": 2}
    for keys in ({}, {"onset": 0.2}, {"offset": 0.9}, whole, hearing):
        start = {"type": "start", "format": {}, "endpointing": keys, "partial_interval_s": 0.5}
        message = decode_client(json.dumps(start))
        assert message == Start(AudioFormat(), endpointing=Endpointing(**keys), partial_interval_s=0.5)
        assert json.loads(encode(message))["endpointing"] == keys
    assert not {"endpointing", "partial_interval_s"} & json.loads(encode(Start(AudioFormat()))).keys()


def test_a_vocabulary_is_a_list_of_texts() -> None:
    """It may be empty, or not be there; what a server had no room for comes back the same way."""
    for terms in ([], ["Ada", "Łódź"]):
        message = decode_client(json.dumps({"type": "start", "format": {}, "vocabulary": terms}))
        assert message == Start(AudioFormat(), vocabulary=tuple(terms))
        assert json.loads(encode(message))["vocabulary"] == terms
    assert "vocabulary" not in json.loads(encode(Start(AudioFormat())))


def test_words_of_a_final() -> None:
    """They are a list of objects on the wire."""
    final = Final(0, 0, 1, "a", 1.0, 0, 1, words=(WireWord(0, 1, "a", 0.5),))
    assert json.loads(encode(final))["words"] == [{"start_s": 0, "end_s": 1, "text": "a", "confidence": 0.5}]


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("", 1007, "JSON"),
        ("nonsense", 1007, "JSON"),
        ('{"type":"finish","audio_offset":NaN}', 1007, "JSON"),
        ("[" * 100_000, 1007, "JSON"),
        ("[]", 4400, "object"),
        ("null", 4400, "object"),
        ("{}", 4400, "type must be a string"),
        ('{"type":["start"]}', 4400, "type must be a string"),
        ('{"type":"begin"}', 4400, "type must be one of start, resume"),
        ('{"type":"final"}', 4400, "type must be one of"),
        ('{"type":"start"}', 4400, "format is missing"),
        ('{"type":"start","format":3}', 4400, "format must be an object"),
        ('{"type":"start","format":[{}]}', 4400, "format must be an object"),
        ('{"type":"start","format":{"encoding":"mp3"}}', 4400, "encoding must be one of pcm_s16le"),
        ('{"type":"start","format":{"sample_rate":"16000"}}', 4400, "sample_rate must be a whole number"),
        ('{"type":"start","format":{"sample_rate":16000.5}}', 4400, "sample_rate must be a whole number"),
        ('{"type":"start","format":{"channels":true}}', 4400, "channels must be a whole number"),
        ('{"type":"start","format":{"channels":0}}', 4400, "channels must be from 1 to 8"),
        ('{"type":"start","format":{"rate":8000}}', 4400, "there is no key 'rate' here"),
        ('{"type":"start","format":{},"partials":"yes"}', 4400, "partials must be true or false"),
        ('{"type":"start","format":{},"language":5}', 4400, "language must be a string"),
        ('{"type":"start","format":{},"language":""}', 4400, "language must have 1 to 100 characters"),
        ('{"type":"start","format":{},"prompt":"\\ud800"}', 4400, "prompt must not have lone surrogates"),
        ('{"type":"start","format":{},"audio_offset":-1}', 4400, "audio_offset must be from 0"),
        ('{"type":"start","format":{},"endpointing":[]}', 4400, "endpointing must be an object"),
        ('{"type":"start","format":{},"endpointing":{"pad":1}}', 4400, "there is no key 'pad' here"),
        ('{"type":"start","format":{},"endpointing":{"trailing_silence_s":0}}', 4400,
         "trailing_silence_s must be from 0.05 to 10"),
        ('{"type":"start","format":{},"endpointing":{"onset":0.4,"offset":0.5}}', 4400,
         "offset must not be above onset"),
        ('{"type":"start","format":{},"partial_interval_s":0}', 4400, "partial_interval_s must be from 0.1"),
        ('{"type":"start","format":{},"vocabulary":"Ada"}', 4400, "vocabulary must be a list of strings"),
        ('{"type":"start","format":{},"vocabulary":{}}', 4400, "vocabulary must be a list of strings"),
        ('{"type":"start","format":{},"vocabulary":[{}]}', 4400, "vocabulary holds one that must be a"),
        ('{"type":"start","format":{},"vocabulary":[""]}', 4400, "must have 1 to 100 characters"),
        (json.dumps({"type": "start", "format": {}, "vocabulary": ["x"] * 101}), 4400,
         "vocabulary must have at most 100 strings"),
        ('{"type":"flush","now":1}', 4400, "there is no key 'now' here; known are none"),
        ('{"type":"skip","frames":0,"reason":"x"}', 4400, "frames must be from 1"),
    ],
)  # fmt: skip
def test_refusals(text: str, code: int, message: str) -> None:
    """Each kind of nonsense has its close code, and a message that says what was expected."""
    with pytest.raises(Violation, match=message) as caught:
        decode_client(text)
    assert caught.value.close_code == code


def test_a_newer_server() -> None:
    """A client lets types and keys pass that it does not know, but not values that make no sense."""
    assert decode_server('{"type":"weather","fine":true}') is None
    assert decode_server('{"type":"error","code":"x","message":"m","more":1}') == Error("x", "m")
    with pytest.raises(Violation, match="retry_after_s must be a number"):
        decode_server('{"type":"error","code":"x","message":"m","retry_after_s":"1"}')
    with pytest.raises(Violation, match="words must be a list of objects"):
        decode_server(encode(Final(0, 0, 1, "", 1.0, 0, 1)).replace('"id"', '"words":[1],"id"'))


def test_messages_are_checked_when_made() -> None:
    """Our own mistakes do not get onto the wire either."""
    with pytest.raises(Misfit, match="level must be from 0 to 4"):
        Status(level=5, from_level=0, reason="", model="")
    with pytest.raises(Misfit, match="received_s must be from 0 to"):
        Done(0, float("nan"), 0, 0, 0, 0)
    with pytest.raises(Misfit, match="limits must be an object"):
        Ready("s", "t", 0, 0, 1, 3, "m", "p", 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("speakers", ["0", "101", "1.5", '"two"'])
def test_speakers_are_a_flag_or_how_many_there_are(speakers: str) -> None:
    """Anything else is refused with what would do."""
    with pytest.raises(Violation, match="speakers must be true, or 1 to 100"):
        decode_client(f'{{"type": "start", "format": {{}}, "speakers": {speakers}}}')
