"""From options and settings to what is asked of a server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from asrctl.client import BufferOptions, ClientOptions
from asrctl.errors import UsageError
from asrctl.languages import check_language
from asrctl.policy.backoff import BackoffOptions
from asrctl.policy.vocabulary import checked_terms
from asrctl.settings import Settings


def refuse_local(options: Mapping[str, object]) -> None:
    """Refuse options that only make sense where the decoding is done.

    Args:
        options: What was given, by the option's name; None was not.

    Raises:
        UsageError: One was given.
    """
    for name, value in options.items():
        if value is not None:
            raise UsageError(f"{name} is up to the server: it does not go with --server")


def client_options(settings: Settings, source: str, model: str | None, api_key: str | None) -> ClientOptions:
    """What to ask a server for. The model of the settings is this machine's; `model` was asked for.

    Raises:
        UsageError: There is no such language.
    """
    client = settings.client
    return ClientOptions(
        source=source,
        language=check_language(settings.language, multilingual=True, model="the server"),
        model=model,
        prompt=settings.prompt,
        vocabulary=checked_terms(settings.vocabulary),
        api_key=api_key,
        backoff=BackoffOptions(
            first_s=min(BackoffOptions().first_s, client.max_wait_s),
            max_s=client.max_wait_s,
            max_attempts=client.max_attempts,
        ),
        wait_for_server_s=client.wait_for_server_s,
        buffer=BufferOptions(disk_bytes=client.disk_mib << 20),
        salvage_dir=Path.cwd(),
    )
