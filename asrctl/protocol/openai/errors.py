"""What is wrong with a request, in the shape that OpenAI's clients read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_SERVER_ERROR = 500


@dataclass(eq=False)
class RequestRefused(Exception):
    """A request that cannot be served, and the answer to it, which is none of 200.

    Attributes:
        status: Of HTTP. Clients retry 408, 409, 429 and 5xx.
        code: Short name for programs.
        message: One line for people.
        param: The field that is to blame, None for none.
        headers: What else to send.
    """

    status: int
    code: str
    message: str
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message

    def body(self) -> dict[str, object]:
        """As OpenAI says it."""
        kind = "server_error" if self.status >= _SERVER_ERROR else "invalid_request_error"
        return {
            "error": {"message": self.message, "type": kind, "param": self.param, "code": self.code},
        }


def bad_request(message: str, param: str | None, code: str = "invalid_value") -> RequestRefused:
    """Something in the form is wrong: the same request will fail again."""
    return RequestRefused(400, code, message, param)


def overloaded(message: str, retry_after_s: int) -> RequestRefused:
    """Not now. Never 408 or 409, and never longer than the two minutes that clients accept to wait."""
    seconds = str(max(1, min(120, retry_after_s)))
    return RequestRefused(503, "overloaded", message, headers={"Retry-After": seconds})
