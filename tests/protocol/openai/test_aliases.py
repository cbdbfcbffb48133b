"""The forms of two other servers."""

from __future__ import annotations

from typing import Any

import pytest

from asrctl.protocol.openai.answer import Result
from asrctl.protocol.openai.errors import RequestRefused
from asrctl.protocol.openai.models import Served
from asrctl.protocol.openai.request import FileRequest
from asrctl.protocol.openai.webservice import asr_body, asr_request, detect_request, detected_body
from asrctl.protocol.openai.whisper_cpp import inference_body, inference_request

from .test_answer import HELLO, RESULT

SERVED = Served("base", multilingual=True)
ENGLISH = Served("tiny.en", multilingual=False)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"temperature": "0.0", "temperature_inc": "0.2", "model": "other"}, {}),
        ({"response_format": "verbose_json", "language": "de"},
         {"format": "verbose_json", "language": "de", "words": True}),
        ({"translate": "true", "prompt": "Ada"}, {"translate": True, "prompt": "Ada"}),
        ({"response_format": "text"}, {"format": "text"}),
    ],
)  # fmt: skip
def test_inference(fields: dict[str, str], expected: dict[str, Any]) -> None:
    """whisper.cpp's fields, of which those of its sampling change nothing."""
    assert inference_request(fields.items(), SERVED) == FileRequest(**expected)


def test_inference_bodies() -> None:
    """Words are inside of the segments, with probabilities."""
    assert inference_body(RESULT, FileRequest()) == {"text": "Hello there. Again."}
    body: dict[str, Any] = inference_body(RESULT, FileRequest("verbose_json", words=True))
    assert (body["language"], body["detected_language"], body["task"]) == ("english", "english", "transcribe")
    assert body["segments"][0]["words"][0] == {"word": "Hello", "start": 0.5, "end": 0.9, "probability": 0.25}
    assert inference_body(RESULT, FileRequest("verbose_json", translate=True))["task"] == "translate"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, {"format": "text"}),
        ({"output": "json", "word_timestamps": "true"}, {"format": "verbose_json", "words": True}),
        ({"output": "tsv", "language": "en"}, {"format": "tsv", "language": "en"}),
        ({"output": "srt", "task": "translate"}, {"format": "srt", "translate": True}),
        (
            {"encode": "false", "initial_prompt": "Ada"},
            {"format": "text", "raw_rate_hz": 16_000, "prompt": "Ada"},
        ),
        ({"encode": "true", "vad_filter": "true"}, {"format": "text"}),
    ],
)
def test_asr(query: dict[str, str], expected: dict[str, Any]) -> None:
    """The web service's query, with plain text where nothing is said."""
    assert asr_request(query.items(), SERVED) == FileRequest(**expected)


def test_asr_body() -> None:
    """Segments with words if asked for; the language is a code there."""
    body: dict[str, Any] = asr_body(RESULT, FileRequest("verbose_json", words=True))
    assert (body["language"], body["text"]) == ("en", "Hello there. Again.")
    assert body["segments"][0]["words"][1] == {"word": "there.", "start": 1.0, "end": 1.5, "probability": 1.0}
    assert "words" not in asr_body(RESULT, FileRequest("verbose_json"))["segments"][0]  # type: ignore[index]


def test_detection() -> None:
    """The name, the code, and how sure the first words are; a model of English needs no detection."""
    assert detect_request({"encode": "false"}.items(), SERVED) == FileRequest(
        language="auto", raw_rate_hz=16_000
    )
    assert detect_request([], ENGLISH) == FileRequest(language="en")
    assert detected_body(Result((HELLO,), "de", 1.0)) == {
        "detected_language": "german",
        "language_code": "de",
        "confidence": 0.5,
    }
    assert detected_body(Result((), "", 1.0))["confidence"] == 0.0


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"output": "docx"}, "output"),
        ({"task": "summarise"}, "task"),
        ({"language": "xx"}, "language"),
        ({"encode": "maybe"}, "encode"),
        ({"word_timestamps": "maybe"}, "word_timestamps"),
    ],
)
def test_asr_refusals(query: dict[str, str], param: str) -> None:
    """What is wrong in the query is named."""
    with pytest.raises(RequestRefused) as raised:
        asr_request(query.items(), SERVED)
    assert raised.value.param == param


def test_inference_refusals() -> None:
    """Formats that there are not, and languages."""
    for fields in ({"response_format": "diarized_json"}, {"language": "xx"}, {"translate": "perhaps"}):
        with pytest.raises(RequestRefused):
            inference_request(fields.items(), SERVED)
    with pytest.raises(RequestRefused):
        inference_request({"translate": "true"}.items(), ENGLISH)
