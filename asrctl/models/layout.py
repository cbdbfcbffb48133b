"""The shape of a Whisper network: its dimensions, and every tensor of a whisper.cpp file in order.

One description serves three: the converter (what to write), the checker (what must be there)
and the tests (how long a published file has to be).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from enum import IntEnum

N_FREQUENCIES = 201
"""Bins of the spectrum a mel filter spans: n_fft / 2 + 1, with n_fft = 400 samples."""

N_TEXT_TOKENS = 50_257
"""Tokens a whisper.cpp file spells out; the special ones after them are numbered, not stored."""

_ENGLISH_VOCAB = 51_864


class GgmlType(IntEnum):
    """How a tensor's numbers are stored; the values are ggml's."""

    F32 = 0
    F16 = 1
    Q4_0 = 2
    Q4_1 = 3
    Q5_0 = 6
    Q5_1 = 7
    Q8_0 = 8

    def size_bytes(self, shape: tuple[int, ...]) -> int:
        """Bytes a tensor of `shape` takes; its last dimension must be a multiple of the block."""
        block, block_bytes = _BLOCKS[self]
        n_numbers = 1
        for dim in shape:
            n_numbers *= dim
        return n_numbers // block * block_bytes


# Numbers a block holds, and bytes it takes.
_BLOCKS = {
    GgmlType.F32: (1, 4),
    GgmlType.F16: (1, 2),
    GgmlType.Q4_0: (32, 18),
    GgmlType.Q4_1: (32, 20),
    GgmlType.Q5_0: (32, 22),
    GgmlType.Q5_1: (32, 24),
    GgmlType.Q8_0: (32, 34),
}

# A file's ftype -> the type of its matrices. Files add 1000 x the version of the quantised layout.
_MATRIX_TYPES = {
    0: GgmlType.F32,
    1: GgmlType.F16,
    2: GgmlType.Q4_0,
    3: GgmlType.Q4_1,
    7: GgmlType.Q8_0,
    8: GgmlType.Q5_0,
    9: GgmlType.Q5_1,
}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor that belongs to the network: shape outermost first, and how it is stored."""

    name: str
    shape: tuple[int, ...]
    type: GgmlType


@dataclass(frozen=True, slots=True)
class Dimensions:
    """The eleven numbers at the head of a whisper.cpp file, in its order."""

    n_vocab: int
    n_audio_ctx: int
    n_audio_state: int
    n_audio_head: int
    n_audio_layer: int
    n_text_ctx: int
    n_text_state: int
    n_text_head: int
    n_text_layer: int
    n_mels: int
    ftype: int

    @property
    def multilingual(self) -> bool:
        """Whether the vocabulary has language tokens."""
        return self.n_vocab > _ENGLISH_VOCAB

    @property
    def matrix_type(self) -> GgmlType:
        """How the matrices are stored. Raises KeyError for an ftype that `problem` refuses."""
        return _MATRIX_TYPES[self.ftype % 1000]

    def problem(self) -> str | None:
        """Why whisper.cpp must not see these dimensions, or None.

        It sizes buffers and indexes tables by them without looking twice, so only what a
        Whisper can have passes: every published one has 1500 audio and 448 text positions.
        """
        rules = (
            (_ENGLISH_VOCAB <= self.n_vocab <= _ENGLISH_VOCAB + 2, f"{self.n_vocab} tokens"),
            (self.n_audio_ctx == 1500, f"{self.n_audio_ctx} audio positions"),
            (self.n_text_ctx == 448, f"{self.n_text_ctx} text positions"),
            (self.n_mels in (80, 128), f"{self.n_mels} mel bands"),
            (0 < self.n_audio_state <= 4096 and self.n_audio_state % 64 == 0, f"width {self.n_audio_state}"),
            (self.n_text_state == self.n_audio_state, f"text width {self.n_text_state}"),
            (_divides(self.n_audio_head, self.n_audio_state), f"{self.n_audio_head} audio heads"),
            (_divides(self.n_text_head, self.n_text_state), f"{self.n_text_head} text heads"),
            (0 < self.n_audio_layer <= 64, f"{self.n_audio_layer} audio layers"),
            (0 < self.n_text_layer <= 64, f"{self.n_text_layer} text layers"),
            (0 <= self.ftype < 3000 and self.ftype % 1000 in _MATRIX_TYPES, f"number format {self.ftype}"),
        )
        return next((complaint for holds, complaint in rules if not holds), None)

    def numbers(self) -> tuple[int, ...]:
        """The dimensions in the file's order."""
        return astuple(self)

    def tensors(self) -> Iterator[TensorSpec]:
        """Every tensor, in the order of the published files."""
        for name, shape in _shapes(self):
            yield TensorSpec(name, shape, _stored_type(name, shape, self.matrix_type))


def _divides(part: int, whole: int) -> bool:
    return 0 < part <= whole and whole % part == 0


def _stored_type(name: str, shape: tuple[int, ...], matrix_type: GgmlType) -> GgmlType:
    """Vectors, convolution biases and positions stay f32; convolutions are never quantised."""
    if len(shape) == 1 or shape[-1] == 1 or name.endswith("positional_embedding"):
        return GgmlType.F32
    if len(shape) == 3:
        return min(matrix_type, GgmlType.F16)
    return matrix_type


def _shapes(dims: Dimensions) -> Iterator[tuple[str, tuple[int, ...]]]:
    width = dims.n_audio_state
    yield "decoder.positional_embedding", (dims.n_text_ctx, width)
    yield "encoder.positional_embedding", (dims.n_audio_ctx, width)
    yield "decoder.token_embedding.weight", (dims.n_vocab, width)
    for layer in range(dims.n_text_layer):
        yield from _block(f"decoder.blocks.{layer}", width, cross=True)
    yield from _affine("decoder.ln", (width,), width)
    for conv, n_inputs in (("conv1", dims.n_mels), ("conv2", width)):
        yield f"encoder.{conv}.weight", (width, n_inputs, 3)
        yield f"encoder.{conv}.bias", (width, 1)
    for layer in range(dims.n_audio_layer):
        yield from _block(f"encoder.blocks.{layer}", width, cross=False)
    yield from _affine("encoder.ln_post", (width,), width)


def _block(name: str, width: int, *, cross: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from _affine(f"{name}.mlp_ln", (width,), width)
    yield from _affine(f"{name}.mlp.0", (4 * width, width), 4 * width)
    yield from _affine(f"{name}.mlp.2", (width, 4 * width), width)
    for attention in ("attn", "cross_attn") if cross else ("attn",):
        yield from _affine(f"{name}.{attention}_ln", (width,), width)
        yield from _affine(f"{name}.{attention}.query", (width, width), width)
        yield f"{name}.{attention}.key.weight", (width, width)
        yield from _affine(f"{name}.{attention}.value", (width, width), width)
        yield from _affine(f"{name}.{attention}.out", (width, width), width)


def _affine(name: str, shape: tuple[int, ...], n_outputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", shape
    yield f"{name}.bias", (n_outputs,)
