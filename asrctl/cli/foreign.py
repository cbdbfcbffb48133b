"""Servers that speak another protocol than `asrctl.v1`: a provider has the work done there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from asrctl.errors import ProviderError, ServerError, UsageError
from asrctl.network.retry import PATIENCE_S
from asrctl.providers.registry import for_servers

if TYPE_CHECKING:
    from asrctl.api import AsyncEngine
    from asrctl.assembly import Plan
    from asrctl.settings import Settings

HERE = frozenset({"--translate", "--no-vad", "--jobs"})
"""Options that hold as without a server: speech is looked for here, and sent piece by piece."""
SOON_S = 1.0
"""A server that takes longer to answer at first is said to be waited for."""
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

    What that provider's section of the config says of waiting holds for it too.

    Args:
        settings: What is in force.
        url: The server's address.
        api_key: Proves that we may use it; None to look for one.
        model: A name that the server knows; None for its own choice.

    Raises:
        UsageError: The address is none, or a package is missing.
    """
    plugin = for_servers()
    assert plugin.through is not None
    wait_s = PATIENCE_S if (asked_s := settings.client.wait_for_server_s) is None else asked_s
    there = plugin.through(settings.of(plugin), url, model or "", api_key or "", wait_s)
    if reason := plugin.missing(plugin.setup(settings=there)):
        raise UsageError(f"--server {url}: {reason}")
    mine = {**settings.provider_settings, plugin.name: there}
    return settings.overridden(provider=plugin.name, provider_settings=mine)


def is_through_server(plan: Plan) -> bool:
    """Whether it is a server that recognises."""
    return plan.provider == for_servers().name


def waits_for(engine: AsyncEngine) -> str:
    """What an engine waits for until it is ready, in words."""
    if is_through_server(engine.plan):
        return f"{engine.recognizer.description} to answer"
    return "the model to load"


async def tell_of_waiting(engine: AsyncEngine, inform: Callable[[str], None], done: asyncio.Event) -> None:
    """Say that a server is waited for if it does not answer soon, and when it does.

    Args:
        engine: Goes through the server.
        inform: Takes a line.
        done: Set when all is transcribed, so that the server must have answered.
    """
    ready = asyncio.create_task(engine.wait_ready(), name="ready")
    ended = asyncio.create_task(done.wait(), name="done")
    try:
        if not (await asyncio.wait({ready, ended}, timeout=SOON_S, return_when=asyncio.FIRST_COMPLETED))[0]:
            inform(f"asrctl: waiting for {waits_for(engine)}")
            await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
            if done.is_set() or ready.exception() is None:  # else whoever wants text from it says so
                inform("asrctl: it does now")
    finally:
        ready.cancel()
        ended.cancel()
        await asyncio.gather(ready, ended, return_exceptions=True)


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
