"""ONNX files: loaded for one thread, and written byte by byte, as far as `models.campplus` needs the format.

A file is a protocol buffer; field numbers are those of onnx.proto3. Written here, and not by the package
`onnx`, so that the same weights always give the same bytes, whose checksum the catalogue knows.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrctl.errors import ModelError

_IR_VERSION, _OPSET = 8, 17
_FLOAT, _INT64 = 1, 7
_ATTRIBUTE_FLOAT, _ATTRIBUTE_INT, _ATTRIBUTE_INTS = 1, 2, 7
_VARINT, _BYTES, _FIXED32 = 0, 2, 5


def open_onnx(path: Path) -> Any:
    """An `InferenceSession` of onnxruntime's, whose calls use one thread.

    Raises:
        ModelError: The file does not load.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # calls are seldom; what one needs is given back in between
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base of their own
        raise ModelError(f"{path} does not load: {error}") from error


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers are written as 64 bits in two's complement
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _part(field: int, content: bytes | str) -> bytes:
    content = content.encode() if isinstance(content, str) else content
    return _varint(field << 3 | _BYTES) + _varint(len(content)) + content


def _attribute(name: str, value: float | int | Sequence[int]) -> bytes:
    if isinstance(value, float):
        kind, content = _ATTRIBUTE_FLOAT, _varint(2 << 3 | _FIXED32) + struct.pack("<f", value)
    elif isinstance(value, int):
        kind, content = _ATTRIBUTE_INT, _number(3, value)
    else:
        kind, content = _ATTRIBUTE_INTS, b"".join(_number(8, each) for each in value)
    return _part(1, name) + content + _number(20, kind)


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    """A float tensor that goes in or out; a named length may be any."""
    lengths = [_part(2, each) if isinstance(each, str) else _number(1, each) for each in shape]
    dimensions = b"".join(_part(1, each) for each in lengths)
    return _part(1, name) + _part(2, _part(1, _number(1, _FLOAT) + _part(2, dimensions)))


class OnnxGraph:
    """A graph under construction."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[bytes] = []
        self._tensors: list[bytes] = []
        self._ends: list[bytes] = []

    def tensor(self, name: str, value: NDArray[Any]) -> str:
        """Add weights (float32 or int64); returns their name."""
        kind = _INT64 if value.dtype == np.int64 else _FLOAT
        lengths = b"".join(_number(1, length) for length in value.shape)
        raw = np.ascontiguousarray(value, "<i8" if kind == _INT64 else "<f4").tobytes()
        self._tensors.append(lengths + _number(2, kind) + _part(8, name) + _part(9, raw))
        return name

    def node(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add an operator; returns its output's name, which is made up unless given."""
        output = output or f"{operator}_{len(self._nodes)}"
        content = b"".join(_part(1, each) for each in inputs) + _part(2, output) + _part(4, operator)
        content += b"".join(_part(5, _attribute(name, value)) for name, value in attributes.items())
        self._nodes.append(content)
        return output

    def input(self, name: str, shape: Sequence[int | str]) -> str:
        """Add an input; returns its name."""
        self._ends.append(_part(11, _value(name, shape)))
        return name

    def output(self, name: str, shape: Sequence[int | str]) -> None:
        """Name what a node gives an output of the whole."""
        self._ends.append(_part(12, _value(name, shape)))

    def encode(self) -> bytes:
        """The file."""
        graph = b"".join(_part(1, node) for node in self._nodes) + _part(2, self._name)
        graph += b"".join(_part(5, tensor) for tensor in self._tensors) + b"".join(self._ends)
        return _number(1, _IR_VERSION) + _part(8, _number(2, _OPSET)) + _part(7, graph)
