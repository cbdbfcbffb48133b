"""What servers say about a refusal, in their own words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from asrctl.network.text import safe_text

_MOST_SHOWN = 300


def message_of(body: bytes) -> str:
    """What an error's body says, for people: OpenAI's `error`, FastAPI's `detail`; empty for nothing."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(answer, Mapping):
        return ""
    said = answer.get("error") or answer.get("detail") or answer.get("message")
    while isinstance(said, Mapping):
        said = said.get("message") or said.get("error") or said.get("detail")
    if isinstance(said, str):
        return said
    problems = said if isinstance(said, Sequence) else ()
    return "; ".join(filter(None, (_invalid_field(each) for each in problems if isinstance(each, Mapping))))


def _invalid_field(problem: Mapping[str, Any]) -> str:
    """One of FastAPI's complaints about a request: which field, and what is wrong with it."""
    place, message = problem.get("loc"), problem.get("msg")
    named = [str(part) for part in place if part != "body"] if isinstance(place, list) else []
    return ": ".join([*filter(None, [".".join(named)]), message]) if isinstance(message, str) else ""


def said_by(phrase: str, headers: Mapping[str, str], body: bytes) -> str:
    """What a refusal says, as one line; pages for browsers, and the name of the status, say nothing.

    It is not shortened before keys are hidden in it.

    Args:
        phrase: The name of the status.
        headers: By name.
        body: As it came.
    """
    is_text = headers.get("Content-Type", "").startswith("text/plain")
    said = headers.get("dg-error") or message_of(body)  # Deepgram has its reasons in a header
    said = said or (body.decode(errors="replace") if is_text else "")
    line = " ".join(safe_text(said).split())
    return "" if line.casefold() == phrase.casefold() else line


def presentable(text: str, key: str = "") -> str:
    """Text for people on one line, not too long, without a server's key."""
    text = " ".join(text.split())
    return (text.replace(key, "[key]") if key else text)[:_MOST_SHOWN]
