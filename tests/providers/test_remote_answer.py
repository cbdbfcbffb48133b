"""What servers answer to a request: a transcription, an error in one of many forms, or neither."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.errors import DecodeError
from asrctl.network.answers import message_of
from asrctl.providers.remote.answer import hypothesis_of
from asrctl.transcript import Segment, Word

from .test_remote_dialects import JSON


def error(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "invalid_request_error"}}).encode()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (error("as OpenAI has it"), "as OpenAI has it"),
        (b'{"error": "in words"}', "in words"),
        (b'{"detail": "as FastAPI has it"}', "as FastAPI has it"),
        (b'{"detail": [{"loc": ["body", "a", 1], "msg": "bad"}, {"msg": "worse"}, 3]}', "a.1: bad; worse"),
        (b'{"message": "plain"}', "plain"),
        (b'{"detail": {"message": "inner"}}', "inner"),
        (b'{"detail": {"error": {"message": "OpenAI\'s in FastAPI\'s"}}}', "OpenAI's in FastAPI's"),
        (b'{"error": 3}', ""),
        (b"[]", ""),
        (b"<html>", ""),
    ],
)
def test_an_errors_message_is_found(body: bytes, message: str) -> None:
    """In the forms that servers have for it; in others there is none."""
    assert message_of(body) == message


@given(
    answer=st.fixed_dictionaries(
        {"text": st.text(max_size=20) | JSON},
        optional={
            "segments": JSON | st.lists(st.dictionaries(st.sampled_from(["start", "end", "text"]), JSON)),
            "words": JSON | st.lists(st.dictionaries(st.sampled_from(["start", "end", "word"]), JSON)),
            "language": JSON,
            "error": JSON,
            "detail": JSON,
        },
    )
)
def test_any_json_is_an_answer_or_an_error(answer: dict[str, Any]) -> None:
    """Times lie within the window, in order; what is no transcription is a DecodeError and nothing else."""
    body = json.dumps(answer).encode()
    assert isinstance(message_of(body), str)
    try:
        heard = hypothesis_of(body, 2.0, "en", 0.1)
    except DecodeError:
        assert not isinstance(answer["text"], str)
        return
    words = [word for segment in heard.segments for word in segment.words]
    parts: list[Word | Segment] = [*heard.segments, *words]
    for part in parts:
        assert 0.0 <= part.start_s <= part.end_s <= 2.0 and 0.0 <= part.confidence <= 1.0
