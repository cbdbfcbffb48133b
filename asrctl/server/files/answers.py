"""A result in the format that was asked for, as bytes with their type."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from asrctl.protocol.openai.answer import Result
from asrctl.protocol.openai.request import AnswerFormat
from asrctl.render import Format, formats
from asrctl.transcript import AudioAccount, Timing, Transcript

Body = tuple[bytes, str]
Said = tuple[bytes, str, Mapping[str, str]]
"""What is wrong: a body, its type, and headers."""
JSON = "application/json"
_TYPES: Mapping[AnswerFormat, str] = {
    "text": "text/plain",
    "srt": "text/plain",
    "vtt": "text/vtt",
    "tsv": "text/plain",
}


def json_body(body: Mapping[str, object]) -> Body:
    """JSON, which never holds a NaN."""
    return json.dumps(body, allow_nan=False).encode(), JSON


def rendered(result: Result, answer: AnswerFormat, types: Mapping[str, str] | None = None) -> Body:
    """A format that is no JSON."""
    content_type = (types or {}).get(answer) or _TYPES[answer]
    return _text(result, answer).encode("utf-8", "replace"), f"{content_type}; charset=utf-8"


def _text(result: Result, answer: AnswerFormat) -> str:
    if answer == "text":
        return f"{result.text}\n"
    transcript = Transcript(
        source="",
        model="",
        provider="",
        language=result.language,
        duration_s=result.duration_s,
        segments=result.segments,
        audio=AudioAccount(),
        timing=Timing(0.0, 0.0, 0.0),
    )
    return formats.rendered(transcript, cast(Format, answer))
