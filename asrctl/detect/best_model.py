"""The best model that is there, for those who named none."""

from __future__ import annotations

from pathlib import Path

from asrctl.detect.cpus import available_cpus
from asrctl.models.catalog import CATALOG
from asrctl.models.store import ModelStore
from asrctl.policy.sizing import Model, best_for_files


def best_cached(models_dir: Path | None, language: str, *, translate: bool = False) -> str | None:
    """The best model in the cache that decodes files here at twice the pace of speech or better, going by
    its size and this machine's cores; None if there is none.

    Args:
        models_dir: The cache; None for the platform's.
        language: What is spoken: a code, several with commas between them, or "auto".
        translate: Whether it must translate.
    """
    store = ModelStore(models_dir)
    ready = [
        Model(entry.name, entry.memory_bytes, entry.multilingual)
        for entry in CATALOG.values()
        if store.source(entry) == "cached"
    ]
    best = best_for_files(ready, available_cpus(), "any" if translate else language)
    return best.name if best else None
