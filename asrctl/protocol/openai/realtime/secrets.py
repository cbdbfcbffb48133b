"""Keys for browsers: each opens one kind of session until it expires, and is signed, so that none is kept."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

from asrctl.protocol.openai.errors import RequestRefused, bad_request
from asrctl.protocol.openai.realtime.given import Given

PREFIX = "ek_"
_LEAST_S, _MOST_S, _DEFAULT_S = 10, 7200, 600
_MOST_CHARS = 4_000
"""A key is sent in a header, whose length servers bound."""
_SIGNATURE_CHARS = 43


class Secrets:
    """Makes such keys, and knows them again."""

    def __init__(self, key: bytes, now_s: Callable[[], float]) -> None:
        """Prepare.

        Args:
            key: Random, and known to nobody else.
            now_s: Seconds of the Unix epoch.
        """
        self._key = key
        self._now_s = now_s

    def issue(self, session: dict[str, Any], expires_after: object = None) -> tuple[str, int]:
        """A key that carries a session's wishes, and when it expires, in seconds of the Unix epoch.

        Raises:
            RequestRefused: The time makes no sense, or the session is too large for a header.
        """
        given = Given.of(expires_after, "expires_after")
        given.choice("anchor", ("created_at",), "created_at")
        seconds = given.number("seconds", _LEAST_S, _MOST_S)
        expires_at = int(self._now_s() + (_DEFAULT_S if seconds is None else seconds))
        said = _text(json.dumps([expires_at, session], separators=(",", ":")).encode())
        if len(said) > _MOST_CHARS:
            raise bad_request("the session is too large: send it by session.update", "session")
        return f"{PREFIX}{self._signature(said)}{said}", expires_at

    def session(self, value: str) -> dict[str, Any]:
        """The wishes that a key carries.

        Raises:
            RequestRefused: It is none of ours, or has expired.
        """
        signature, said = value[len(PREFIX) :][:_SIGNATURE_CHARS], value[len(PREFIX) :][_SIGNATURE_CHARS:]
        if not hmac.compare_digest(signature.encode(), self._signature(said).encode()):
            raise _wrong("the client secret is wrong, or from before the server's last start")
        try:
            expires_at, session = json.loads(base64.urlsafe_b64decode(said + "=" * (-len(said) % 4)))
        except (binascii.Error, ValueError):  # pragma: no cover (it was signed here)
            raise _wrong("the client secret is wrong") from None
        if self._now_s() >= expires_at:
            raise _wrong("the client secret has expired")
        return dict(session)

    def _signature(self, said: str) -> str:
        return _text(hmac.digest(self._key, said.encode("utf-8", "surrogatepass"), hashlib.sha256))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _wrong(message: str) -> RequestRefused:
    return RequestRefused(401, "invalid_api_key", message, headers={"WWW-Authenticate": "Bearer"})
