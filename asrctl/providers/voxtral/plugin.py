"""Voxtral's plug-in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from asrctl.errors import ProviderError
from asrctl.providers.plugin import Plugin, Setup, Weights
from asrctl.providers.voxtral.settings import VoxtralSettings

if TYPE_CHECKING:
    from asrctl.providers.voxtral.recognizer import Voxtral


def found(setup: Setup) -> tuple[Path, Path]:
    """The program and its weights; these may also be named as the model.

    Raises:
        ProviderError: One of them is missing; says how to get it.
    """
    from asrctl.providers.voxtral.locate import binary_problem, has_weights, how_to_get, locate

    settings: VoxtralSettings = setup.settings
    named = Path(setup.model).expanduser() if setup.model else None
    weights = settings.model_dir or (named if named and has_weights(named) else None)
    root = _models_dir(setup)
    located = locate([root], settings.binary, weights)
    if located.binary is None:
        raise ProviderError("its program voxtral is not on PATH: build voxtral.c, and set [voxtral] binary")
    if problem := binary_problem(located.binary):
        raise ProviderError(problem)
    if located.weights is None:
        raise ProviderError(f"its weights are not here: {how_to_get(root)}; or set [voxtral] model_dir")
    if not located.weights.is_dir():
        raise ProviderError(f"there is no directory {located.weights} with voxtral's weights")
    return located.binary, located.weights


def _missing(setup: Setup) -> str:
    import os

    if os.name != "posix":
        return "voxtral needs Linux or macOS"
    try:
        found(setup)
    except ProviderError as error:
        return str(error)
    return ""


def _start(setup: Setup) -> Voxtral:
    from asrctl.providers.voxtral.recognizer import Voxtral  # its pipes exist on POSIX only

    return Voxtral(*found(setup), setup.settings)


def _own_weights(setup: Setup) -> Weights:
    from asrctl.providers.voxtral.locate import (
        MEMORY_BYTES,
        SIZE_BYTES,
        how_to_get,
        locate,
        weights_problems,
    )

    root = _models_dir(setup)
    path = locate([root], setup.settings.binary, setup.settings.model_dir).weights
    problems = weights_problems(path) if path else []
    return Weights(path, problems, f"`{how_to_get(root)}`", SIZE_BYTES, MEMORY_BYTES, multilingual=True)


def _models_dir(setup: Setup) -> Path:
    from asrctl.models.store import ModelStore

    return ModelStore(setup.models_dir).root


PLUGIN = Plugin(
    name="voxtral",
    summary="Voxtral Realtime through voxtral.c: a resident process for each stream",
    settings=VoxtralSettings,
    missing=_missing,
    translates=lambda setup: False,
    no_vocabulary=lambda setup: "voxtral.c takes none",
    start=_start,
    model=lambda setup: "voxtral",
    own_weights=_own_weights,
)
