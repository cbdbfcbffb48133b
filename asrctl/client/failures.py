"""Everything that can go wrong with a socket, mapped once to one kind of failure."""

from __future__ import annotations

import email.utils
import os
import re
import ssl
import time
from collections.abc import Mapping

from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    NegotiationError,
    WebSocketException,
)

from asrctl.policy.protocol import CloseCode, Error

_RETRIED_STATUS = frozenset({408, 425, 429})
"""Besides those from 500 on."""
_REFUSED = {401: "the server wants another API key", 403: "the server does not let this client in"}
_FATAL_CODES = frozenset(
    {CloseCode.UNSUPPORTED_DATA, CloseCode.INVALID_DATA, CloseCode.TOO_BIG, CloseCode.BAD_REQUEST}
)
"""The server says that the client is at fault: it will be again."""
_AT_ONCE_CODES = frozenset({CloseCode.SESSION_GONE, CloseCode.OFFSET_GAP, CloseCode.UNAUTHORISED})
"""The server is well, and a new session is all that it takes."""
_MEANINGS: Mapping[int, str] = {
    CloseCode.INTERNAL: "the server failed",
    CloseCode.RESTART: "the server restarts",
    CloseCode.OVERLOAD: "the server is overloaded",
    CloseCode.REPLACED: "another client took the session over",
    CloseCode.IDLE: "the server heard nothing for too long",
    CloseCode.SESSION_GONE: "the server does not know the session any more",
}


class LinkFailure(Exception):
    """A connection that failed, or a link that was lost.

    Attributes:
        reason: For people, in a few words.
        retry_after_s: What the server asked for.
        fatal: Whether trying again would end the same way.
        soon: Whether the server restarts, and wants its clients back soon.
        close_code: Of the close frame, if one came.
    """

    def __init__(
        self,
        reason: str,
        retry_after_s: float | None = None,
        *,
        fatal: bool = False,
        soon: bool = False,
        close_code: int | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.fatal = fatal
        self.soon = soon
        self.close_code = close_code

    @property
    def at_once(self) -> bool:
        """Whether a new session on a new socket will do, without any wait."""
        return self.close_code in _AT_ONCE_CODES


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
    if isinstance(error, ssl.SSLCertVerificationError):
        return LinkFailure(f"the server's certificate does not verify: {error.verify_message}", fatal=True)
    if isinstance(error, TimeoutError):
        return LinkFailure("no answer in time")
    if isinstance(error, InvalidHandshake):
        return LinkFailure(f"the handshake failed: {error}")
    if isinstance(error, OSError):
        return LinkFailure(_system_reason(error))
    return LinkFailure(f"the connection failed: {error or type(error).__name__}")


def _system_reason(error: OSError) -> str:
    """The system's words for it; asyncio's are "Connect call failed", and a list if a host has addresses."""
    number = error.errno
    if number is None and (found := re.search(r"\[Errno (\d+)\]", str(error))):
        number = int(found[1])
    if number is not None and number > 0:
        return os.strerror(number).lower()
    return (error.strerror or str(error) or type(error).__name__).lower()


def _closed(error: ConnectionClosed, said: Error | None) -> LinkFailure:
    if error.rcvd is None:
        silent = error.sent is not None and error.sent.code == CloseCode.INTERNAL  # no pong came
        return LinkFailure("the server stopped answering" if silent else "the connection was lost")
    code = error.rcvd.code
    other = " ".join(f"the server closed the connection: {code} {error.rcvd.reason}".split())
    return LinkFailure(
        f"the server says: {said.message}" if said else _MEANINGS.get(code, other),
        retry_after_s=said.retry_after_s if said else None,
        fatal=code in _FATAL_CODES,
        soon=code == CloseCode.RESTART,
        close_code=code,
    )


def _status(error: InvalidStatus) -> LinkFailure:
    status, headers = error.response.status_code, error.response.headers
    retried = status >= 500 or status in _RETRIED_STATUS
    reason = _REFUSED.get(status) or ("the server is full" if status == 503 else f"HTTP {status}")
    return LinkFailure(reason, retry_after_s_of(headers) if retried else None, fatal=not retried)


def retry_after_s_of(headers: Mapping[str, str]) -> float | None:
    """The header's seconds, or its date as seconds from now; None if it is missing or makes no sense."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:10])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
