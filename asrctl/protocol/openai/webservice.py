"""`POST /asr` and `POST /detect-language`, as whisper-asr-webservice has them: options are in the query."""

from __future__ import annotations

from asrctl.languages import AUTO
from asrctl.protocol.openai.answer import Result, probability, segment_of, sure_word_of
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

FILE_FIELD = "audio_file"
RAW_RATE_HZ = 16_000
"""With `encode=false` the file is headerless PCM of this rate, 16 bit and mono."""
_FORMATS: dict[str, AnswerFormat] = {
    "txt": "text",
    "json": "verbose_json",
    "srt": "srt",
    "vtt": "vtt",
    "tsv": "tsv",
}
_TASKS = ("transcribe", "translate")


def asr_request(query: Fields, served: Served) -> FileRequest:
    """The request that a query of `/asr` makes.

    Raises:
        RequestRefused: It asks for what this server does not have.
    """
    form = Form(query)
    output, task = form.text("output", "txt").casefold(), form.text("task", "transcribe").casefold()
    if output not in _FORMATS:
        raise bad_request(f"output is one of {', '.join(_FORMATS)}, not {output[:50]!r}", "output")
    if task not in _TASKS:
        raise bad_request(f"task is transcribe or translate, not {task[:50]!r}", "task")
    return FileRequest(
        format=_FORMATS[output],
        language=code_of(form.text("language"), served),
        translate=check_translate(task == "translate", served),
        prompt=cut_prompt(form.text("initial_prompt")),
        words=form.flag("word_timestamps"),
        raw_rate_hz=_raw_rate_hz(form),
    )


def detect_request(query: Fields, served: Served) -> FileRequest:
    """The request that a query of `/detect-language` makes; a model of one language needs no detection.

    Raises:
        RequestRefused: `encode` is neither true nor false.
    """
    return FileRequest(language=AUTO if served.multilingual else "en", raw_rate_hz=_raw_rate_hz(Form(query)))


def _raw_rate_hz(form: Form) -> int | None:
    return None if form.flag("encode", default=True) else RAW_RATE_HZ


def asr_body(result: Result, request: FileRequest) -> dict[str, object]:
    """The body of `json`: words, if asked for, are inside of the segments."""
    segments = []
    for number, each in enumerate(result.segments):
        body = segment_of(number, each)
        if request.words:
            body["words"] = [sure_word_of(word) for word in each.words]
        segments.append(body)
    return {"language": result.language, "text": result.text, "segments": segments}


def detected_body(result: Result) -> dict[str, object]:
    """The answer of `/detect-language`. `confidence` is that of the first words in this language: the
    recogniser does not say how sure it is of the language itself."""
    confidence = result.segments[0].confidence if result.segments else 0.0
    return {
        "detected_language": language_name(result.language),
        "language_code": result.language,
        "confidence": probability(confidence),
    }
