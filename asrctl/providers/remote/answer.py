"""The answer of `POST /v1/audio/transcriptions` as a hypothesis: verbose_json, or json (text alone)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from asrctl.errors import DecodeError
from asrctl.languages import NAMES
from asrctl.providers.tokens import Token, words_of
from asrctl.transcript import Hypothesis, Segment, Word

_CODES = {name: code for code, name in NAMES.items()}


def hypothesis_of(body: bytes, duration_s: float, language: str, inference_s: float) -> Hypothesis:
    """Read an answer; times are held within the window.

    Args:
        body: JSON.
        duration_s: Length of the window.
        language: What was asked for; used where the answer names no code.
        inference_s: How long the answer took.

    Raises:
        DecodeError: It is no transcription.
    """
    answer = _object(body)
    text = answer.get("text")
    if not isinstance(text, str):
        raise DecodeError("the server's answer has no text")
    language = _language(answer.get("language"), language)
    words = _words(answer.get("words"), duration_s, language)
    segments = [_segment(each, duration_s, words, language) for each in _objects(answer.get("segments"))]
    if not any(segment.text for segment in segments):
        segments = [Segment(0.0, duration_s, text.strip(), 1.0, words)]
    return Hypothesis(tuple(segment for segment in segments if segment.text), language, inference_s)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise DecodeError("the server's answer is no JSON object")
    return answer


def _objects(value: object) -> list[Mapping[str, Any]]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return []
    return [each for each in value if isinstance(each, Mapping)]


def _language(said: object, asked: str) -> str:
    """Servers name the language by its code or by its English name."""
    name = said.lower() if isinstance(said, str) else ""
    return name if name in NAMES else _CODES.get(name, asked)


def _words(listed: object, duration_s: float, language: str) -> tuple[Word, ...]:
    """Words; or tokens, as whisper.cpp's server has them: then a space in front begins a word."""
    tokens = [_token(each, duration_s) for each in _objects(listed)]
    if any(token.raw.startswith(b" ") for token in tokens):
        return words_of(tokens, language)
    words = (
        Word(token.start_s, token.end_s, token.raw.decode().strip(), token.probability) for token in tokens
    )
    return tuple(word for word in words if word.text)


def _token(raw: Mapping[str, Any], duration_s: float) -> Token:
    start_s, end_s = _span(raw, duration_s)
    text = raw.get("word")
    encoded = text.encode("utf-8", "replace") if isinstance(text, str) else b""
    return Token(encoded, start_s, end_s, min(max(_number(raw.get("probability"), 1.0), 0.0), 1.0))


def _segment(raw: Mapping[str, Any], duration_s: float, words: Sequence[Word], language: str) -> Segment:
    start_s, end_s = _span(raw, duration_s)
    text = raw.get("text")
    own = _words(raw.get("words"), duration_s, language)
    within = own or [word for word in words if start_s <= (word.start_s + word.end_s) / 2 < end_s]
    confidence = math.exp(min(0.0, _number(raw.get("avg_logprob"), 0.0)))
    return Segment(
        start_s,
        end_s,
        text.strip() if isinstance(text, str) else "",
        confidence,
        tuple(within),
    )


def _span(raw: Mapping[str, Any], duration_s: float) -> tuple[float, float]:
    start_s = min(max(_number(raw.get("start"), 0.0), 0.0), duration_s)
    return start_s, min(max(_number(raw.get("end"), duration_s), start_s), duration_s)


def _number(value: object, otherwise: float) -> float:
    """A finite number, or the alternative."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else otherwise  # type: ignore[arg-type]
