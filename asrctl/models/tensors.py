"""Tensors of a PyTorch checkpoint, read without PyTorch and without running anything that is in the file.

A checkpoint is a zip archive: `data.pkl` says what there is, and `data/<key>` holds the numbers. Unpickling
can call any function that the file names; here it may name three, none of which is code of the file.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrctl.errors import ModelError

_STORAGES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


def read_tensors(path: Path) -> Mapping[str, NDArray[Any]]:
    """The tensors of a checkpoint, by name.

    Raises:
        ModelError: It is none, is damaged, or names something else than tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            pickled = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            found = _Tensors(archive, pickled.removesuffix("data.pkl")).load()
    except (OSError, zipfile.BadZipFile, pickle.UnpicklingError, StopIteration) as error:
        raise ModelError(f"{path} is no checkpoint of tensors: {error or type(error).__name__}") from error
    except (KeyError, ValueError, TypeError, IndexError, EOFError, AttributeError) as error:
        raise ModelError(f"{path} is damaged") from error
    if not isinstance(found, dict) or not all(isinstance(each, np.ndarray) for each in found.values()):
        raise ModelError(f"{path} holds something else than tensors")
    return found


class _Tensors(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{root}data.pkl")))
        self._archive = archive
        self._root = root

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> NDArray[Any]:
        """The numbers of a storage: ("storage", type, key, device, count)."""
        _, dtype, key, _, count = pid
        return np.frombuffer(self._archive.read(f"{self._root}data/{key}"), dtype, count)


def _tensor(
    storage: NDArray[Any], offset: int, shape: Sequence[int], stride: Sequence[int], *_: Any
) -> NDArray[Any]:
    """A tensor of a storage; only those that lie there in order are known."""
    size = int(np.prod(shape))
    wanted = [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]
    if list(stride) != wanted and size > 1:
        raise pickle.UnpicklingError("a tensor is not stored in order")
    return storage[offset : offset + size].reshape(shape)
