"""The smallest Whisper that passes for one: width 64, one layer a side, random weights, a full vocabulary."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrctl.models.ggml import GgmlStream, Tensor, encode, encode_head
from asrctl.models.layout import N_FREQUENCIES, Dimensions

WIDTH = 64
DIMENSIONS = Dimensions(51_864, 1500, WIDTH, 1, 1, 448, WIDTH, 1, 1, 80, 1)
_FORMATS = {"f4": 0, "i1": 1, "i2": 2, "i4": 3, "f2": 4, "u2": 5}  # u2 stands for bfloat16

Variables = Mapping[str, NDArray[Any]]


def ct2_bytes(variables: Variables, spec_name: str = "WhisperSpec") -> bytes:
    """A CTranslate2 `model.bin` that holds the variables."""
    parts = [struct.pack("<I", 6), _string(spec_name), struct.pack("<II", 3, len(variables))]
    for name, array in variables.items():
        data = array.tobytes()
        parts += [
            _string(name),
            struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape),
            struct.pack("<BI", _FORMATS[array.dtype.str[1:]], len(data)),
            data,
        ]
    return b"".join([*parts, struct.pack("<I", 0)])


def _string(text: str) -> bytes:
    raw = text.encode() + b"\0"
    return struct.pack("<H", len(raw)) + raw


def variables() -> dict[str, NDArray[Any]]:
    """Every variable of the smallest Whisper, float32."""
    random = np.random.default_rng(1)

    def numbers(*shape: int) -> NDArray[np.float32]:
        return random.standard_normal(shape, np.float32)

    made: dict[str, NDArray[Any]] = {
        "encoder/conv1/weight": numbers(WIDTH, 80, 3),
        "encoder/conv1/bias": numbers(WIDTH),
        "encoder/conv2/weight": numbers(WIDTH, WIDTH, 3),
        "encoder/conv2/bias": numbers(WIDTH),
        "encoder/position_encodings/encodings": numbers(1500, WIDTH),
        "decoder/position_encodings/encodings": numbers(448, WIDTH),
        "decoder/embeddings/weight": numbers(DIMENSIONS.n_vocab, WIDTH),
    }
    linears = {"self_attention/linear_0": (3, 1), "self_attention/linear_1": (1, 1)}
    linears |= {"ffn/linear_0": (4, 1), "ffn/linear_1": (1, 4)}
    cross = {"attention/linear_0": (1, 1), "attention/linear_1": (2, 1), "attention/linear_2": (1, 1)}
    for side, modules in (("encoder", linears), ("decoder", linears | cross)):
        made[f"{side}/num_heads"] = np.array(1, np.int8)
        norms = [f"layer_0/{part}/layer_norm" for part in {module.split("/")[0] for module in modules}]
        for norm in (*sorted(norms), "layer_norm"):
            made[f"{side}/{norm}/gamma"] = numbers(WIDTH)
            made[f"{side}/{norm}/beta"] = numbers(WIDTH)
        for module, (n_out, n_in) in modules.items():
            made[f"{side}/layer_0/{module}/weight"] = numbers(n_out * WIDTH, n_in * WIDTH)
            made[f"{side}/layer_0/{module}/bias"] = numbers(n_out * WIDTH)
    return made


def vocabulary() -> list[str]:
    """50,258 tokens in GPT-2's byte-level letters; the space is among them."""
    letters = [chr(code) for code in (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x144))]
    pairs = [first + second for first in letters for second in letters]
    return (letters + pairs)[:50_258]


def write_ct2(directory: Path, changes: Variables | None = None, spec_name: str = "WhisperSpec") -> Path:
    """A CTranslate2 directory of the smallest Whisper, with some variables changed."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "model.bin").write_bytes(ct2_bytes({**variables(), **(changes or {})}, spec_name))
    (directory / "vocabulary.txt").write_text("\n".join(vocabulary()), encoding="utf-8")
    return directory


def write_ggml(path: Path, dimensions: Dimensions = DIMENSIONS) -> Path:
    """A whisper.cpp file of these dimensions, all zeros."""
    filters = bytes(4 * dimensions.n_mels * N_FREQUENCIES)
    tokens = [b" ", *(b"token" for _ in range(50_256))]
    tensors = (
        Tensor(spec.name, spec.shape, spec.type, bytes(spec.type.size_bytes(spec.shape)))
        for spec in dimensions.tensors()
    )
    with path.open("wb") as file:
        file.writelines(encode(GgmlStream(encode_head(dimensions, filters, tokens), tensors)))
    return path
