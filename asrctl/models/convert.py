"""CTranslate2 -> whisper.cpp, bit for bit as whisper.cpp publishes its files (proved by their SHA-1)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrctl.errors import ModelError
from asrctl.models.ctranslate2 import Ct2Model, read_vocabulary
from asrctl.models.ggml import GgmlStream, Tensor, encode_head
from asrctl.models.layout import N_FREQUENCIES, N_TEXT_TOKENS, Dimensions, GgmlType, TensorSpec
from asrctl.models.sources import Ct2Files

_RATE_HZ = 16_000
_FTYPE_F16 = 1

_NAMES = {
    "decoder.positional_embedding": "decoder/position_encodings/encodings",
    "encoder.positional_embedding": "encoder/position_encodings/encodings",
    "decoder.token_embedding.weight": "decoder/embeddings/weight",
    "decoder.ln.weight": "decoder/layer_norm/gamma",
    "decoder.ln.bias": "decoder/layer_norm/beta",
    "encoder.ln_post.weight": "encoder/layer_norm/gamma",
    "encoder.ln_post.bias": "encoder/layer_norm/beta",
    "encoder.conv1.weight": "encoder/conv1/weight",
    "encoder.conv1.bias": "encoder/conv1/bias",
    "encoder.conv2.weight": "encoder/conv2/weight",
    "encoder.conv2.bias": "encoder/conv2/bias",
}

# Part of a block -> CTranslate2's module, and which of how many pieces stacked in it.
_PARTS = {
    "mlp_ln": ("ffn/layer_norm", 0, 1),
    "mlp.0": ("ffn/linear_0", 0, 1),
    "mlp.2": ("ffn/linear_1", 0, 1),
    "attn_ln": ("self_attention/layer_norm", 0, 1),
    "attn.query": ("self_attention/linear_0", 0, 3),
    "attn.key": ("self_attention/linear_0", 1, 3),
    "attn.value": ("self_attention/linear_0", 2, 3),
    "attn.out": ("self_attention/linear_1", 0, 1),
    "cross_attn_ln": ("attention/layer_norm", 0, 1),
    "cross_attn.query": ("attention/linear_0", 0, 1),
    "cross_attn.key": ("attention/linear_1", 0, 2),
    "cross_attn.value": ("attention/linear_1", 1, 2),
    "cross_attn.out": ("attention/linear_2", 0, 1),
}
_BLOCK_TENSOR = re.compile(r"(encoder|decoder)\.blocks\.(\d+)\.(.+)\.(weight|bias)")


def from_ctranslate2(files: Ct2Files) -> GgmlStream:
    """A CTranslate2 Whisper model as whisper.cpp's f16 file, tensor by tensor.

    Raises:
        ModelError: not a Whisper that whisper.cpp can run, damaged, or without its vocabulary.
            Tensors may raise it too while they are taken.
    """
    model = Ct2Model(files.parts)
    if model.spec_name != "WhisperSpec":
        raise model.bad(f"it holds a {model.spec_name!r}")
    dimensions = _dimensions(model)
    if problem := dimensions.problem():
        raise model.bad(f"whisper.cpp knows no Whisper with {problem}")
    tokens = [_token_bytes(token) for token in read_vocabulary(files.directory)[:N_TEXT_TOKENS]]
    if len(tokens) < N_TEXT_TOKENS:
        raise ModelError(f"the vocabulary in {files.directory} is cut short at {len(tokens):,} tokens")
    head = encode_head(dimensions, mel_filters(dimensions.n_mels).tobytes(), tokens)
    return GgmlStream(head, _tensors(model, dimensions))


def _dimensions(model: Ct2Model) -> Dimensions:
    """Read off the shapes; anything odd in them is for `Dimensions.problem` to find."""
    n_vocab, text_width = _shape(model, "decoder/embeddings/weight", 2)
    width, n_mels, _ = _shape(model, "encoder/conv1/weight", 3)
    return Dimensions(
        n_vocab=n_vocab,
        n_audio_ctx=_shape(model, "encoder/position_encodings/encodings", 2)[0],
        n_audio_state=width,
        n_audio_head=_count_heads(model, "encoder"),
        n_audio_layer=_count_layers(model, "encoder"),
        n_text_ctx=_shape(model, "decoder/position_encodings/encodings", 2)[0],
        n_text_state=text_width,
        n_text_head=_count_heads(model, "decoder"),
        n_text_layer=_count_layers(model, "decoder"),
        n_mels=n_mels,
        ftype=_FTYPE_F16,
    )


def _shape(model: Ct2Model, name: str, rank: int) -> tuple[int, ...]:
    shape = model.shape(name)
    if len(shape) != rank:
        raise model.bad(f"{name} has shape {shape}")
    return shape


def _count_heads(model: Ct2Model, side: str) -> int:
    heads = model.array(f"{side}/num_heads")
    if heads.size != 1 or not np.issubdtype(heads.dtype, np.integer):
        raise model.bad(f"{side}/num_heads is no number of heads")
    return int(heads.item())


def _count_layers(model: Ct2Model, side: str) -> int:
    count = 0
    while f"{side}/layer_{count}/ffn/layer_norm/gamma" in model:
        count += 1
    return count


def _tensors(model: Ct2Model, dimensions: Dimensions) -> Iterator[Tensor]:
    for spec in dimensions.tensors():
        numbers = _numbers(model, spec)
        if not np.issubdtype(numbers.dtype, np.floating):
            raise model.bad(f"{spec.name} is quantised without a scale")
        if numbers.size * spec.type.size_bytes((1,)) != spec.type.size_bytes(spec.shape):
            raise model.bad(f"{spec.name} has shape {numbers.shape}, expected {spec.shape}")
        dtype = np.float32 if spec.type is GgmlType.F32 else np.float16
        stored = np.ascontiguousarray(numbers, dtype)
        yield Tensor(spec.name, spec.shape, spec.type, stored.reshape(-1).view(np.uint8).data)


def _numbers(model: Ct2Model, spec: TensorSpec) -> NDArray[Any]:
    if match := _BLOCK_TENSOR.fullmatch(spec.name):
        side, layer, part, kind = match.groups()
        module, index, n_stacked = _PARTS[part]
        if part.endswith("_ln"):
            kind = {"weight": "gamma", "bias": "beta"}[kind]
        stacked = np.atleast_1d(model.array(f"{side}/layer_{layer}/{module}/{kind}"))
        step = len(stacked) // n_stacked
        return stacked[index * step : (index + 1) * step]
    return model.array(_NAMES[spec.name])


def _token_bytes(token: str) -> bytes:
    """The bytes that a token of GPT-2's byte-level alphabet stands for."""
    try:
        return bytes(_BYTE_OF[char] for char in token)
    except KeyError as error:
        raise ModelError(f"the vocabulary is not Whisper's: token {token[:40]!r}") from error


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's letters: printable Latin-1 stands for itself, the rest for U+0100 and on, in order."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + n): byte for n, byte in enumerate(others)}


_BYTE_OF = _byte_alphabet()


def mel_filters(n_mels: int) -> NDArray[np.float32]:
    """OpenAI's mel filter bank, to the last bit: Slaney's scale and area normalisation.

    Triangles are made in float64, rounded to float32, and then scaled in float32 by float64 factors,
    in that order; the published files hold the outcome.

    Returns:
        float32, shape (n_mels, 201).
    """
    spectrum_hz = np.linspace(0, _RATE_HZ / 2, N_FREQUENCIES)
    edges_hz = _mel_to_hz(np.linspace(0.0, _hz_to_mel(_RATE_HZ / 2), n_mels + 2))
    widths_hz = np.diff(edges_hz)
    distances_hz = edges_hz[:, None] - spectrum_hz
    rising = -distances_hz[:-2] / widths_hz[:-1, None]
    falling = distances_hz[2:] / widths_hz[1:, None]
    filters = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    filters *= (2.0 / (edges_hz[2:] - edges_hz[:-2]))[:, None]
    return filters + np.float32(0)  # turns -0.0 into the +0.0 that the published files hold


# Slaney's scale: linear to 1 kHz (15 mel), then 27 mel for each factor of 6.4.
_HZ_PER_MEL = 200.0 / 3
_KNEE_HZ = 1000.0
_KNEE_MEL = _KNEE_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0


def _hz_to_mel(frequency_hz: float) -> float:
    """Only ever asked above the knee."""
    return float(_KNEE_MEL + np.log(frequency_hz / _KNEE_HZ) / _LOG_STEP)


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mel >= _KNEE_MEL, _KNEE_HZ * np.exp(_LOG_STEP * (mel - _KNEE_MEL)), _HZ_PER_MEL * mel)
