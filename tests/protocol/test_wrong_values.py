"""Every field of every message of the other dialects, with values that make no sense there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from asrctl.protocol.deepgram.query import live_options, recording_options
from asrctl.protocol.dialect import CloseSocket, DialectOutput, Feed, SendBytes, SendText
from asrctl.protocol.openai.errors import RequestRefused
from asrctl.protocol.wyoming.dialect import WyomingDialect
from asrctl.protocol.wyoming.info import ServedModel

from .deepgram.talks import RAW, SERVED, Talk
from .openai.realtime.play import Play

WRONG = (
    *("null", "true", "0", "7", "-1", "0.5", "1e999", "NaN", "-Infinity", "1" + "0" * 400, "9" * 5_000),
    *('""', '"x"', r'"\ud800"', r'"\u0000"', f'"{"long" * 500}"'),
    *("[]", "[[]]", '["x", 1]', "[" * 5_000 + "]" * 5_000, "{}", '{"a": 1}', '{"type": []}'),
)
"""As they stand in a message; some are no JSON, but are written by those who think so."""
PLACE = "the place of a value"
INPUT = {
    "format": {"type": "audio/pcm", "rate": 24_000},
    "transcription": {
        "model": "tiny",
        "language": "en",
        "languages": ["en"],
        "prompt": "a",
        "keywords": ["b"],
        "delay": "low",
    },
    "noise_reduction": {"type": "near_field", "strength": 0.5},
    "turn_detection": {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 500,
        "idle_timeout_ms": None,
        "create_response": False,
        "interrupt_response": False,
        "eagerness": "low",
    },
}
OLDER = {
    "input_audio_format": "pcm16",
    "input_audio_transcription": INPUT["transcription"],
    "turn_detection": INPUT["turn_detection"],
    "input_audio_noise_reduction": INPUT["noise_reduction"],
    "include": ["item.input_audio_transcription.logprobs"],
}
REALTIME = (
    {
        "type": "session.update",
        "event_id": "e",
        "session": {"type": "transcription", "audio": {"input": INPUT}},
    },
    {"type": "session.update", "session": {"include": ["item.input_audio_transcription.logprobs"]}},
    {"type": "transcription_session.update", "session": OLDER},
    {"type": "input_audio_buffer.append", "audio": "AAAA", "event_id": "e"},
    {"type": "input_audio_buffer.commit", "event_id": "e"},
    {"type": "input_audio_buffer.clear", "event_id": "e"},
)
DEEPGRAM = (
    {"type": "KeepAlive"},
    {"type": "Finalize", "channel": 0},
    {"type": "Configure", "keyterms": ["one"], "features": {"numerals": True}},
)
WYOMING = (
    {"type": "describe", "version": "1.8.0"},
    {"type": "ping", "data": {"text": "a"}},
    {
        "type": "transcribe",
        "data": {
            "name": "words",
            "language": "en",
            "context": {"a": 1},
            "vad_sensitivity": "relaxed",
            "transcript_names": ["a"],
            "transcript_terms": ["b"],
        },
    },
    {"type": "audio-start", "data": {"rate": 16_000, "width": 2, "channels": 1, "timestamp": 0}},
    {"type": "audio-chunk", "data": {"rate": 16_000, "width": 2, "channels": 1, "timestamp": 0}},
    {"type": "audio-stop", "data": {"timestamp": 0}},
    {"type": "describe", "data_length": 0, "payload_length": 0},
)


def spoiled(message: dict[str, Any]) -> Iterator[str]:
    """A message with each of its values, at any depth, replaced by each wrong one."""
    for place in places(message):
        text = json.dumps(with_value(message, place, PLACE))
        yield from (text.replace(f'"{PLACE}"', wrong) for wrong in WRONG)


def places(value: object) -> Iterator[tuple[str | int, ...]]:
    """The paths of all values in a message."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in pairs:
        yield (key,)
        yield from ((key, *rest) for rest in places(each))


def with_value(message: Any, place: tuple[Any, ...], value: object) -> Any:
    """A message with another value in a place."""
    key, *rest = place
    changed = list(message) if isinstance(message, list) else dict(message)
    changed[key] = with_value(message[key], tuple(rest), value) if rest else value
    return changed


def sent(outputs: list[DialectOutput]) -> list[Any]:
    """What is sent, which is strict JSON in valid UTF-8."""
    texts = [output.text for output in outputs if isinstance(output, SendText)]
    return [json.loads(text.encode(), parse_constant=pytest.fail) for text in texts]


@pytest.mark.parametrize("message", REALTIME, ids=lambda message: message["type"])
def test_realtime(message: dict[str, Any]) -> None:
    """It is taken, ignored, or an error in OpenAI's shape; the socket stays, and audio is taken."""
    for text in spoiled(message):
        play = Play()
        outputs = play.machine.receive_text(text)
        for answer in sent(outputs):
            if answer["type"] == "error":
                assert set(answer["error"]) == {"type", "code", "message", "param", "event_id"}, text
        assert not any(isinstance(output, CloseSocket) for output in outputs), text
        play.do(outputs)
        play.send("session.update", session={"audio": {"input": {"format": {"type": "audio/pcm"}}}})
        play.speak()
        assert any(isinstance(asked, Feed) for asked in play.asked), text


@pytest.mark.parametrize("message", DEEPGRAM, ids=lambda message: message["type"])
def test_deepgram(message: dict[str, Any]) -> None:
    """It is taken, or an `Error`; the socket stays, and audio is taken."""
    for text in spoiled(message):
        talk = Talk()
        outputs = talk.dialect.receive_text(text)
        answers = sent(outputs)
        assert all(answer["type"] in ("Error", "ConfigureSuccess", "Results") for answer in answers), text
        assert not any(isinstance(output, CloseSocket) for output in outputs), text
        assert any(isinstance(asked, Feed) for asked in talk.dialect.receive_binary(bytes(3200))), text


QUERY = ("model", "language", "encoding", "sample_rate", "channels", "endpointing", "utterance_end_ms")
QUERY += ("interim_results", "vad_events", "punctuate", "smart_format", "keyterm", "keywords", "utterances")


@pytest.mark.parametrize("name", [*QUERY, "diarize", "detect_language", "tag", "unknown"])
def test_deepgram_queries(name: str) -> None:
    """They are options or a refusal that can be told in a header."""
    for wrong in ("", "x", "-1", "0", "1e999", "nan", "9" * 5_000, "\ud800", "\x00\r\n", "ä:é", "a:b:c", "٣"):
        for options in (live_options, recording_options):
            try:
                options({**RAW, name: wrong}.items(), SERVED)
            except RequestRefused as refused:
                assert 400 <= refused.status < 500


@pytest.mark.parametrize("event", WYOMING, ids=lambda event: event["type"])
def test_wyoming(event: dict[str, Any]) -> None:
    """It is taken, ignored, or told as an `error`, after which the connection is closed."""
    for text in spoiled(event):
        dialect = WyomingDialect(ServedModel("words", True, "1.0"), 30.0, lambda: 0.0)
        outputs = dialect.receive_binary(text.encode() + b"\n")
        said = b"".join(output.data for output in outputs if isinstance(output, SendBytes))
        closed = any(isinstance(output, CloseSocket) for output in outputs)
        assert closed == (b'"error"' in said), text
