"""Servers that speak another protocol than `asrctl.v1`: the provider `remote` has the work done there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from asrctl.errors import ProviderError, ServerError

if TYPE_CHECKING:
    from asrctl.settings import Settings

HERE = frozenset({"--translate", "--no-vad", "--jobs"})
"""Options that hold as without a server: speech is looked for here, and sent piece by piece."""
_SCHEMES = ("http", "https", "wyoming", "tcp")
_ENDINGS = ("/realtime", "/listen")


def is_foreign(url: str) -> bool:
    """Whether a server's address tells that it speaks another protocol: by its scheme, or by its path."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in _SCHEMES or parts.path.rstrip("/").endswith(_ENDINGS)


def through(settings: Settings, url: str, api_key: str | None, model: str | None) -> Settings:
    """The settings with this server as what recognises.

    What `[remote]` says of waiting holds for it too; its address, model and key are those of another.

    Args:
        settings: What is in force.
        url: The server's address.
        api_key: Proves that we may use it; None to look for one.
        model: A name that the server knows; None for its own choice.

    Raises:
        UsageError: The address is none.
    """
    from asrctl.providers.registry import PROVIDERS

    base = settings.of(PROVIDERS["remote"])
    remote = replace(base, url=url, dialect="auto", model=model or "", api_key=api_key or "")
    mine = {**settings.provider_settings, "remote": remote}
    return settings.overridden(provider="remote", provider_settings=mine)


@contextmanager
def server_errors() -> Iterator[None]:
    """What goes wrong with the provider is the server's failure.

    Raises:
        ServerError: It cannot be reached, or was given up.
    """
    try:
        yield
    except ProviderError as error:
        raise ServerError(str(error)) from error
