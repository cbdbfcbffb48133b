"""From settings to a recogniser that can be started: provider, weights, options, processes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from asrctl.detect.cpus import threads_per_worker
from asrctl.errors import ModelError, UsageError
from asrctl.languages import check_language
from asrctl.models.catalog import ALIASES, CATALOG
from asrctl.models.store import ModelStore
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.providers.registry import Provider, choose
from asrctl.settings import Settings

if TYPE_CHECKING:
    from asrctl.models.files import Progress


@dataclass(frozen=True, slots=True)
class Recognizer:
    """What will decode, and how; nothing is loaded yet.

    Attributes:
        model: The name to show: the catalog's, or the path's.
        spec: What a worker loads.
        decode: How each window is decoded.
        workers: Processes.
    """

    model: str
    spec: ModelSpec
    decode: DecodeOptions
    workers: int


def prepare(settings: Settings, progress: Progress | None = None) -> Recognizer:
    """Choose the provider, find (or make, or fetch) the weights, check that they suit each other.

    Raises:
        ProviderError: No such provider, or it cannot run here.
        ModelError: No such model, or it cannot be had.
        UsageError: The model cannot do what is asked.
    """
    provider = choose(settings.provider, settings.providers)
    model, path, multilingual = _weights(settings, provider, progress)
    if settings.translate and not multilingual:
        raise UsageError(f"{model} cannot translate: it knows English only; take one such as base")
    workers = settings.workers or 1  # a second one is faster and costs another copy of the model
    return Recognizer(
        model=model,
        spec=ModelSpec(provider.name, path, settings.threads or threads_per_worker(workers)),
        decode=DecodeOptions(
            language=check_language(settings.language, multilingual=multilingual, model=model),
            translate=settings.translate,
            prompt=settings.prompt,
            beam_size=settings.beam_size,
            word_timestamps=settings.word_timestamps,
        ),
        workers=workers,
    )


def with_words(recognizer: Recognizer) -> Recognizer:
    """The same, with the times of words."""
    return replace(recognizer, decode=replace(recognizer.decode, word_timestamps=True))


def _weights(settings: Settings, provider: Provider, progress: Progress | None) -> tuple[str, Path, bool]:
    """Name, path and whether the model knows many languages."""
    if provider.weights == "script":
        path = Path(settings.model)
        if not path.is_file():
            raise ModelError(f"{path}: no such file")
        return path.name, path, True
    store = ModelStore(settings.models_dir)
    if provider.weights == "ctranslate2":
        path = store.ct2_directory(settings.model, progress=progress)
        entry = CATALOG.get(ALIASES.get(settings.model, settings.model))
        return (entry.base_name, path, entry.multilingual) if entry else (path.name, path, True)
    model = store.resolve(settings.model, progress=progress)
    return model.name, model.path, model.multilingual
