"""The answer of `POST /v1/audio/transcriptions` as a hypothesis: verbose_json, or json (text alone)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from asrctl.errors import DecodeError
from asrctl.transcript import Hypothesis, Segment, Word


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
    words = [_word(each, duration_s) for each in _objects(answer.get("words"))]
    segments = [_segment(each, duration_s, words) for each in _objects(answer.get("segments"))]
    if not any(segment.text for segment in segments):
        segments = [_whole(text.strip(), duration_s, words)]
    spoken = tuple(segment for segment in segments if segment.text)
    return Hypothesis(spoken, _language(answer.get("language"), language), inference_s)


def message_of(body: bytes) -> str:
    """What an error's body says, for people: OpenAI's `error`, FastAPI's `detail`; empty if it says nothing."""
    try:
        answer = _object(body)
    except DecodeError:
        return ""
    said = answer.get("error") or answer.get("detail") or answer.get("message")
    if isinstance(said, Mapping):
        said = said.get("message") or said.get("detail")
    if isinstance(said, str):
        return said
    return "; ".join(filter(None, map(_invalid_field, _objects(said))))


def _invalid_field(problem: Mapping[str, Any]) -> str:
    """One of FastAPI's complaints about a request: which field, and what is wrong with it."""
    place, message = problem.get("loc"), problem.get("msg")
    named = [str(part) for part in place if part != "body"] if isinstance(place, list) else []
    return ": ".join([*filter(None, [".".join(named)]), message]) if isinstance(message, str) else ""


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
    """Servers name the language by its code or by its English name; only a code is of use."""
    return said if isinstance(said, str) and 2 <= len(said) <= 3 and said.isascii() else asked


def _word(raw: Mapping[str, Any], duration_s: float) -> Word:
    start_s, end_s = _span(raw, duration_s)
    probability = raw.get("probability")
    text = raw.get("word")
    confidence = _number(probability, 1.0) if probability is not None else 1.0
    return Word(start_s, end_s, text.strip() if isinstance(text, str) else "", min(max(confidence, 0.0), 1.0))


def _segment(raw: Mapping[str, Any], duration_s: float, words: Sequence[Word]) -> Segment:
    start_s, end_s = _span(raw, duration_s)
    text = raw.get("text")
    own = [_word(each, duration_s) for each in _objects(raw.get("words"))]
    within = own or [word for word in words if start_s <= (word.start_s + word.end_s) / 2 < end_s]
    confidence = math.exp(min(0.0, _number(raw.get("avg_logprob"), 0.0)))
    return Segment(
        start_s,
        end_s,
        text.strip() if isinstance(text, str) else "",
        confidence,
        tuple(word for word in within if word.text),
    )


def _whole(text: str, duration_s: float, words: Sequence[Word]) -> Segment:
    return Segment(0.0, duration_s, text, 1.0, tuple(word for word in words if word.text))


def _span(raw: Mapping[str, Any], duration_s: float) -> tuple[float, float]:
    start_s = min(max(_number(raw.get("start"), 0.0), 0.0), duration_s)
    return start_s, min(max(_number(raw.get("end"), duration_s), start_s), duration_s)


def _number(value: object, otherwise: float) -> float:
    """A finite number, or the alternative."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else otherwise  # type: ignore[arg-type]
