"""The key to a server: from the settings, the environment or the keyring; and kept out of what is said."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec

from asrctl.network.answers import presentable
from asrctl.providers.remote.address import Address
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


def redacted(text: str, key: str, address: Address) -> str:
    """Text for people on one line, not too long, without the server's key, and its URL."""
    return presentable(text.replace(address.url, address.place), key)
