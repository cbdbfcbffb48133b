"""What goes wrong between a client and a server, as one kind of failure."""

from __future__ import annotations

import email.utils
import os
import re
import ssl
import time
from collections.abc import Mapping

from asrctl.network.text import safe_text

_NOT_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"}
)
"""What OpenSSL calls an answer that is plain HTTP, by version and by what it answers."""


class LinkFailure(Exception):
    """A connection that failed, or a link that was lost.

    Attributes:
        reason: For people, in a few words; safe to print, whoever's words they are.
        retry_after_s: What the server asked for.
        fatal: Whether trying again would end the same way.
        soon: Whether the server restarts, and wants its clients back soon.
        answered: Whether the other side said anything, so that somebody is there.
        close_code: Of the close frame, if one came.
        at_once: Whether the next attempt needs no wait, since the server is well; set by whoever knows.
    """

    def __init__(
        self,
        reason: str,
        retry_after_s: float | None = None,
        *,
        fatal: bool = False,
        soon: bool = False,
        answered: bool = False,
        close_code: int | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = safe_text(reason)
        self.retry_after_s = retry_after_s
        self.fatal = fatal
        self.soon = soon
        self.answered = answered
        self.close_code = close_code
        self.at_once = False


def network_failure(error: OSError) -> LinkFailure:
    """What the system's own errors mean."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return LinkFailure(f"the server's certificate does not verify: {error.verify_message}", fatal=True)
    if isinstance(error, ssl.SSLError) and error.reason in _NOT_TLS:
        return LinkFailure("the server does not speak TLS: leave out the s of wss:// or https://", fatal=True)
    if isinstance(error, ssl.SSLError):  # its number is not the system's
        return LinkFailure(f"TLS failed: {(error.reason or str(error)).replace('_', ' ').lower()}")
    if isinstance(error, TimeoutError):
        return LinkFailure("no answer in time")
    return LinkFailure(_system_reason(error))


def _system_reason(error: OSError) -> str:
    """The system's words for it; asyncio's are "Connect call failed", and a list if a host has addresses."""
    number = error.errno
    if number is None and (found := re.search(r"\[Errno (\d+)\]", str(error))):
        number = int(found[1])
    if number is not None and number > 0:
        return os.strerror(number).lower()
    return (error.strerror or str(error) or type(error).__name__).lower()


def retry_after_s_of(headers: Mapping[str, str]) -> float | None:
    """The header's seconds, or its date as seconds from now; None if it is missing or makes no sense."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:10])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
