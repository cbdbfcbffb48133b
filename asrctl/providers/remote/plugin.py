"""The plug-in of the provider `remote`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from asrctl.errors import ProviderError
from asrctl.providers.plugin import Plugin, Setup, missing_package
from asrctl.providers.remote.settings import RemoteSettings

if TYPE_CHECKING:
    from asrctl.providers.remote.recognizer import RemoteRecognizer
    from asrctl.providers.remote.windows import RemoteWindows


def _missing(setup: Setup) -> str:
    settings: RemoteSettings = setup.settings
    if not settings.url:
        return "no server is set: [remote] url, or ASRCTL_REMOTE__URL"
    return missing_package("httpx" if settings.is_windowed else "websockets", 'pip install "asrctl[remote]"')


def _start(setup: Setup) -> RemoteRecognizer | RemoteWindows:
    if reason := _missing(setup):
        raise ProviderError(reason)
    if setup.settings.is_windowed:
        from asrctl.providers.remote.windows import RemoteWindows

        return RemoteWindows(setup.settings)
    from asrctl.providers.remote.recognizer import RemoteRecognizer

    return RemoteRecognizer(setup.settings)


def _through(
    settings: RemoteSettings, url: str, model: str, api_key: str, wait_for_server_s: float
) -> RemoteSettings:
    asked: dict[str, Any] = {"url": url, "model": model, "api_key": api_key}
    return replace(settings, **asked, dialect="auto", wait_for_server_s=wait_for_server_s)


PLUGIN = Plugin(
    name="remote",
    summary="a server that recognises speech: OpenAI's API, vLLM, Deepgram's, Wyoming, or another asrctl",
    settings=RemoteSettings,
    missing=_missing,
    translates=lambda setup: setup.settings.is_windowed,
    no_vocabulary=lambda setup: setup.settings.no_vocabulary,
    takes_windows=lambda setup: setup.settings.is_windowed,
    start=_start,
    model=lambda setup: setup.settings.model or "remote",
    through=_through,
)
