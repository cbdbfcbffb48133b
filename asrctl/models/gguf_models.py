"""Models for recognisers that load GGUF files: by path, by a name of the hub's catalogue, or Whisper's.

Those of the hub are fetched by `pull` alone, which shows what their licence is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from asrctl.errors import ModelError
from asrctl.models.catalog import ALIASES, CATALOG
from asrctl.models.files import SHA256, Progress, Record, Verdict, delete, publish, verdict_on, writing
from asrctl.models.gguf_header import is_gguf, read_header
from asrctl.models.hub_catalog import HUB_CATALOG, HubEntry, estimated_memory, hub_lookup
from asrctl.models.resumed import fetched, parts_of
from asrctl.models.store import ModelFile, ModelStore

_SUFFIX = ".gguf"


def resolve_gguf(store: ModelStore, name_or_path: str, progress: Progress | None = None) -> ModelFile:
    """Find a model; nothing but whisper.cpp's models is fetched or made for that.

    Args:
        store: Where models are kept.
        name_or_path: A GGUF file; a name of the hub's catalogue; or what `ModelStore.resolve` takes.
        progress: Told what takes long.

    Raises:
        ModelError: There is no such model, it is not in the cache, or its file is damaged.
    """
    path = Path(os.path.expanduser(name_or_path))
    if path.suffix == _SUFFIX or (path.is_file() and is_gguf(path)):
        return describe_gguf(path)
    if name_or_path in CATALOG or name_or_path in ALIASES or path.exists() or path.name != name_or_path:
        return store.resolve(name_or_path, progress=progress)
    entry = hub_lookup(name_or_path)
    model = find_hub(store, entry)
    if model is None:
        size = f"{entry.size_bytes / 1e6:,.0f} MB, {entry.licence.name}"
        raise ModelError(
            f"{entry.name} is not in the cache: get it ({size}) with `asrctl models pull {entry.name}`"
        )
    return model


def names_gguf(name_or_path: str) -> bool:
    """Whether a model can only be one for recognisers that load GGUF files."""
    return name_or_path in HUB_CATALOG or name_or_path.endswith(_SUFFIX)


def describe_gguf(path: Path, name: str = "") -> ModelFile:
    """Check a GGUF file without loading it, and say what it is. Raises ModelError as `read_header`."""
    info = read_header(path)
    if not info.tensors:
        raise ModelError(f"{path}: it holds no weights")
    known = {language.partition("-")[0].lower() for language in info.languages}
    return ModelFile(
        name=name or path.name,
        path=path,
        size_bytes=info.size_bytes,
        memory_bytes=estimated_memory(info.size_bytes),
        multilingual=known != {"en"},
        streams=info.streams,
    )


def find_hub(store: ModelStore, entry: HubEntry) -> ModelFile | None:
    """A model of the hub's catalogue if it is in the cache, and as it was when it was fetched."""
    path = _path(store, entry)
    return describe_gguf(path, entry.name) if Record.load(path) else None


def pull_hub(store: ModelStore, entry: HubEntry, progress: Progress | None = None) -> ModelFile:
    """Fetch a model, unless it is there; goes on where an earlier run broke off.

    Raises:
        ModelError: It cannot be reached, is not what the hub publishes, or there is no room for it.
    """
    path = _path(store, entry)
    if (model := find_hub(store, entry)) is not None:
        return model
    with writing(path, progress):
        if Record.load(path) is None:
            with fetched(entry.repository, entry.file_name, path, progress) as (part, sha256):
                read_header(part)
                publish(part, path, sha256)
    return describe_gguf(path, entry.name)


def remove_hub(store: ModelStore, entry: HubEntry) -> None:
    """Delete a model, or what was fetched of it so far. Raises ModelError if nothing is there."""
    path = _path(store, entry)
    if not path.exists() and not parts_of(path).exists():
        raise ModelError(f"{entry.name} is not in the cache ({store.root})")
    with writing(path):
        delete(path)
        delete(parts_of(path))


def verify_hub(store: ModelStore, progress: Progress | None = None) -> Iterator[Verdict]:
    """Hash every fetched file again, and compare with what the hub published of it."""
    for entry in HUB_CATALOG.values():
        if (path := _path(store, entry)).is_file():
            record = Record.load(path)
            yield verdict_on(entry.name, path, record.checksum if record else "", progress, SHA256)


def _path(store: ModelStore, entry: HubEntry) -> Path:
    return store.root / entry.file_name
