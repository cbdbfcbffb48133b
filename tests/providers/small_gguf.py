"""A model of a streaming family of transcribe.cpp with small random weights, written as a GGUF file.

Its text is gibberish, but everything else is real: the library loads it, streams through it, commits and
finalises, and can be cancelled.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FAMILY = "moonshine_streaming"
SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]

_LAYERS = 2
_WIDTH = 32
_HEADS = 2
_INNER = 48
_FRAME_SAMPLES = 80
_POSITIONS = 4096
_SPECIALS = ("<unk>", "<s>", "</s>")

Shape = tuple[int, ...]


def write_model(path: Path, *, seed: int = 3, layers: int = _LAYERS, width: int = _WIDTH) -> Path:
    """Write the file; the same for the same arguments."""
    from gguf import GGUFWriter

    tokens = [*_SPECIALS, *(f"▁{syllable}" for syllable in SYLLABLES)]
    writer = GGUFWriter(path, FAMILY)
    writer.add_name("Small and random")
    writer.add_languages(["en"])
    writer.add_string("general.license", "mit")
    writer.add_string("stt.variant", "moonshine-streaming-tiny")
    writer.add_bool("stt.capability.streaming", True)
    _add_tokenizer(writer, tokens)
    _add_numbers(writer, layers, width, len(tokens))
    random = np.random.default_rng(seed)
    for name, shape in _tensors(layers, width, len(tokens)):
        writer.add_tensor(name, _values(random, name, shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: object, tokens: list[str]) -> None:
    writer.add_tokenizer_model("bpe")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([2, 3, 3] + [1] * (len(tokens) - len(_SPECIALS)))
    writer.add_token_merges(["b a"])
    writer.add_bool("tokenizer.ggml.byte_fallback", True)
    for name, number in (("unknown", 0), ("bos", 1), ("eos", 2), ("padding", 0)):
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", number)


def _add_numbers(writer: object, layers: int, width: int, n_tokens: int) -> None:
    shared = {
        "n_layers": layers,
        "d_model": width,
        "n_heads": _HEADS,
        "n_kv_heads": _HEADS,
        "head_dim": width // _HEADS,
        "ffn_dim": _INNER,
    }
    for part, activation in (("encoder", "gelu"), ("decoder", "silu")):
        for name, number in shared.items():
            writer.add_uint32(f"stt.{FAMILY}.{part}.{name}", number)
        writer.add_string(f"stt.{FAMILY}.{part}.activation", activation)
    writer.add_float32(f"stt.{FAMILY}.encoder.frame_ms", 5.0)
    writer.add_uint32(f"stt.{FAMILY}.encoder.frame_len", _FRAME_SAMPLES)
    writer.add_array(f"stt.{FAMILY}.encoder.sliding_windows", [16, 4] * layers)
    writer.add_uint32(f"stt.{FAMILY}.decoder.vocab_size", n_tokens)
    writer.add_uint32(f"stt.{FAMILY}.decoder.max_position_embeddings", _POSITIONS)
    writer.add_float32(f"stt.{FAMILY}.partial_rotary_factor", 0.5)
    for name, number in (("decoder_start", 1), ("bos", 1), ("eos", 2), ("pad", 0)):
        writer.add_uint32(f"stt.{FAMILY}.{name}_token_id", number)
    writer.add_string("stt.frontend.type", "raw")
    writer.add_uint32("stt.frontend.sample_rate", 16_000)
    writer.add_uint32("stt.frontend.num_mels", 1)


def _tensors(layers: int, width: int, n_tokens: int) -> Iterator[tuple[str, Shape]]:
    """Names and shapes, the outermost dimension first."""
    square = (width, width)
    yield "enc.embedder.comp.log_k", (1,)
    yield "enc.embedder.linear.weight", (width, _FRAME_SAMPLES)
    yield "enc.embedder.conv1.weight", (2 * width, width, 5)
    yield "enc.embedder.conv1.bias", (2 * width,)
    yield "enc.embedder.conv2.weight", (width, 2 * width, 5)
    yield "enc.embedder.conv2.bias", (width,)
    yield "enc.final_norm.weight", (width,)
    for layer in range(layers):
        block = f"enc.blocks.{layer}"
        yield from _attention(f"{block}.norm_attn", f"{block}.attn", square)
        yield from _feed_forward(block, width, _INNER)
    yield "adapter.pos_emb.weight", (_POSITIONS, width)
    yield "dec.token_embd.weight", (n_tokens, width)
    yield "dec.final_norm.weight", (width,)
    yield "dec.lm_head.weight", (n_tokens, width)
    for layer in range(layers):
        block = f"dec.blocks.{layer}"
        yield from _attention(f"{block}.norm_self", f"{block}.self_attn", square)
        yield from _attention(f"{block}.norm_cross", f"{block}.cross_attn", square)
        yield from _feed_forward(block, width, 2 * _INNER)


def _attention(norm: str, name: str, square: Shape) -> Iterator[tuple[str, Shape]]:
    yield f"{norm}.weight", square[:1]
    for part in ("q", "k", "v", "out"):
        yield f"{name}.{part}.weight", square


def _feed_forward(block: str, width: int, outputs: int) -> Iterator[tuple[str, Shape]]:
    yield f"{block}.norm_ffn.weight", (width,)
    yield f"{block}.ffn.fc1.weight", (outputs, width)
    yield f"{block}.ffn.fc1.bias", (outputs,)
    yield f"{block}.ffn.fc2.weight", (width, _INNER)
    yield f"{block}.ffn.fc2.bias", (width,)


def _values(random: np.random.Generator, name: str, shape: Shape) -> NDArray[np.float32]:
    if ".norm" in name or "final_norm" in name:
        return np.ones(shape, np.float32)
    scale = 1.0 if len(shape) == 1 else (1.0 / np.prod(shape[1:])) ** 0.5
    return (random.standard_normal(shape) * scale).astype(np.float32)
