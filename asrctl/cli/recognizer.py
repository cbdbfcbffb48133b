"""From settings to a recogniser that can be started: provider, weights, options, processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from asrctl.cli.set_up import setup_of
from asrctl.detect.quick import defaults
from asrctl.errors import UsageError
from asrctl.languages import check_language
from asrctl.models.catalog import ALIASES, CATALOG
from asrctl.models.store import ModelStore
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.providers.registry import PROVIDERS, line_up
from asrctl.settings import Settings

if TYPE_CHECKING:
    from asrctl.models.files import Progress
    from asrctl.providers.plugin import Plugin, Setup


@dataclass(frozen=True, slots=True)
class Recognizer:
    """What will decode, and how; nothing is loaded yet.

    Attributes:
        model: The name to show: the catalog's, or the path's.
        spec: What a worker loads; of a provider that is started from a setup, only the name counts.
        decode: How each window is decoded.
        workers: Processes.
        setup: That setup; None for providers that load a model.
        reserves: Who stands in, the best first.
    """

    model: str
    spec: ModelSpec
    decode: DecodeOptions
    workers: int
    setup: Setup | None = None
    reserves: tuple[Reserve, ...] = ()

    @property
    def is_pooled(self) -> bool:
        """Whether it decodes windows in processes of its own."""
        return PROVIDERS[self.spec.provider].is_pooled


@dataclass(frozen=True, slots=True)
class Reserve:
    """A provider that stands in for others; its weights are found, or fetched, when it has to."""

    provider: str
    prepare: Callable[[], Recognizer]


def prepare(settings: Settings, progress: Progress | None = None) -> Recognizer:
    """Choose the provider, find (or make, or fetch) the weights, check that they suit each other.

    Raises:
        ProviderError: No such provider, or it cannot run here.
        ModelError: No such model, or it cannot be had.
        UsageError: The model cannot do what is asked.
    """
    chosen, *others = line_up(
        settings.provider, settings.providers, lambda plugin: setup_of(settings, plugin)
    )
    reserves = tuple(Reserve(other.name, partial(_prepared, settings, other)) for other in others)
    return replace(_prepared(settings, chosen, progress), reserves=reserves)


def _prepared(settings: Settings, plugin: Plugin, progress: Progress | None = None) -> Recognizer:
    if settings.translate and not plugin.translates(setup_of(settings, plugin)):
        raise UsageError(f"{plugin.name} cannot translate: take another provider")
    if not plugin.is_pooled:
        return _set_up(settings, plugin)
    model, path, multilingual = _weights(settings, plugin, progress)
    if settings.translate and not multilingual:
        raise UsageError(f"{model} cannot translate: it knows English only; take one such as base")
    suited = defaults(settings.workers)
    spec = ModelSpec(plugin.name, path, settings.threads or suited.threads)
    return Recognizer(model, spec, _decoding(settings, model, multilingual), suited.workers)


def _set_up(settings: Settings, plugin: Plugin) -> Recognizer:
    """A recogniser that is started in the parent."""
    setup = setup_of(settings, plugin)
    model = plugin.model(setup) or plugin.name
    decode = _decoding(settings, model, multilingual=True)
    return Recognizer(model, ModelSpec(plugin.name, Path(model)), decode, workers=1, setup=setup)


def _decoding(settings: Settings, model: str, multilingual: bool) -> DecodeOptions:
    return DecodeOptions(
        language=check_language(settings.language, multilingual=multilingual, model=model),
        translate=settings.translate,
        prompt=settings.prompt,
        beam_size=settings.beam_size,
        word_timestamps=settings.word_timestamps,
    )


def with_words(recognizer: Recognizer) -> Recognizer:
    """The same, with the times of words."""
    return replace(recognizer, decode=replace(recognizer.decode, word_timestamps=True))


def _weights(settings: Settings, plugin: Plugin, progress: Progress | None) -> tuple[str, Path, bool]:
    """Name, path and whether the model knows many languages."""
    if plugin.weights == "own":
        path = plugin.locate(setup_of(settings, plugin))
        return path.name, path, True
    store = ModelStore(settings.models_dir)
    if plugin.weights == "ctranslate2":
        path = store.ct2_directory(settings.model, progress=progress)
        entry = CATALOG.get(ALIASES.get(settings.model, settings.model))
        return (entry.base_name, path, entry.multilingual) if entry else (path.name, path, True)
    model = store.resolve(settings.model, progress=progress)
    return model.name, model.path, model.multilingual
