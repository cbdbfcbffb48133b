"""What is installed: models, recognisers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from asrctl.detect.machine import ModelState, ProbeFailure, ProviderState
from asrctl.errors import ModelError
from asrctl.models.catalog import CATALOG, CatalogEntry
from asrctl.models.ct2_directory import kept_path
from asrctl.models.files import Record
from asrctl.models.gguf_models import find_hub
from asrctl.models.hub_catalog import HUB_CATALOG
from asrctl.models.store import ModelFile, ModelStore
from asrctl.policy.sizing import Model
from asrctl.providers.registry import AUTO_ORDER, PROVIDERS

_CT2_MEMORY_FACTOR = 3
"""faster-whisper took 671 MB where whisper.cpp took 222 (tiny.en, int8 and q8_0, 2 cores, x86-64)."""


@dataclass(slots=True)
class Models:
    """Models that need no network, small to large, and what could not be read."""

    found: list[ModelState] = field(default_factory=list)
    troubles: list[ProbeFailure] = field(default_factory=list)


def find_models(store: ModelStore) -> Models:
    """Everything in the cache, and what can be made from installed weight wheels."""
    models = Models()
    for entry in CATALOG.values():
        source = store.source(entry)
        if source != "download":
            models.found.append(_state(entry, source))
    for path in store.own_models():
        try:
            own = store.describe(path)
        except (ModelError, OSError) as error:
            models.troubles.append(ProbeFailure("models", str(error)))
            continue
        models.found.append(_state(own, "cached"))
    models.found.sort(key=lambda model: model.size_bytes)
    return models


def _state(model: CatalogEntry | ModelFile, source: str) -> ModelState:
    return ModelState(model.name, model.size_bytes, model.memory_bytes, model.multilingual, source)


def as_model(state: ModelState) -> Model:
    """A model as the policy sees it."""
    return Model(state.name, state.memory_bytes, state.multilingual, state.source == "cached")


def provider_states() -> tuple[ProviderState, ...]:
    """The recognisers, in the order in which they are tried."""
    order = [*AUTO_ORDER, *(name for name in PROVIDERS if name not in AUTO_ORDER)]
    return tuple(ProviderState(name, PROVIDERS[name].missing(PROVIDERS[name].setup())) for name in order)


def loadable(store: ModelStore, models: Iterable[ModelState], weights: str) -> list[ModelState]:
    """Models whose weights of that kind are ready, so that nothing has to be fetched, made or proved.

    Args:
        store: Has the models.
        models: Those that were found.
        weights: "ggml", "ctranslate2", or "gguf", of which only models that decode windows are taken: how
            many streams the others serve is for `asrctl bench stream` to tell.
    """
    if weights == "gguf":
        pulled = [found for entry in HUB_CATALOG.values() if (found := find_hub(store, entry))]
        return [_state(each, "cached") for each in pulled if not each.streams]
    if weights == "ggml":
        return [model for model in models if model.source == "cached"]
    ready = [model for model in models if model.name in CATALOG and _has_ct2(store, CATALOG[model.name])]
    return [replace(model, memory_bytes=_CT2_MEMORY_FACTOR * model.memory_bytes) for model in ready]


def _has_ct2(store: ModelStore, entry: CatalogEntry) -> bool:
    base = CATALOG[entry.base_name]
    files = base.wheel.locate() if base.wheel else None
    kept = kept_path(store.root, base)
    if files is None:
        return False
    directory = files.directory if len(files.parts) == 1 else kept
    return Record.load(directory / "model.bin", beside=kept) is not None
