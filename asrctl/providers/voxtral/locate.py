"""Where voxtral's program and weights are, and whether they are whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

BINARY = "voxtral"
WEIGHTS = "voxtral-model"
"""Name of the weights' directory, as voxtral.c's own script calls it."""

REPOSITORY = "mistralai/Voxtral-Mini-4B-Realtime-2602"
SIZE_BYTES = 8_900_000_000
MEMORY_BYTES = 10_900_000_000
"""Weights, 1.8 GB of caches and 0.2 GB of buffers, by voxtral.c's own account."""

_TENSORS = "consolidated.safetensors"
_TOKENS = "tekken.json"
_LEAST_BYTES = {_TENSORS: 8_500_000_000, _TOKENS: 14_000_000, "params.json": 100}
"""Published are 8.86 GB, 15 MB and about 1 kB; what is much smaller was cut off."""

_MOST_HEADER_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Located:
    """What was found; None for what was not."""

    binary: Path | None
    weights: Path | None


def locate(places: Iterable[Path] = (), binary: Path | None = None, weights: Path | None = None) -> Located:
    """Find the program and its weights.

    Args:
        places: Directories that may hold the weights' directory, such as where models are kept.
        binary: The program, if it is known; else it is looked for on PATH.
        weights: The directory with the weights, if it is known; else it is looked for in `places`, beside
            the program, and where Hugging Face's tools keep what they fetch.
    """
    found = shutil.which(BINARY)
    program = binary or (Path(found) if found else None)
    if weights is not None:
        return Located(program, weights)
    beside = [Path(os.path.realpath(program)).parent] if program else []
    candidates = [place / WEIGHTS for place in (*places, *beside)]
    return Located(program, next((each for each in (*candidates, *_fetched()) if has_weights(each)), None))


def has_weights(directory: Path) -> bool:
    """Whether the files that the program reads are there, whole or not."""
    return all((directory / name).is_file() for name in (_TENSORS, _TOKENS))


def binary_problem(binary: Path) -> str:
    """Why the program cannot be run; empty if it seems it can."""
    if not binary.is_file():
        return (
            f"there is no program {binary}: build voxtral.c (`make mps` or `make blas`) and say where it is"
        )
    return "" if os.access(binary, os.X_OK) else f"{binary} is not executable: chmod +x {binary}"


def weights_problems(directory: Path) -> list[str]:
    """What is wrong with the weights; empty if nothing is. Looks at sizes and the table of tensors."""
    return [problem for name in _LEAST_BYTES if (problem := _problem(directory / name))]


def how_to_get(models_dir: Path) -> str:
    """The command that fetches the weights to where they are looked for."""
    files = " ".join(_LEAST_BYTES)
    return f"hf download {REPOSITORY} {files} --local-dir {models_dir / WEIGHTS}"


def _problem(path: Path) -> str:
    if not path.is_file():
        return f"{path} is missing"
    size_bytes, least_bytes = path.stat().st_size, _LEAST_BYTES[path.name]
    if path.name == _TENSORS:
        least_bytes = max(least_bytes, _declared_bytes(path))
    if size_bytes >= least_bytes:
        return ""
    return f"{path} is cut off: it has {size_bytes:,} of at least {least_bytes:,} bytes"


def _declared_bytes(path: Path) -> int:
    """How long a safetensors file says it is: the end of its last tensor; 0 if it cannot be read."""
    try:
        with path.open("rb") as file:
            header_bytes = int.from_bytes(file.read(8), "little")
            if header_bytes > _MOST_HEADER_BYTES:
                return 0
            tensors = json.loads(file.read(header_bytes))
            ends = (entry["data_offsets"][1] for name, entry in tensors.items() if name != "__metadata__")
            return 8 + header_bytes + int(max(ends, default=0))
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError):
        return 0


def _fetched() -> Iterator[Path]:
    """Snapshots in Hugging Face's cache, newest first."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    snapshots = cache / f"models--{REPOSITORY.replace('/', '--')}" / "snapshots"
    try:
        yield from sorted(snapshots.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:
        return
