"""The door: what is checked of a request before it costs anything."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from asrctl.policy.admission import Refusal
from asrctl.protocol.codes import SUBPROTOCOL
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


def unavailable(refusal: Refusal) -> Denial:
    """There is no place for a session."""
    return Denial(503, "capacity", refusal.reason, {"Retry-After": str(refusal.retry_after_s)})


def headers_of(connection: HTTPConnection) -> dict[str, str]:
    """Headers by their names, which ASGI gives in lower case; of those that come twice the last."""
    return dict(connection.headers.items())


class Gate:
    """Checks where a request comes from and what it knows."""

    def __init__(self, api_key: str, allow_origins: frozenset[str], host: str = "") -> None:
        """`host` is the address or name that the server was told to listen on."""
        self._api_key = api_key
        self._allow_origins = allow_origins
        named = (urlsplit(origin).hostname for origin in allow_origins)
        self._hosts = frozenset({host.casefold(), *(name for name in named if name)})

    def check(self, headers: Mapping[str, str], subprotocols: Sequence[str]) -> Denial | None:
        """Whether an upgrade is refused; headers by lower-case name."""
        if not self._knows_origin(headers.get("origin")) and not self._is_own_page(headers):
            return Denial(403, "origin", "web pages from there may not use this server")
        if denial := self.check_key(headers, subprotocols):
            return denial
        if SUBPROTOCOL not in subprotocols:
            return Denial(400, "subprotocol", f"offer the subprotocol {SUBPROTOCOL}")
        return None

    def check_request(self, headers: Mapping[str, str], *, with_key: bool = True) -> Denial | None:
        """Whether a request that makes work is refused; browsers ask whether they may without the key."""
        if not self._knows_origin(headers.get("origin")) and not self._is_own_page(headers):
            return Denial(403, "origin", "web pages from there may not use this server")
        return (self.check_key(headers) if with_key else None) or self.check_host(headers)

    def check_page(self, headers: Mapping[str, str]) -> Denial | None:
        """Whether a request for a page is refused that only those with the key may see, if there is one."""
        return self.check_key(headers) or self.check_host(headers)

    def check_host(self, headers: Mapping[str, str]) -> Denial | None:
        """Whether a request came to a name that is not this server's: a web page that had the name of its own
        site resolved to this machine could read the answer. Where a key is needed, it protects the pages."""
        host = headers.get("host", "")
        if self._api_key or not host or self._is_ours(host):
            return None
        return Denial(403, "host", "this server has no such name: take its address, or name the web origin")

    def _is_ours(self, host: str) -> bool:
        """Addresses, names that the public DNS cannot hold, and what the server was told."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if name in self._hosts or ("." not in name and ":" not in name):
            return True
        return _is_address(name) or name.endswith((".localhost", ".local"))

    def check_key(
        self, headers: Mapping[str, str], subprotocols: Sequence[str] = (), *, keys: Sequence[str] = ()
    ) -> Denial | None:
        """Whether a request lacks the key; `keys` were offered in other ways."""
        scheme, _, offered = headers.get("authorization", "").partition(" ")
        keys = [*keys, offered.strip()] if scheme.lower() in ("bearer", "token") else [*keys]
        keys += [headers["api-key"].strip()] if "api-key" in headers else []
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
        return host is not None and (is_loopback(host) or host.endswith(".localhost"))

    def _is_own_page(self, headers: Mapping[str, str]) -> bool:
        """Whether this server served the page, under a name that no other site can have taken on for it."""
        host = headers.get("host", "").casefold()
        served_here = bool(host) and headers.get("origin", "").partition("://")[2].casefold() == host
        return served_here and (bool(self._api_key) or self._is_ours(host))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
