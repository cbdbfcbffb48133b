"""Everything that can go wrong with a WebSocket, mapped once to one kind of failure."""

from __future__ import annotations

from collections.abc import Mapping

from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    NegotiationError,
    WebSocketException,
)

from asrctl.network.answers import said_by
from asrctl.network.failures import LinkFailure, network_failure, retry_after_s_of
from asrctl.protocol.codes import CloseCode
from asrctl.protocol.messages import Error

_RETRIED_STATUS = frozenset({408, 425, 429})
"""Besides those from 500 on."""
_REFUSED = {
    401: "invalid API key (401)",
    403: "the server does not let this client in (403)",
    404: "the server has nothing at this address (HTTP 404)",
    503: "the server is full, or still loading (503)",
}
_FATAL_CODES = frozenset(
    {CloseCode.UNSUPPORTED_DATA, CloseCode.INVALID_DATA, CloseCode.TOO_BIG, CloseCode.BAD_REQUEST}
)
"""The server says that the client is at fault: it will be again."""
_MEANINGS: Mapping[int, str] = {
    CloseCode.INTERNAL: "the server failed",
    CloseCode.RESTART: "the server restarts",
    CloseCode.OVERLOAD: "the server is overloaded",
    CloseCode.REPLACED: "another client took the session over",
    CloseCode.IDLE: "the server heard nothing for too long",
    CloseCode.SESSION_GONE: "the server does not know the session any more",
}

MAPPED = (OSError, TimeoutError, EOFError, WebSocketException)
"""What `link_failure` maps; anything else is a bug."""


def link_failure(error: BaseException, said: Error | None = None) -> LinkFailure:
    """What an exception of `MAPPED` means; `said` is the `error` message that came before, if one did."""
    if isinstance(error, ConnectionClosed):
        return _closed(error, said)
    if isinstance(error, InvalidStatus):
        return _status(error)
    if isinstance(error, InvalidURI):
        return LinkFailure(f"{error.uri} is no address of a WebSocket server", fatal=True)
    if isinstance(error, NegotiationError):
        return LinkFailure("the server does not speak asrctl.v1", fatal=True)
    if isinstance(error, InvalidHandshake):
        return LinkFailure(f"the handshake failed: {error}")
    if isinstance(error, OSError):
        return network_failure(error)
    return LinkFailure(f"the connection failed: {error or type(error).__name__}")


def _closed(error: ConnectionClosed, said: Error | None) -> LinkFailure:
    if error.rcvd is None:
        if error.sent is not None and error.sent.code == CloseCode.TOO_BIG:
            return LinkFailure("the server sends messages that are too long", fatal=True)
        silent = error.sent is not None and error.sent.code == CloseCode.INTERNAL  # no pong came
        return LinkFailure("the server stopped answering" if silent else "the connection was lost")
    code = error.rcvd.code
    other = " ".join(f"the server closed the connection: {code} {error.rcvd.reason}".split())
    return LinkFailure(
        f"the server says: {said.message}" if said else _MEANINGS.get(code, other),
        retry_after_s=said.retry_after_s if said else None,
        fatal=code in _FATAL_CODES,
        soon=code == CloseCode.RESTART,
        answered=True,
        close_code=code,
    )


def refusal_of(error: InvalidStatus) -> str:
    """What the server says about its refusal, as `said_by` has it."""
    response = error.response
    return said_by(response.reason_phrase, response.headers, bytes(response.body or b""))


def _status(error: InvalidStatus) -> LinkFailure:
    status, headers = error.response.status_code, error.response.headers
    retried = status >= 500 or status in _RETRIED_STATUS
    reason, said = _REFUSED.get(status, f"HTTP {status}"), refusal_of(error)
    if said:
        reason += f": {said}"
    retry_after_s = retry_after_s_of(headers) if retried else None
    return LinkFailure(reason, retry_after_s, fatal=not retried, answered=True)
