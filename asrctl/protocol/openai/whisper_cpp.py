"""`POST /inference`, as the server of whisper.cpp has it."""

from __future__ import annotations

from typing import cast

from asrctl.protocol.openai.answer import Result, logarithm, seconds, sure_word_of
from asrctl.protocol.openai.errors import bad_request
from asrctl.protocol.openai.models import Served
from asrctl.protocol.openai.request import (
    AnswerFormat,
    Fields,
    FileRequest,
    Form,
    check_translate,
    code_of,
    cut_prompt,
    language_name,
)
from asrctl.transcript import Segment

_FORMATS = ("json", "text", "srt", "vtt", "verbose_json")
CONTENT_TYPES = {"text": "text/html", "srt": "application/x-subrip", "vtt": "text/vtt"}
"""As that server answers; all others are JSON."""


def inference_request(fields: Fields, served: Served) -> FileRequest:
    """The request of a form; fields that mean nothing here are ignored, as there.

    Raises:
        RequestRefused: It asks for what this server does not have.
    """
    form = Form(fields)
    answer = form.text("response_format", "json").casefold()
    if answer not in _FORMATS:
        raise bad_request(f"there is no format {answer[:50]!r}", "response_format")
    return FileRequest(
        format=cast(AnswerFormat, answer),
        language=code_of(form.text("language"), served),
        translate=check_translate(form.flag("translate"), served),
        prompt=cut_prompt(form.text("prompt")),
        words=answer == "verbose_json",
    )


def inference_body(result: Result, request: FileRequest) -> dict[str, object]:
    """The body of `json` or `verbose_json`."""
    if request.format == "json":
        return {"text": result.text}
    name = language_name(result.language)
    return {
        "task": "translate" if request.translate else "transcribe",
        "language": name,
        "duration": seconds(result.duration_s),
        "text": result.text,
        "segments": [_segment(number, each) for number, each in enumerate(result.segments)],
        "detected_language": name,
    }


def _segment(number: int, segment: Segment) -> dict[str, object]:
    return {
        "id": number,
        "text": segment.text,
        "start": seconds(segment.start_s),
        "end": seconds(segment.end_s),
        "tokens": [],
        "words": [sure_word_of(word) for word in segment.words],
        "temperature": 0.0,
        "avg_logprob": logarithm(segment.confidence),
        "no_speech_prob": 0.0,
    }
