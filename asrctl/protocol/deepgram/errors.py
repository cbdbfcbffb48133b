"""What is wrong with a request, in the shape that Deepgram's clients read."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from asrctl.protocol.openai.errors import RequestRefused

_UNAUTHORISED = 401
_MAX_HEADER_CHARS = 300


def error_body(refusal: RequestRefused, request_id: str) -> dict[str, object]:
    """The body of an answer other than 200."""
    status = refusal.status
    code = "INVALID_AUTH" if status == _UNAUTHORISED else HTTPStatus(status).phrase
    return {"err_code": code, "err_msg": refusal.message, "request_id": request_id}


def error_headers(refusal: RequestRefused, request_id: str) -> Mapping[str, str]:
    """Headers of such an answer: of a refused upgrade most clients do not see the body."""
    message = refusal.message.encode("ascii", "replace").decode()
    plain = "".join(character if character.isprintable() else " " for character in message)
    return {**refusal.headers, "dg-error": plain[:_MAX_HEADER_CHARS], "dg-request-id": request_id}
