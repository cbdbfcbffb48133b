"""Reader for CTranslate2's `model.bin`: the table of variables at once, their numbers when asked for.

Layout, little endian: u32 binary version, string spec name, u32 spec revision, u32 number of variables;
per variable: string name, u8 rank, u32 dims[rank], u8 number format, u32 length in bytes, data;
then u32 number of aliases, per alias two strings. A string is u16 length, counting a closing NUL, and bytes.
"""

from __future__ import annotations

import json
import struct
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrctl.errors import ModelError
from asrctl.models.files import mapped

_BFLOAT16 = 5
_DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16, _BFLOAT16: np.uint16}
_MAX_VARIABLES = 100_000
_MAX_RANK = 8


@dataclass(frozen=True, slots=True)
class _Variable:
    shape: tuple[int, ...]
    dtype: int
    offset_bytes: int
    size_bytes: int


class Ct2Model:
    """The variables of a model, read from the mapped file as they are asked for.

    Raises:
        ModelError: unreadable, not CTranslate2's format, or cut short.
    """

    def __init__(self, parts: Sequence[Path]) -> None:
        self._name = str(parts[0])
        self._bytes = _Parts(parts)
        self._offset_bytes = 0
        try:
            self.spec_name, self._variables = self._read_table()
        except (struct.error, UnicodeDecodeError) as error:
            raise self.bad("it is cut short or damaged") from error

    def bad(self, what: str) -> ModelError:
        """An error that says what is wrong with this model."""
        return ModelError(f"{self._name} is not a usable CTranslate2 Whisper model: {what}")

    def __contains__(self, name: str) -> bool:
        return name in self._variables

    def shape(self, name: str) -> tuple[int, ...]:
        """The dimensions of a variable."""
        return self._variable(name).shape

    def array(self, name: str) -> NDArray[Any]:
        """A variable as float32 or float16; integers are scaled back to what they stand for."""
        variable = self._variable(name)
        raw = np.frombuffer(
            self._bytes.read(variable.offset_bytes, variable.size_bytes), _DTYPES[variable.dtype]
        ).reshape(variable.shape)
        if variable.dtype == _BFLOAT16:
            return (raw.astype(np.uint32) << 16).view(np.float32)
        if np.issubdtype(raw.dtype, np.integer) and f"{name}_scale" in self:
            scale = self.array(f"{name}_scale").astype(np.float32)
            if scale.shape != raw.shape[: scale.ndim] or not scale.all():
                raise self.bad(f"the scale of {name} does not fit it")
            return raw.astype(np.float32) / scale.reshape(scale.shape + (1,) * (raw.ndim - scale.ndim))
        return raw

    def _variable(self, name: str) -> _Variable:
        if name not in self._variables:
            raise self.bad(f"it has no {name}")
        return self._variables[name]

    def _read_table(self) -> tuple[str, dict[str, _Variable]]:
        self._take("I")
        spec_name = self._string()
        _, n_variables = self._take("2I")
        if n_variables > _MAX_VARIABLES:
            raise self.bad(f"{n_variables} variables")
        return spec_name, dict(self._read_variable() for _ in range(n_variables))

    def _read_variable(self) -> tuple[str, _Variable]:
        name = self._string()
        (rank,) = self._take("B")
        if rank > _MAX_RANK:
            raise self.bad(f"variable {name} has {rank} dimensions")
        shape = self._take(f"{rank}I")
        dtype, size_bytes = self._take("B") + self._take("I")
        if dtype not in _DTYPES:
            raise self.bad(f"variable {name} has an unknown number format ({dtype})")
        n_bytes = int(np.dtype(_DTYPES[dtype]).itemsize)
        for dim in shape:
            n_bytes *= dim
        if n_bytes != size_bytes or self._offset_bytes + size_bytes > len(self._bytes):
            raise self.bad(f"it is cut short or damaged at variable {name}")
        variable = _Variable(shape, dtype, self._offset_bytes, size_bytes)
        self._offset_bytes += size_bytes
        return name, variable

    def _string(self) -> str:
        (n_bytes,) = self._take("H")
        (raw,) = self._take(f"{n_bytes}s")
        return str(raw[:-1], "utf-8")

    def _take(self, form: str) -> tuple[Any, ...]:
        size_bytes = struct.calcsize("<" + form)
        values = struct.unpack("<" + form, self._bytes.read(self._offset_bytes, size_bytes))
        self._offset_bytes += size_bytes
        return values


class _Parts:
    """Files read as one, end to end, through mappings: only what straddles a seam is copied."""

    def __init__(self, paths: Sequence[Path]) -> None:
        # Not closed here: arrays keep a mapping alive, and the last one to go unmaps it.
        self._maps = [memoryview(mapped(path)) for path in paths]
        self._starts = [0]
        for each in self._maps:
            self._starts.append(self._starts[-1] + len(each))

    def __len__(self) -> int:
        return self._starts[-1]

    def read(self, offset_bytes: int, size_bytes: int) -> memoryview | bytes:
        """Up to `size_bytes` from `offset_bytes` on; fewer at the end, as a file gives."""
        index = min(bisect_right(self._starts, offset_bytes), len(self._maps)) - 1
        start = offset_bytes - self._starts[index]
        piece = self._maps[index][start : start + size_bytes]
        missing = size_bytes - len(piece)
        if missing and index + 1 < len(self._maps):
            return bytes(piece) + bytes(self.read(self._starts[index + 1], missing))
        return piece


def read_vocabulary(directory: Path) -> list[str]:
    """The tokens in id order, as CTranslate2 keeps them: a JSON list, or one a line.

    Raises:
        ModelError: there is none, or it cannot be read.
    """
    for name in ("vocabulary.json", "vocabulary.txt"):
        path = directory / name
        if not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8")
            tokens = json.loads(text) if name.endswith("json") else text.split("\n")
        except (OSError, ValueError) as error:
            raise ModelError(f"cannot read the vocabulary {path}: {error}") from error
        if not (isinstance(tokens, list) and all(isinstance(token, str) for token in tokens)):
            raise ModelError(f"the vocabulary {path} is not a list of tokens")
        return tokens
    raise ModelError(f"{directory} has no vocabulary.json or vocabulary.txt: convert the model again")
