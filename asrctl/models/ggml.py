"""whisper.cpp's file format ("ggml"): check a file without loading it, read it and write it as a stream.

Layout, little endian: magic, eleven dimensions, mel filters, vocabulary (together the *head*), then tensors
to the end of the file. Nothing here imports numpy: a check costs milliseconds.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from asrctl.errors import ModelError
from asrctl.models.files import mapped
from asrctl.models.layout import N_FREQUENCIES, N_TEXT_TOKENS, Dimensions, GgmlType

_MAGIC = 0x67676D6C
_FTYPE_OFFSET = 44  # after the magic and ten dimensions
_MAX_TOKEN_BYTES = 1024
_MAX_NAME_BYTES = 256


class Digest(Protocol):
    """What `hashlib.sha1()` gives, as far as it is needed here."""

    def update(self, data: bytes | memoryview, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named tensor: shape outermost first, and its bytes as the file holds them."""

    name: str
    shape: tuple[int, ...]
    type: GgmlType
    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class GgmlStream:
    """A model on its way: the head, and tensors that are made as they are asked for, once."""

    head: bytes
    tensors: Iterable[Tensor]


@dataclass(frozen=True, slots=True)
class TensorPlace:
    """Where a tensor's bytes lie in a file."""

    name: str
    shape: tuple[int, ...]
    type: GgmlType
    offset_bytes: int


@dataclass(frozen=True, slots=True)
class GgmlInfo:
    """What `check_ggml` found: dimensions, the head's length and where each tensor lies."""

    dimensions: Dimensions
    head_bytes: int
    size_bytes: int
    tensors: tuple[TensorPlace, ...]


def encode_head(dimensions: Dimensions, mel_filters: bytes, tokens: Iterable[bytes]) -> bytes:
    """The bytes before the first tensor; `mel_filters` is float32, n_mels x 201."""
    vocabulary = list(tokens)
    parts = [
        struct.pack("<I11i", _MAGIC, *dimensions.numbers()),
        struct.pack("<2i", dimensions.n_mels, N_FREQUENCIES),
        mel_filters,
        struct.pack("<i", len(vocabulary)),
    ]
    for token in vocabulary:
        parts += (struct.pack("<i", len(token)), token)
    return b"".join(parts)


def with_ftype(head: bytes, ftype: int) -> bytes:
    """The same head, declaring another number format."""
    return head[:_FTYPE_OFFSET] + struct.pack("<i", ftype) + head[_FTYPE_OFFSET + 4 :]


def encode(stream: GgmlStream) -> Iterator[bytes | memoryview]:
    """The file's bytes, piece by piece."""
    yield stream.head
    for tensor in stream.tensors:
        yield _tensor_header(tensor)
        yield tensor.data


def hashed(stream: GgmlStream, digest: Digest) -> GgmlStream:
    """The same stream; `digest` has seen the whole file once the last tensor was taken."""
    digest.update(stream.head)

    def tensors() -> Iterator[Tensor]:
        for tensor in stream.tensors:
            digest.update(_tensor_header(tensor))
            digest.update(tensor.data)
            yield tensor

    return GgmlStream(stream.head, tensors())


def _tensor_header(tensor: Tensor) -> bytes:
    name = tensor.name.encode()
    numbers = (len(tensor.shape), len(name), tensor.type, *reversed(tensor.shape))
    return struct.pack(f"<{len(numbers)}i", *numbers) + name


def open_ggml(path: Path) -> GgmlStream:
    """Read a file as a stream; tensors are views of the mapped file, so memory stays low.

    Raises:
        ModelError: as `check_ggml` does.
    """
    info = check_ggml(path)
    data = memoryview(mapped(path))  # not closed here: the last view to go unmaps it

    def tensors() -> Iterator[Tensor]:
        for place in info.tensors:
            end = place.offset_bytes + place.type.size_bytes(place.shape)
            yield Tensor(place.name, place.shape, place.type, data[place.offset_bytes : end])

    return GgmlStream(bytes(data[: info.head_bytes]), tensors())


def check_ggml(path: Path) -> GgmlInfo:
    """Make sure that a file is a whole and sane Whisper model, before native code sees it.

    Reads the head and the tensor table only: about 20 ms, whatever the size.

    Raises:
        ModelError: unreadable, not a whisper.cpp file, cut short, or with dimensions, tensors
            or lengths that no Whisper has.
    """
    with mapped(path) as data:
        return _parse(_Cursor(data, path))


class _Cursor:
    """A place in a mapped file that only moves forward, and never past the end."""

    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self._data = data
        self._path = path
        self.offset_bytes = 0

    @property
    def at_end(self) -> bool:
        return self.offset_bytes == len(self._data)

    def skip(self, n_bytes: int) -> int:
        """Move on by `n_bytes`; gives the offset skipped from."""
        start = self.offset_bytes
        if start + n_bytes > len(self._data):
            raise self._cut_short()
        self.offset_bytes = start + n_bytes
        return start

    def numbers(self, count: int) -> tuple[int, ...]:
        return struct.unpack_from(f"<{count}i", self._data, self.skip(4 * count))

    def text(self, n_bytes: int) -> str:
        start = self.skip(n_bytes)
        return self._data[start : start + n_bytes].decode("utf-8", "replace")

    def skip_tokens(self, count: int) -> None:
        """Move past a vocabulary, each token a length and its bytes; a tight loop, as there are 50,000."""
        length_at = struct.Struct("<i").unpack_from
        offset, end = self.offset_bytes, len(self._data)
        has_space = False
        for _ in range(count):
            if offset + 4 > end:
                raise self._cut_short()
            (n_bytes,) = length_at(self._data, offset)
            if not 0 <= n_bytes <= _MAX_TOKEN_BYTES:
                raise self.bad(f"a token of {n_bytes} bytes")
            offset += 4 + n_bytes
            has_space |= n_bytes == 1 and self._data[offset - 1 : offset] == b" "
        if not has_space:  # whisper.cpp looks it up blindly and dies without it
            raise self.bad("its vocabulary has no token for the space")
        self.skip(offset - self.offset_bytes)

    def _cut_short(self) -> ModelError:
        return ModelError(
            f"the model {self._path} is cut short at {len(self._data):,} bytes: fetch or copy it again"
        )

    def bad(self, what: str) -> ModelError:
        return ModelError(f"{self._path} is not a usable whisper.cpp model: {what}")


def _parse(cursor: _Cursor) -> GgmlInfo:
    dimensions = _parse_dimensions(cursor)
    _skip_filters(cursor, dimensions)
    _skip_vocabulary(cursor, dimensions)
    head_bytes = cursor.offset_bytes
    tensors = tuple(_parse_tensors(cursor, dimensions))
    return GgmlInfo(dimensions, head_bytes, cursor.offset_bytes, tensors)


def _parse_dimensions(cursor: _Cursor) -> Dimensions:
    if cursor.numbers(1)[0] != _MAGIC:
        raise cursor.bad("it does not begin with its magic number (a ggml-*.bin file is wanted, not GGUF)")
    dimensions = Dimensions(*cursor.numbers(11))
    if problem := dimensions.problem():
        raise cursor.bad(f"no Whisper has {problem}")
    return dimensions


def _skip_filters(cursor: _Cursor, dimensions: Dimensions) -> None:
    shape = cursor.numbers(2)
    if shape != (dimensions.n_mels, N_FREQUENCIES):
        raise cursor.bad(f"mel filters of shape {shape[0]} x {shape[1]}")
    cursor.skip(4 * dimensions.n_mels * N_FREQUENCIES)


def _skip_vocabulary(cursor: _Cursor, dimensions: Dimensions) -> None:
    (n_tokens,) = cursor.numbers(1)
    # Files quantised by older tools leave out the last, special, token of English vocabularies.
    if not N_TEXT_TOKENS - 1 <= n_tokens <= dimensions.n_vocab:
        raise cursor.bad(f"a vocabulary of {n_tokens} tokens")
    cursor.skip_tokens(n_tokens)


def _parse_tensors(cursor: _Cursor, dimensions: Dimensions) -> Iterator[TensorPlace]:
    wanted = {spec.name: spec for spec in dimensions.tensors()}
    while not cursor.at_end:
        n_dims, name_bytes, type_code = cursor.numbers(3)
        if not (1 <= n_dims <= 3 and 1 <= name_bytes <= _MAX_NAME_BYTES):
            raise cursor.bad(f"a tensor with {n_dims} dimensions and a name of {name_bytes} bytes")
        shape = tuple(reversed(cursor.numbers(n_dims)))
        name = cursor.text(name_bytes)
        spec = wanted.pop(name, None)
        if spec is None or spec.shape != shape or spec.type != type_code:
            raise cursor.bad(
                f"tensor {name[:60]!r} of shape {shape} and type {type_code} does not belong there"
            )
        yield TensorPlace(name, shape, spec.type, cursor.skip(spec.type.size_bytes(shape)))
    if wanted:
        raise cursor.bad(f"cut short, {len(wanted)} tensors are missing ({next(iter(wanted))} first)")
