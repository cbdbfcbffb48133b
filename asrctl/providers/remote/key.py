"""The key to a server: from the settings, the environment or the keyring; and kept out of what is said."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec

from asrctl.providers.remote.settings import RemoteSettings

_KEYRING_SERVICE = "asrctl"
_VENDOR_VARIABLES = {"api.openai.com": "OPENAI_API_KEY"}
"""A vendor's own variable is given to that vendor alone."""


def find_key(
    settings: RemoteSettings,
    environ: Mapping[str, str] = os.environ,
    keyring: Callable[[str], str] | None = None,
) -> str:
    """The first of: `settings.api_key`; the vendor's variable at the vendor's host; the keyring's entry for
    service "asrctl" and the host's name, if the package `keyring` is installed. Empty if there is none."""
    host = settings.address.host
    if settings.api_key:
        return settings.api_key
    if key := environ.get(_VENDOR_VARIABLES.get(host, ""), "").strip():
        return key
    return (keyring or _from_keyring)(host)


def _from_keyring(host: str) -> str:
    if find_spec("keyring") is None:
        return ""
    try:
        return importlib.import_module("keyring").get_password(_KEYRING_SERVICE, host) or ""
    except Exception:  # locked, or without a backend: whose errors are many, and their own
        return ""


class Redactor:
    """Takes a server's key, and its URL, out of texts for people."""

    def __init__(self, key: str, url: str, place: str) -> None:
        self._key = key
        self._url = url
        self._place = place

    def __call__(self, text: str) -> str:
        """The text on one line, not too long, without what nobody should see."""
        text = " ".join(text.replace(self._url, self._place).split())
        if self._key:
            text = text.replace(self._key, "[key]")
        return text[:300]
