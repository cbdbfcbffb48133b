"""What a client asks for in the query of `/v1/listen`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from asrctl.languages import AUTO
from asrctl.policy.vocabulary import Fit, fit, usable_terms
from asrctl.protocol.codes import LACKING
from asrctl.protocol.dialect import Encoding, SessionRequest
from asrctl.protocol.endpointing import Endpointing
from asrctl.protocol.openai.errors import bad_request
from asrctl.protocol.openai.models import Served
from asrctl.protocol.openai.request import Fields, FileRequest, Form, code_of

MIN_ENDPOINTING_MS = 300
"""Shorter pauses end too many utterances in the middle of a sentence. Deepgram's own default is 10 ms."""
MAX_ENDPOINTING_MS = 10_000
MIN_UTTERANCE_END_MS = 1_000
MAX_UTTERANCE_END_MS = 60_000
_RATES_HZ = (8_000, 48_000)
_MAX_CHANNELS = 2
_ENCODINGS: Mapping[str, Encoding] = {
    "linear16": "pcm_s16le",
    "linear32": "pcm_f32le",
    "float32": "pcm_f32le",
    "mulaw": "mulaw",
    "alaw": "alaw",
}
_DEEPGRAM_MODELS = re.compile(
    r"(\d-)?(nova|enhanced|base|whisper|general|meeting|phonecall|voicemail|finance|conversationalai"
    r"|video|medical)(-[0-9a-z]+)*",
    re.ASCII,
)
"""Names that clients have built in: they stand for whatever is served."""
_NOT_DONE = (
    *("detect_entities", "dictation", "filler_words", "intents", "measurements"),
    *("numerals", "paragraphs", "profanity_filter", "replace", "search", "sentiment", "summarize", "topics"),
)
"""What Deepgram would do and this server does not; the answer names those that were asked for."""
_LIKE_WEIGHT = re.compile(
    r":[+-]?(nan|inf(inity)?|[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?)\Z", re.ASCII | re.IGNORECASE
)
"""Ends of keywords that look like a weight; some are one."""
_DIARIZE = ("diarize", "diarize_model")
"""Either asks for speakers."""


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """What somebody wants of live audio.

    Attributes:
        request: The session.
        speech_final: Whether the end of an utterance is marked.
        interim_results: Whether text is sent before it is final.
        vad_events: Whether the beginning of speech is told.
        utterance_end_ms: A gap of so long between words is told; None if no gap is.
        punctuate: Whether the transcript has punctuation and capitals.
        multi: Whether the language is to be named.
        told: Headers of the answer, about what was clamped or ignored.
    """

    request: SessionRequest
    speech_final: bool = True
    interim_results: bool = False
    vad_events: bool = False
    utterance_end_ms: int | None = None
    punctuate: bool = True
    multi: bool = False
    told: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class RecordingOptions:
    """What somebody wants of a recording.

    Attributes:
        file: How it is read and decoded.
        utterances: Whether to list the utterances.
        punctuate: Whether the transcript has punctuation and capitals.
        multi: Whether the language is to be named in the alternative.
        detect_language: Whether it is to be named in the channel.
        told: Headers of the answer, about what was ignored.
    """

    file: FileRequest
    utterances: bool = False
    punctuate: bool = True
    multi: bool = False
    detect_language: bool = False
    told: Mapping[str, str] | None = None


def live_options(fields: Fields, served: Served) -> LiveOptions:
    """The options of a query; names that mean nothing here are ignored.

    Raises:
        RequestRefused: It asks for what this server does not have, or does not make sense.
    """
    form = Form(fields)
    _check(form, served)
    encoding = form.text("encoding")
    if not encoding:
        _refuse("encoding", "encoding and sample_rate are needed: containers are not decoded live")
    if encoding not in _ENCODINGS:
        _refuse("encoding", f"encoding is one of {', '.join(_ENCODINGS)}, not {encoding[:50]!r}")
    channels = _number(form, "channels", 1, _MAX_CHANNELS) or 1
    if channels > 1 and form.flag("multichannel"):
        _refuse("multichannel", "multichannel is not supported: without it the channels are mixed")
    pause_ms, speech_final = _endpointing(form)
    gap_ms = _number(form, "utterance_end_ms")
    wished = {"endpointing": (pause_ms, MIN_ENDPOINTING_MS, MAX_ENDPOINTING_MS)}
    wished["utterance_end_ms"] = (gap_ms, MIN_UTTERANCE_END_MS, MAX_UTTERANCE_END_MS)
    fit = {
        name: None if wish is None else max(least, min(most, wish))
        for name, (wish, least, most) in wished.items()
    }
    clamped = [f"{name}={fit[name]}" for name in fit if fit[name] != wished[name][0]]
    pause_ms = fit["endpointing"]
    interim_results = form.flag("interim_results")
    return LiveOptions(
        SessionRequest(
            encoding=_ENCODINGS[encoding],
            sample_rate_hz=_rate(form, encoding),
            channels=channels,
            language=_language(form, served) or AUTO,
            vocabulary=_keyterms(form).kept,
            partials=interim_results,
            endpointing=Endpointing(pause_ms / 1000, end_of_turn=False) if pause_ms else None,
            speakers=_speakers(form, served),
        ),
        speech_final=speech_final,
        interim_results=interim_results,
        vad_events=form.flag("vad_events"),
        utterance_end_ms=fit["utterance_end_ms"],
        punctuate=_punctuate(form),
        multi=_is_multi(form),
        told=_told(form, clamped),
    )


def recording_options(fields: Fields, served: Served) -> RecordingOptions:
    """The options of a query that comes with a recording.

    Raises:
        RequestRefused: It asks for what this server does not have, or does not make sense.
    """
    form = Form(fields)
    _check(form, served)
    if form.flag("multichannel"):
        _refuse("multichannel", "multichannel is not supported: without it the channels are mixed")
    encoding, rate_hz = form.text("encoding"), None
    if encoding:
        if encoding != "linear16" or (_number(form, "channels", 1, _MAX_CHANNELS) or 1) != 1:
            _refuse("encoding", "only linear16 with one channel needs no header: else send a file as it is")
        rate_hz = _rate(form, encoding)
    return RecordingOptions(
        FileRequest(
            format="verbose_json",
            language=_language(form, served),
            vocabulary=_keyterms(form).kept,
            words=True,
            speakers=_speakers(form, served),
            raw_rate_hz=rate_hz,
        ),
        utterances=form.flag("utterances"),
        punctuate=_punctuate(form),
        multi=_is_multi(form),
        detect_language=form.flag("detect_language"),
        told=_told(form, []),
    )


def _check(form: Form, served: Served) -> None:
    """Refuse what cannot be ignored: results that would go elsewhere, or show what was to be hidden."""
    model = form.text("model")
    if model and model not in served.names and not _DEEPGRAM_MODELS.fullmatch(model):
        known = ", ".join(served.names)
        _refuse("model", f"no such model: {model[:100]!r}; this server has {known}")
    if form.text("callback"):
        _refuse("callback", "callback is not supported: this server calls nobody")
    if form.text("redact", "false").casefold() != "false":
        _refuse("redact", "redact is not supported: the transcript would show all that was said")


def _rate(form: Form, encoding: str) -> int:
    rate_hz = _number(form, "sample_rate", *_RATES_HZ)
    if rate_hz is None and encoding not in ("mulaw", "alaw"):
        _refuse("sample_rate", f"sample_rate is needed with encoding={encoding}")
    return rate_hz or _RATES_HZ[0]


def _number(form: Form, name: str, least: int = 0, most: int = 1_000_000) -> int | None:
    text = form.text(name)
    if not text:
        return None
    number = int(text) if re.fullmatch(r"[0-9]{1,7}", text) else -1
    if not least <= number <= most:
        _refuse(name, f"{name} is a whole number from {least} to {most}, not {text[:50]!r}")
    return number


def _endpointing(form: Form) -> tuple[int | None, bool]:
    """The pause that ends an utterance, in ms, None for the server's; and whether ends are marked."""
    text = form.text("endpointing").casefold()
    if text in ("", "true", "false"):
        return None, text != "false"
    return _number(form, "endpointing"), True


def _speakers(form: Form, served: Served) -> bool:
    asked = _asked(form, _DIARIZE)
    if asked and not served.speakers:
        _refuse(asked[0], f"{LACKING}: leave out {asked[0]}")
    return bool(asked)


def _language(form: Form, served: Served) -> str:
    """A code, "auto", or nothing for the server's setting."""
    if _is_multi(form) or form.flag("detect_language"):
        return AUTO if served.multilingual else ""
    return code_of(form.text("language"), served)


def _is_multi(form: Form) -> bool:
    return form.text("language").casefold() == "multi"


def _punctuate(form: Form) -> bool:
    return form.flag("punctuate", True) or form.flag("smart_format")


def _keyterms(form: Form) -> Fit:
    """Key terms, and keywords by their weights; a keyword that is to be suppressed is none."""
    terms = [(term, 1.0) for term in form.items("keyterm")] + [
        _weighted(keyword) for keyword in form.items("keywords")
    ]
    heaviest_first = sorted(terms, key=lambda term: -term[1])
    return fit(usable_terms(term for term, weight in heaviest_first if weight > 0))


def _weighted(keyword: str) -> tuple[str, float]:
    """A term and its weight, such as 2 in "word:2"; 1 where there is none.

    Raises:
        RequestRefused: The weight is no number that can be weighed.
    """
    found = re.fullmatch(r"(.*):(-?[0-9]{1,6}(?:\.[0-9]{1,6})?)", keyword, re.DOTALL)
    if not found and _LIKE_WEIGHT.search(keyword):
        _refuse(
            "keywords", f"a weight of keywords is a number below a million, as in word:2: {keyword[-50:]!r}"
        )
    return (found[1], float(found[2])) if found else (keyword, 1.0)


def _told(form: Form, clamped: list[str]) -> Mapping[str, str]:
    terms = _keyterms(form)
    if terms.left_out:
        clamped = [*clamped, f"keyterm={len(terms.kept)}"]
    told = {"dg-clamped": clamped, "dg-ignored": _asked(form, _NOT_DONE)}
    return {name: ", ".join(values) for name, values in told.items() if values}


def _asked(form: Form, names: Sequence[str]) -> list[str]:
    """Those of some options that were asked for."""
    return [name for name in names if form.text(name, "false").casefold() != "false"]


def _refuse(name: str, message: str) -> NoReturn:
    raise bad_request(message, name)
