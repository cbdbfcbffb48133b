"""A request to transcribe a file, made of a form's fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

from asrctl.errors import UsageError
from asrctl.languages import AUTO, NAMES, check_language
from asrctl.policy.vocabulary import usable_terms
from asrctl.protocol.codes import LACKING
from asrctl.protocol.openai.errors import bad_request
from asrctl.protocol.openai.models import Served
from asrctl.protocol.openai.speakers import known_speakers

AnswerFormat = Literal["json", "text", "srt", "vtt", "verbose_json", "diarized_json", "tsv"]

_FORMATS = ("json", "text", "srt", "verbose_json", "vtt", "diarized_json")
_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off", ""})
_MAX_PROMPT_CHARS = 1000
"""Whisper reads 224 tokens of a prompt, and the last ones count."""
_CODES_BY_NAME = {name: code for code, name in NAMES.items()}

Fields = Iterable[tuple[str, str]]
"""Names and values in the order of the form; a name may come again."""


@dataclass(frozen=True, slots=True)
class FileRequest:
    """What somebody wants of a file.

    Attributes:
        format: Of the answer.
        language: A code or "auto"; empty for the server's own setting.
        translate: Into English.
        prompt: Text that sets names and style.
        vocabulary: Terms that the audio is likely to hold.
        words: Say the times of words.
        segments: Say the times of segments, in a format that has both.
        logprobs: Say how sure the recogniser is of each word.
        stream: Answer with events, as the text becomes known.
        speakers: Tell speakers apart.
        known: Audio files with the voices of known speakers, by their names.
        raw_rate_hz: The file is headerless PCM, signed 16 bit, mono, of this rate; None for a container.
    """

    format: AnswerFormat = "json"
    language: str = ""
    translate: bool = False
    prompt: str = ""
    vocabulary: tuple[str, ...] = ()
    words: bool = False
    segments: bool = True
    logprobs: bool = False
    stream: bool = False
    speakers: bool = False
    known: Mapping[str, bytes] = field(default_factory=dict)
    raw_rate_hz: int | None = None

    @property
    def needs_words(self) -> bool:
        """Whether the recogniser has to say when each word was spoken."""
        return self.words or self.logprobs or self.format in ("srt", "vtt")


class Form:
    """Fields by name, whether they come as `name`, `name[]` or `name[key]`."""

    def __init__(self, fields: Fields) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in fields:
            self._values.setdefault(name.partition("[")[0], []).append(value)

    def text(self, name: str, default: str = "") -> str:
        """A field's last value, without spaces around it; the default if it is not there, or empty."""
        values = self.values(name)
        return (values[-1] if values else "") or default

    def values(self, name: str) -> list[str]:
        """A field's values as they are repeated, without spaces around them."""
        return [value.strip() for value in self._values.get(name, ())]

    def items(self, name: str) -> list[str]:
        """A field's values, repeated or with commas between them."""
        parts = (part.strip() for value in self._values.get(name, ()) for part in value.split(","))
        return [part for part in parts if part]

    def flag(self, name: str, default: bool = False) -> bool:
        """A field that is true or false.

        Raises:
            RequestRefused: It is neither.
        """
        if name not in self._values:
            return default
        value = self.text(name).casefold()
        if value not in _TRUE | _FALSE:
            raise bad_request(f"{name} is true or false, not {value[:50]!r}", name)
        return value in _TRUE


def file_request(fields: Fields, served: Served, *, translate: bool = False) -> FileRequest:
    """The request that a form of OpenAI's makes; fields that mean nothing here are ignored.

    Raises:
        RequestRefused: It asks for what this server does not have, or does not make sense.
    """
    form = Form(fields)
    served.check(form.text("model"))
    answer = _format(form, served)
    speakers = answer == "diarized_json"
    granularities = _granularities(form) if answer == "verbose_json" else ["segment"]
    include = form.items("include")
    if unknown := [each for each in include if each != "logprobs"]:
        raise bad_request(f"include knows logprobs, not {unknown[0][:50]!r}", "include")
    stream = form.flag("stream")
    if stream and answer in ("srt", "vtt"):
        raise bad_request(
            f"{answer} does not come as a stream: leave stream out", "stream", "unsupported_value"
        )
    _check_temperature(form)
    voices = form.values("known_speaker_names"), form.values("known_speaker_references")
    return FileRequest(
        format=answer,
        language="" if translate and not form.text("language") else _language(form, served),
        translate=check_translate(translate, served),
        prompt=cut_prompt(form.text("prompt")),
        vocabulary=usable_terms(form.items("keywords")),
        words="word" in granularities,
        segments="segment" in granularities,
        logprobs="logprobs" in include,
        stream=stream,
        speakers=speakers,
        known=known_speakers(*voices) if speakers else {},
    )


def _format(form: Form, served: Served) -> AnswerFormat:
    answer = form.text("response_format", "json").casefold()
    if answer == "diarized_json" and not served.speakers:
        raise bad_request(f"{LACKING}: ask for verbose_json", "response_format", "unsupported_value")
    if answer not in _FORMATS:
        known = ", ".join(_FORMATS)
        raise bad_request(f"there is no format {answer[:50]!r}: known are {known}", "response_format")
    return cast(AnswerFormat, answer)


def _granularities(form: Form) -> list[str]:
    wanted = form.items("timestamp_granularities") or ["segment"]
    if unknown := [each for each in wanted if each not in ("word", "segment")]:
        message = f"timestamp_granularities are word and segment, not {unknown[0][:50]!r}"
        raise bad_request(message, "timestamp_granularities")
    return wanted


def _check_temperature(form: Form) -> None:
    """It changes nothing, but a number is a number."""
    text = form.text("temperature", "0")
    try:
        good = 0.0 <= float(text) <= 1.0
    except ValueError:
        good = False
    if not good:
        raise bad_request(f"temperature is between 0 and 1, not {text[:50]!r}", "temperature")


def _language(form: Form, served: Served) -> str:
    if language := form.text("language"):
        return code_of(language, served)
    candidates = form.items("languages")
    if len(candidates) > 1 and not served.multilingual:  # one of them is its own, most likely
        return ""
    return ",".join(code_of(each, served) for each in candidates)


def code_of(language: str, served: Served) -> str:
    """The code of a language that is named by code, tag or English name; empty for none.

    Raises:
        RequestRefused: There is no such language, or the model does not know it.
    """
    if not language:
        return ""
    code = _CODES_BY_NAME.get(language.casefold(), language)
    try:
        return check_language(code[:100], multilingual=served.multilingual, model=served.name)
    except UsageError as error:
        raise bad_request(str(error), "language", "unsupported_language") from None


def check_translate(translate: bool, served: Served) -> bool:
    """Whether to translate, which only a model of many languages can.

    Raises:
        RequestRefused: This one cannot.
    """
    if translate and not served.multilingual:
        message = f"{served.name} knows English only, and cannot translate: serve a model without .en"
        raise bad_request(message, "model", "unsupported_value")
    return translate


def cut_prompt(prompt: str) -> str:
    """As much of a prompt's end as the recogniser reads."""
    return prompt[-_MAX_PROMPT_CHARS:].strip()


def language_name(code: str) -> str:
    """The English name of a language, in lower case; "unknown" where nothing was heard that tells."""
    return NAMES.get(code, "unknown" if code in ("", AUTO) else code)
