"""The door: what is checked of a request before it costs anything."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from asrctl.protocol import SUBPROTOCOL
from asrctl.server.options import is_loopback

KEY_PREFIX = "asrctl.key."
"""Browsers cannot set headers: they offer the key as a second subprotocol with this prefix."""


@dataclass(frozen=True, slots=True)
class Denial:
    """An HTTP answer in place of the upgrade."""

    status: int
    reason: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Gate:
    """Checks where a request comes from and what it knows."""

    def __init__(self, api_key: str, allow_origins: frozenset[str]) -> None:
        self._api_key = api_key
        self._allow_origins = allow_origins

    def check(self, headers: Mapping[str, str], subprotocols: Sequence[str]) -> Denial | None:
        """Whether an upgrade is refused; headers by lower-case name."""
        if not self._knows_origin(headers.get("origin")):
            return Denial(403, "origin", "web pages from there may not use this server")
        if denial := self.check_key(headers, subprotocols):
            return denial
        if SUBPROTOCOL not in subprotocols:
            return Denial(400, "subprotocol", f"offer the subprotocol {SUBPROTOCOL}")
        return None

    def check_key(self, headers: Mapping[str, str], subprotocols: Sequence[str] = ()) -> Denial | None:
        """Whether a request lacks the key."""
        scheme, _, offered = headers.get("authorization", "").partition(" ")
        keys = [offered.strip()] if scheme.lower() == "bearer" else []
        keys += [each.removeprefix(KEY_PREFIX) for each in subprotocols if each.startswith(KEY_PREFIX)]
        if not self._api_key or any(self._fits(key) for key in keys):
            return None
        return Denial(401, "key", "an API key is needed", {"WWW-Authenticate": "Bearer"})

    def _fits(self, key: str) -> bool:
        return hmac.compare_digest(key.encode("utf-8", "replace"), self._api_key.encode())

    def _knows_origin(self, origin: str | None) -> bool:
        """Programs send none; pages of this machine may, others must be named."""
        if origin is None or origin in self._allow_origins:
            return True
        try:
            host = urlsplit(origin).hostname
        except ValueError:
            return False
        return host is not None and is_loopback(host)
