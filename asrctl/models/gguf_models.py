"""Models for recognisers that load GGUF files: by path or by name; whisper.cpp's files serve them as well."""

from __future__ import annotations

import os
from pathlib import Path

from asrctl.errors import ModelError
from asrctl.models.files import Progress
from asrctl.models.gguf_header import is_gguf, read_header
from asrctl.models.store import ModelFile, ModelStore

_SUFFIX = ".gguf"
_WORKSPACE_BYTES = 250 << 20
"""What a worker holds besides the weights, estimated: interpreter, library, and its buffers."""


def resolve_gguf(store: ModelStore, name_or_path: str, progress: Progress | None = None) -> ModelFile:
    """Find a model; nothing but whisper.cpp's models is fetched or made for that.

    Args:
        store: Where models are kept.
        name_or_path: A GGUF file; or what `ModelStore.resolve` takes.
        progress: Told what takes long.

    Raises:
        ModelError: There is no such model, or its file is damaged.
    """
    path = Path(os.path.expanduser(name_or_path))
    if path.suffix == _SUFFIX or (path.is_file() and is_gguf(path)):
        return describe_gguf(path)
    return store.resolve(name_or_path, progress=progress)


def describe_gguf(path: Path) -> ModelFile:
    """Check a GGUF file without loading it, and say what it is. Raises ModelError as `read_header`."""
    info = read_header(path)
    if not info.tensors:
        raise ModelError(f"{path}: it holds no weights")
    known = {language.partition("-")[0].lower() for language in info.languages}
    return ModelFile(
        name=path.stem,
        path=path,
        size_bytes=info.size_bytes,
        memory_bytes=info.size_bytes + _WORKSPACE_BYTES,
        multilingual=known != {"en"},
    )
