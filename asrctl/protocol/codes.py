"""Why a socket of `asrctl.v1` is closed, and what goes wrong before."""

from __future__ import annotations

from enum import IntEnum

SUBPROTOCOL = "asrctl.v1"
"""Name that both sides offer in `Sec-WebSocket-Protocol`."""
LACKING = (
    "this server lacks asrctl's extra speakers, to tell them apart "
    "(pip install 'asrctl[speakers]', and the weights that its README names)"
)
"""Where speakers are asked for, and cannot be told apart."""


class CloseCode(IntEnum):
    """Close codes of the protocol; those below 4000 mean what RFC 6455 and its registry say."""

    NORMAL = 1000
    UNSUPPORTED_DATA = 1003
    INVALID_DATA = 1007
    POLICY = 1008
    TOO_BIG = 1009
    INTERNAL = 1011
    RESTART = 1012
    OVERLOAD = 1013
    REPLACED = 4001
    BAD_REQUEST = 4400
    UNAUTHORISED = 4401
    IDLE = 4408
    OFFSET_GAP = 4409
    SESSION_GONE = 4410


class Violation(Exception):
    """The other side broke the protocol, or cannot be served: the socket is closed with this.

    Attributes:
        close_code: Code of the close frame.
        code: Short name for programs, sent as `error.code`.
        message: One line for people, sent as `error.message`.
        retry_after_s: When to come back, where that is known.
    """

    def __init__(
        self, close_code: CloseCode, code: str, message: str, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.close_code = close_code
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s


def bad_request(message: str) -> Violation:
    """What the other side says makes no sense, or asks for what there is not."""
    return Violation(CloseCode.BAD_REQUEST, "bad_request", message)
