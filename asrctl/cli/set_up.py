"""From settings to the options of providers that have to be set up: voxtral and remote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from asrctl.errors import ProviderError, UsageError

if TYPE_CHECKING:
    from asrctl.providers.remote import RemoteOptions
    from asrctl.providers.voxtral.options import VoxtralOptions
    from asrctl.settings import Settings


def obstacle(settings: Settings, name: str) -> str:
    """Why a provider cannot run as it is set up; empty if it can."""
    try:
        if name == "voxtral":
            voxtral_options(settings)
        elif name == "remote":
            remote_options(settings)
    except (ProviderError, UsageError) as error:
        return str(error)
    return ""


def voxtral_options(settings: Settings) -> VoxtralOptions:
    """Where voxtral is, and how it is run; its weights may also be named as the model.

    Raises:
        ProviderError: Its program or its weights are missing.
    """
    from asrctl.models.store import ModelStore
    from asrctl.providers.voxtral.locate import binary_problem, has_weights, how_to_get, locate
    from asrctl.providers.voxtral.options import VoxtralOptions

    given, models = settings.voxtral, ModelStore(settings.models_dir).root
    named = Path(settings.model).expanduser()
    weights = given.model_dir or (named if has_weights(named) else None)
    found = locate([models], given.binary, weights)
    if found.binary is None:
        raise ProviderError("its program voxtral is not on PATH: build voxtral.c, and set [voxtral] binary")
    if problem := binary_problem(found.binary):
        raise ProviderError(problem)
    if found.weights is None:
        raise ProviderError(f"its weights are not here: {how_to_get(models)}; or set [voxtral] model_dir")
    if not found.weights.is_dir():
        raise ProviderError(f"there is no directory {found.weights} with voxtral's weights")
    return VoxtralOptions(
        binary=found.binary, model_dir=found.weights, interval_s=given.interval_s, spares=given.spares
    )


def remote_options(settings: Settings) -> RemoteOptions:
    """Which server.

    Raises:
        ProviderError: None is set, or a package is missing that speaks to it.
        UsageError: What is set is not the address of one.
    """
    from asrctl.providers.registry import is_installed
    from asrctl.providers.remote import RemoteOptions

    given = settings.remote
    if not given.url:
        raise ProviderError("no server is set: [remote] url, or ASRCTL_REMOTE__URL")
    options = RemoteOptions(url=given.url, dialect=given.dialect, model=given.model, api_key=given.api_key)
    if not options.is_windowed and not is_installed("websockets"):
        raise ProviderError('the package websockets is not installed: pip install "asrctl[client]"')
    return options
