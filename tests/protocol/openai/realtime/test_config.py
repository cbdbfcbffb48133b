"""What a session is told to be: what is taken, what is refused, and how it is shown."""

from __future__ import annotations

from typing import Any

import pytest

from asrctl.protocol.endpointing import Endpointing
from asrctl.protocol.openai.errors import RequestRefused
from asrctl.protocol.openai.models import Served
from asrctl.protocol.openai.realtime.config import RealtimeConfig, check_query_model, updated
from asrctl.protocol.openai.realtime.items import Item, rest_of

SERVED = Served("base", multilingual=True)
BEGUN = RealtimeConfig("base")


def nested(**audio: Any) -> dict[str, Any]:
    return {"audio": {"input": audio}}


def test_absent_stays_and_null_is_off() -> None:
    """One update after the other."""
    config = updated(
        BEGUN,
        {
            "type": "transcription",
            **nested(
                transcription={
                    "model": "whisper-1",
                    "language": "de",
                    "prompt": "Namen",
                    "keywords": ["Ulm", " "],
                    "delay": "xhigh",
                },
                noise_reduction={"type": "far_field", "strength": 1},
                turn_detection={"type": "semantic_vad", "eagerness": "low"},
                surprise=1,
            ),
            "include": ["item.input_audio_transcription.logprobs"],
            "model": 7,
        },
        SERVED,
    )
    request = config.request(SERVED)
    assert (request.language, request.prompt, request.partials) == ("de", "Namen", False)
    assert request.vocabulary == ("Ulm",)
    assert request.endpointing == Endpointing(1.0, end_of_turn=True, unfinished_silence_s=8.0)
    shown: Any = config.shown("s")
    assert shown["audio"]["input"]["transcription"] == {
        "model": "whisper-1",
        "language": "de",
        "prompt": "Namen",
        "keywords": ["Ulm"],
        "delay": "xhigh",
    }
    assert shown["audio"]["input"]["turn_detection"] == {"type": "semantic_vad", "eagerness": "low"}
    assert shown["audio"]["input"]["noise_reduction"] == {"type": "far_field", "strength": 1}
    assert updated(config, {}, SERVED) == updated(config, None, SERVED) == config
    off = updated(
        config,
        {**nested(transcription=None, noise_reduction=None, turn_detection=None), "include": None},
        SERVED,
    )
    assert (off.noise_reduction, off.include, off.turn_detection, off.language) == (None, (), None, "de")
    cleared = updated(off, nested(transcription={"language": None, "model": None, "delay": None}), SERVED)
    assert (cleared.language, cleared.model, cleared.delay) == ("", "base", "")


@pytest.mark.parametrize(
    ("given", "endpointing", "shown"),
    [
        ({}, None, (0.5, 500)),
        ({"threshold": 0.8}, Endpointing(onset=0.8), (0.8, 500)),
        (
            {"threshold": 0, "silence_duration_ms": 0},
            Endpointing(0.05, None, 0.01, end_of_turn=False),
            (0.01, 50),
        ),
        (
            {"threshold": 1, "silence_duration_ms": 99_999.0},
            Endpointing(10.0, None, 0.99, end_of_turn=False),
            (0.99, 10_000),
        ),
    ],
)
def test_turn_detection(
    given: dict[str, Any], endpointing: Endpointing | None, shown: tuple[float, int]
) -> None:
    """What can be done is done, and shown as it is."""
    config = updated(BEGUN, nested(turn_detection={"type": "server_vad", **given}), SERVED)
    assert config.request(SERVED).endpointing == endpointing
    turns: Any = config.shown("s")["audio"]
    detection = turns["input"]["turn_detection"]
    assert (detection["threshold"], detection["silence_duration_ms"]) == shown


@pytest.mark.parametrize(("given_ms", "padding_ms"), [(0, 0), (300, 300), (5000, 1000)])
def test_padding_before_speech(given_ms: int, padding_ms: int) -> None:
    """As much as is asked for, up to a second."""
    config = updated(BEGUN, nested(turn_detection={"prefix_padding_ms": given_ms}), SERVED)
    assert config.request(SERVED).endpointing == Endpointing(pad_before_s=padding_ms / 1000)
    assert config.turn_detection is not None
    assert config.turn_detection.shown()["prefix_padding_ms"] == padding_ms


def test_semantic_turn_detection() -> None:
    """Without a word on eagerness pauses are as long as the server has them, where it hears nothing else."""
    config = updated(BEGUN, nested(turn_detection={"type": "semantic_vad"}), SERVED)
    assert config.request(SERVED).endpointing == Endpointing(end_of_turn=True, unfinished_silence_s=4.0)
    assert config.turn_detection is not None
    assert config.turn_detection.shown() == {"type": "semantic_vad", "eagerness": "auto"}


@pytest.mark.parametrize(
    ("format_", "encoding", "rate_hz"),
    [
        ({"type": "audio/pcm"}, "pcm_s16le", 24_000),
        ({"type": "audio/pcm", "rate": 16_000}, "pcm_s16le", 16_000),
        ({"type": "audio/pcma", "rate": 8_000}, "alaw", 8_000),
        ("pcm16", "pcm_s16le", 24_000),
        ("g711_ulaw", "mulaw", 8_000),
        (None, "pcm_s16le", 24_000),
    ],
)
def test_formats(format_: object, encoding: str, rate_hz: int) -> None:
    """As objects, and as the names they had before."""
    config = updated(BEGUN, nested(format=format_), SERVED)
    assert (config.encoding, config.rate_hz) == (encoding, rate_hz)


def test_the_older_shape() -> None:
    """It is known by its keys, and left again with the first update in the present shape."""
    flat = updated(BEGUN, {"input_audio_format": "g711_alaw"}, SERVED)
    assert flat.is_flat
    assert flat.shown("s")["input_audio_format"] == "g711_alaw"
    assert updated(flat, {"turn_detection": None}, SERVED).turn_detection is None
    assert updated(flat, {"turn_detection": {"type": "none"}}, SERVED).turn_detection is None
    assert not updated(flat, nested(), SERVED).is_flat


def test_languages() -> None:
    """One that may be spoken is the language; of several the server finds out which."""
    one = updated(BEGUN, nested(transcription={"languages": ["de-DE"]}), SERVED)
    two = updated(one, nested(transcription={"languages": ["de", "en"]}), SERVED)
    assert (one.request(SERVED).language, two.request(SERVED).language) == ("de", "auto")


@pytest.mark.parametrize(
    ("session", "param", "code"),
    [
        (7, "session", "invalid_type"),
        ({"audio": []}, "session.audio", "invalid_type"),
        ({"audio": {"input": "x"}}, "session.audio.input", "invalid_type"),
        (nested(format={"type": "audio/mp3"}), "session.audio.input.format.type", "invalid_value"),
        (nested(format="opus"), "session.audio.input.format.type", "invalid_value"),
        (nested(format={"rate": 7}), "session.audio.input.format.rate", "invalid_value"),
        (nested(format={"rate": True}), "session.audio.input.format.rate", "invalid_value"),
        (nested(format={"rate": "x"}), "session.audio.input.format.rate", "invalid_value"),
        (nested(transcription={"model": 7}), "session.audio.input.transcription.model", "invalid_type"),
        (
            nested(transcription={"model": "huge"}),
            "session.audio.input.transcription.model",
            "model_not_found",
        ),
        (
            nested(transcription={"language": "klingon"}),
            "session.audio.input.transcription.language",
            "unsupported_language",
        ),
        (
            nested(transcription={"languages": ["klingon"]}),
            "session.audio.input.transcription.languages",
            "unsupported_language",
        ),
        (
            nested(transcription={"keywords": "a"}),
            "session.audio.input.transcription.keywords",
            "invalid_type",
        ),
        (
            nested(transcription={"keywords": [7]}),
            "session.audio.input.transcription.keywords",
            "invalid_type",
        ),
        (nested(transcription={"delay": "now"}), "session.audio.input.transcription.delay", "invalid_value"),
        (nested(turn_detection={"type": "mind"}), "session.audio.input.turn_detection.type", "invalid_value"),
        (
            nested(turn_detection={"threshold": 2}),
            "session.audio.input.turn_detection.threshold",
            "invalid_value",
        ),
        (
            nested(turn_detection={"silence_duration_ms": float("nan")}),
            "session.audio.input.turn_detection.silence_duration_ms",
            "invalid_value",
        ),
        (
            nested(turn_detection={"type": "semantic_vad", "eagerness": "eager"}),
            "session.audio.input.turn_detection.eagerness",
            "invalid_value",
        ),
        (
            nested(transcription={"prompt": "\ud800"}),
            "session.audio.input.transcription.prompt",
            "invalid_value",
        ),
        ({"input_audio_format": "mp3"}, "session.input_audio_format.type", "invalid_value"),
    ],
)
def test_refusals(session: object, param: str, code: str) -> None:
    """What is wrong names its path."""
    with pytest.raises(RequestRefused) as refused:
        updated(BEGUN, session, SERVED)
    assert (refused.value.param, refused.value.code) == (param, code)


def test_the_model_of_the_address() -> None:
    """One that speaks only says that realtime is meant; others are ours, stand for ours, or are refused."""
    for name in (
        "gpt-realtime",
        "gpt-realtime-mini",
        "gpt-4o-realtime-preview-2024-12-17",
        "gpt-realtime-2.0",
    ):
        assert check_query_model(name, SERVED) == ""
    for name in ("gpt-realtime-whisper", "gpt-4o-mini-transcribe", "base", "gpt-live-transcribe"):
        assert check_query_model(name, SERVED) == name
    with pytest.raises(RequestRefused) as refused:
        check_query_model("huge", SERVED)
    assert (refused.value.status, refused.value.param) == (404, "model")


@pytest.mark.parametrize(
    ("begun", "text", "rest"),
    [
        ("", "hello", "hello"),
        ("hello", "hello world", " world"),
        ("hello", "", ""),
        ("hello word", "hello world again", " again"),
        ("Hello, word", "hello world", ""),
        ("yes", "well no", " no"),
        ("ye", "no", ""),
        ("你号", "你好世界", "世界"),
    ],
)
def test_what_a_text_has_more(begun: str, text: str, rest: str) -> None:
    """Words that were said in another way are not said again."""
    assert rest_of(begun, text) == rest


def test_utterances_of_an_item() -> None:
    """They are joined by spaces, also if some say nothing."""
    item = Item("i")
    for text, final in (
        ("", True),
        ("a", False),
        ("a b", True),
        ("", True),
        ("c", False),
        ("", False),
        ("c", True),
    ):
        item.hear(text, final=final)
    assert item.text == "a b c"
