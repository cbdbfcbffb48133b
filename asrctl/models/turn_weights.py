"""The weights that hear whether somebody has finished speaking."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from asrctl.errors import UsageError
from asrctl.models.files import Progress
from asrctl.models.package_weights import PackageWeights, resolve

_PURPOSE = "hearing the end of a turn"
INSTALL = "pip install 'asrctl[turn]' && pip install --no-deps pipecat-ai==1.14.0"

SMART_TURN = PackageWeights(
    "smart-turn-v3.2",
    "BSD-2-Clause",
    "pipecat",
    "audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx",
    "cedb721350c67aa52195abd7322c7357507c0f88",
    8_679_182,
    "cedb721350c67aa52195abd7322c7357507c0f88",
    _PURPOSE,
    INSTALL,
    repository="pipecat-ai/smart-turn-v3",
)
"""Smart Turn v3.2, quantised for processors: whether speech that paused was finished, by its sound."""


def resolve_turn(root: Path, progress: Progress | None = None) -> Path:
    """The file in a store, where it can be computed.

    Raises:
        ModelError: The weights are not installed and cannot be fetched, or there is no room.
        UsageError: A package is not installed.
    """
    if find_spec("onnxruntime") is None:
        raise UsageError(f"{_PURPOSE} needs onnxruntime: {INSTALL}")
    return resolve(root, SMART_TURN, progress)
