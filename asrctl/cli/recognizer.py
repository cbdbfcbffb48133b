"""From settings to a recogniser that can be started: provider, weights, options, processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from asrctl.cli.set_up import obstacle, remote_options, voxtral_options
from asrctl.detect.quick import defaults
from asrctl.errors import ModelError, UsageError
from asrctl.languages import check_language
from asrctl.models.catalog import ALIASES, CATALOG
from asrctl.models.store import ModelStore
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.providers.registry import PROVIDERS, Provider, line_up
from asrctl.settings import Settings

if TYPE_CHECKING:
    from asrctl.models.files import Progress
    from asrctl.providers.remote import RemoteOptions
    from asrctl.providers.voxtral.options import VoxtralOptions


@dataclass(frozen=True, slots=True)
class Recognizer:
    """What will decode, and how; nothing is loaded yet.

    Attributes:
        model: The name to show: the catalog's, or the path's.
        spec: What a worker loads; of a provider that is set up by options of its own, only the name counts.
        decode: How each window is decoded.
        workers: Processes.
        backend: Those options; None for providers that load a model.
        reserves: Who stands in, the best first.
    """

    model: str
    spec: ModelSpec
    decode: DecodeOptions
    workers: int
    backend: VoxtralOptions | RemoteOptions | None = None
    reserves: tuple[Reserve, ...] = ()

    @property
    def is_pooled(self) -> bool:
        """Whether it decodes windows in processes of its own."""
        return not PROVIDERS[self.spec.provider].is_streaming


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
        settings.provider, settings.providers, obstacle=lambda name: obstacle(settings, name)
    )
    reserves = tuple(Reserve(other.name, partial(_prepared, settings, other)) for other in others)
    return replace(_prepared(settings, chosen, progress), reserves=reserves)


def _prepared(settings: Settings, provider: Provider, progress: Progress | None = None) -> Recognizer:
    if provider.name == "voxtral":
        return _set_up(settings, provider, voxtral_options(settings))
    if provider.name == "remote":
        return _set_up(settings, provider, remote_options(settings))
    model, path, multilingual = _weights(settings, provider, progress)
    if settings.translate and not multilingual:
        raise UsageError(f"{model} cannot translate: it knows English only; take one such as base")
    suited = defaults(settings.workers)
    spec = ModelSpec(provider.name, path, settings.threads or suited.threads)
    return Recognizer(model, spec, _decoding(settings, model, multilingual), suited.workers)


def _set_up(settings: Settings, provider: Provider, backend: VoxtralOptions | RemoteOptions) -> Recognizer:
    """A recogniser that is not loaded from weights of our store."""
    if settings.translate and not getattr(backend, "is_windowed", False):
        raise UsageError(f"{provider.name} cannot translate: take another provider")
    model = getattr(backend, "model", "") or provider.name
    path = getattr(backend, "model_dir", Path(model))
    decode = _decoding(settings, model, multilingual=True)
    return Recognizer(model, ModelSpec(provider.name, path), decode, workers=1, backend=backend)


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
