"""What a GGUF file says of itself: read before its weights are loaded, with a bound on everything.

Layout, little endian: magic, u32 version, u64 tensors, u64 pairs of metadata; per pair a string (u64 length,
UTF-8), u32 type, the value; per tensor a string, u32 dimensions, u64 each, u32 type, u64 offset; then, at the
next multiple of `general.alignment`, the tensors' data. Native code reads the same file later, in a process
of its own; what is refused here it never sees.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from asrctl.errors import ModelError

MAGIC = b"GGUF"

_VERSIONS = (2, 3)
_MAX_HEADER_BYTES = 64 << 20
"""The largest vocabularies take 8 MB with their merges."""
_STEP_BYTES = 1 << 20
_MAX_PAIRS = 4096
_MAX_TENSORS = 65_536
_MAX_KEY_BYTES = 1024
_MAX_TEXT_BYTES = 1 << 20
_MAX_ITEMS = 2_000_000
"""Of one array."""
_MAX_DIMENSIONS = 4
_MAX_NUMBERS = 1 << 40
"""Of one tensor."""
_ALIGNMENT = 32
_MAX_ALIGNMENT = 1 << 16
_MOST_LANGUAGES = 1000

_STRING, _ARRAY = 8, 9
_SCALARS = dict(enumerate(("<B", "<b", "<H", "<h", "<I", "<i", "<f", "<?"))) | {10: "<Q", 11: "<q", 12: "<d"}

# By ggml's number of a type: numbers in a block, bytes that it takes. Of types that are not here only the
# beginning of the data is checked.
_BLOCKS = {
    **{0: (1, 4), 1: (1, 2), 30: (1, 2)},
    **{2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40)},
    **{10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292)},
}


@dataclass(frozen=True, slots=True)
class GgufInfo:
    """A model as its file describes it.

    Attributes:
        name: What its makers call it; empty if they do not say.
        family: The architecture, such as "parakeet".
        languages: Codes or locales that it knows; empty if it does not say.
        licence: Short name of its licence; empty if it does not say.
        streams: Whether it listens to a stream.
        size_bytes: Length of the file.
        tensors: How many there are.
    """

    name: str
    family: str
    languages: tuple[str, ...]
    licence: str
    streams: bool
    size_bytes: int
    tensors: int


def is_gguf(path: Path) -> bool:
    """Whether a file begins as GGUF files do. Raises ModelError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}") from error


def read_header(path: Path) -> GgufInfo:
    """Read a file's metadata, and check that all its tensors lie inside it.

    Raises:
        ModelError: It cannot be read, is no GGUF, is damaged or cut short, or goes beyond a bound.
    """
    try:
        with path.open("rb") as file:
            return _Reader(path, file).info()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}") from error


class _Reader:
    """A position in a file, of which no more is read than is needed."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._size_bytes = os.fstat(file.fileno()).st_size
        self._head = bytearray()
        self._at = 0

    def info(self) -> GgufInfo:
        """All that is of interest; everything is checked."""
        if self._take(len(MAGIC)) != MAGIC:
            raise self._damaged("it is no GGUF file")
        version = self._number("<I")
        if version not in _VERSIONS:
            raise self._damaged(f"version {version} of GGUF is not known")
        n_tensors = self._count("<Q", _MAX_TENSORS, "tensors")
        pairs = dict(self._pairs(self._count("<Q", _MAX_PAIRS, "metadata keys")))
        self._check_tensors(n_tensors, pairs.get("general.alignment", _ALIGNMENT))
        family = _text(pairs, "general.architecture")
        if not family:
            raise self._damaged("it does not say of what architecture it is")
        languages = pairs.get("general.languages")
        return GgufInfo(
            name=_text(pairs, "general.name"),
            family=family,
            languages=tuple(languages) if isinstance(languages, list) else (),
            licence=_text(pairs, "general.license.name") or _text(pairs, "general.license"),
            streams=pairs.get("stt.capability.streaming") is True,
            size_bytes=self._size_bytes,
            tensors=n_tensors,
        )

    def _pairs(self, count: int) -> Iterator[tuple[str, Any]]:
        for _ in range(count):
            key = self._string(_MAX_KEY_BYTES)
            yield key, self._value(self._number("<I"), wanted=key == "general.languages")

    def _value(self, kind: int, *, wanted: bool) -> Any:
        """A value; None for an array, which is passed over unless it is wanted."""
        if kind == _STRING:
            return self._string(_MAX_TEXT_BYTES)
        if kind != _ARRAY:
            return self._number(self._format(kind))
        item, count = self._number("<I"), self._count("<Q", _MAX_ITEMS, "items of an array")
        if item != _STRING:
            self._take(count * struct.calcsize(self._format(item)))
            return None
        if wanted and count <= _MOST_LANGUAGES:
            return [self._string(_MAX_KEY_BYTES) for _ in range(count)]
        for _ in range(count):
            self._take(self._number("<Q"))
        return None

    def _format(self, kind: int) -> str:
        if kind not in _SCALARS:
            raise self._damaged(f"type {kind} of metadata is not known")
        return _SCALARS[kind]

    def _check_tensors(self, count: int, alignment: Any) -> None:
        if (
            not isinstance(alignment, int)
            or not 0 < alignment <= _MAX_ALIGNMENT
            or alignment & (alignment - 1)
        ):
            raise self._damaged(f"its alignment is {alignment}")
        ends = [self._tensor_end(alignment) for _ in range(count)]
        data_at = -(-self._at // alignment) * alignment
        if ends and data_at + max(ends) > self._size_bytes:
            raise self._damaged("it is cut short")

    def _tensor_end(self, alignment: int) -> int:
        """Where a tensor's bytes end, counted from where the data begin."""
        self._string(_MAX_KEY_BYTES)
        numbers = 1
        for _ in range(self._count("<I", _MAX_DIMENSIONS, "dimensions")):
            numbers *= self._count("<Q", _MAX_NUMBERS, "numbers in a tensor")
        kind, offset = self._number("<I"), self._number("<Q")
        if numbers > _MAX_NUMBERS or offset % alignment:
            raise self._damaged("the place of a tensor makes no sense")
        block, block_bytes = _BLOCKS.get(kind, (1, 0))
        return int(offset + -(-numbers // block) * block_bytes)

    # Reading

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if end > _MAX_HEADER_BYTES:
            raise self._damaged("its header is longer than any model needs")
        while len(self._head) < end:
            if not (piece := self._file.read(_STEP_BYTES)):
                raise self._damaged("it is cut short")
            self._head += piece
        taken, self._at = self._head[self._at : end], end
        return bytes(taken)

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _count(self, form: str, most: int, what: str) -> int:
        count: int = self._number(form)
        if count > most:
            raise self._damaged(f"it has {count} {what}")
        return count

    def _string(self, most_bytes: int) -> str:
        length = self._count("<Q", most_bytes, "bytes in a text")
        return self._take(length).decode("utf-8", "replace")

    def _damaged(self, what: str) -> ModelError:
        return ModelError(f"{self._path}: {what}")


def _text(pairs: dict[str, Any], key: str) -> str:
    """A text in one line, as it may be printed; empty for none."""
    value = pairs.get(key)
    printable = "".join(character if character.isprintable() else " " for character in str(value))
    return " ".join(printable.split()) if isinstance(value, str) else ""
