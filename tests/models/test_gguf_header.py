"""GGUF headers: what they say is read, and whatever else a file holds ends in an error that names it."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from asrctl.errors import ModelError
from asrctl.models.gguf_header import GgufInfo, is_gguf, read_header
from asrctl.models.gguf_models import describe_gguf, resolve_gguf
from asrctl.models.store import ModelStore
from tests.providers.small_gguf import write_model

FUZZED = 200
HEADER_BYTES = 6000
STRING, ARRAY, U32 = 8, 9, 4


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model of a streaming family."""
    return write_model(tmp_path_factory.mktemp("gguf") / "small.gguf")


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def pair(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def header(*pairs: bytes, tensors: bytes = b"", n_tensors: int = 0, n_pairs: int | None = None) -> bytes:
    count = len(pairs) if n_pairs is None else n_pairs
    return b"GGUF" + struct.pack("<IQQ", 3, n_tensors, count) + b"".join(pairs) + tensors


def tensor(name: str, dimensions: list[int], kind: int, offset: int) -> bytes:
    sizes = struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
    return text(name) + sizes + struct.pack("<IQ", kind, offset)


FAMILY = pair("general.architecture", STRING, text("parakeet"))


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    return path


def test_what_a_model_says(model: Path) -> None:
    """Name, family, languages, licence, and that it streams."""
    info = read_header(model)
    assert is_gguf(model)
    assert info == GgufInfo(
        "Small and random", "moonshine_streaming", ("en",), "mit", True, model.stat().st_size, info.tensors
    )
    assert info.tensors > 50
    assert not describe_gguf(model).multilingual


def test_text_is_fit_to_be_printed(tmp_path: Path) -> None:
    """Control characters of a stranger's file do not reach the terminal."""
    name = pair("general.name", STRING, text("a\x1b[31m\nb"))
    assert read_header(written(tmp_path, header(FAMILY, name))).name == "a [31m b"


def test_large_vocabularies_are_passed_over(tmp_path: Path) -> None:
    """Arrays of strings and numbers are no part of what is kept."""
    tokens = struct.pack("<IQ", STRING, 50_000) + text("token") * 50_000
    scores = struct.pack("<IQ", U32, 50_000) + bytes(200_000)
    path = written(tmp_path, header(pair("t", ARRAY, tokens), pair("s", ARRAY, scores), FAMILY))
    assert read_header(path).family == "parakeet"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "cut short"),
        (b"GGML" + bytes(40), "no GGUF"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (header(n_pairs=1 << 60), "metadata keys"),
        (header(FAMILY, n_tensors=1 << 40), "tensors"),
        (header(FAMILY, n_pairs=5), "cut short"),
        (header(), "what architecture"),
        (header(pair("k", 99, b"")), "type 99"),
        (header(text(""), n_pairs=1)[:-8] + struct.pack("<Q", 1 << 50), "bytes in a text"),
        (header(pair("k", ARRAY, struct.pack("<IQ", U32, 1 << 62))), "items of an array"),
        (header(pair("k", ARRAY, struct.pack("<IQ", ARRAY, 3))), "type 9"),
        (header(pair("k", ARRAY, struct.pack("<IQQ", STRING, 1, 1 << 63))), "longer than any"),
        (header(FAMILY, pair("general.alignment", U32, struct.pack("<I", 3))), "alignment is 3"),
        (header(FAMILY, tensors=tensor("w", [1 << 39, 1 << 39], 0, 0), n_tensors=1), "makes no sense"),
        (header(FAMILY, tensors=tensor("w", [4], 0, 7), n_tensors=1), "makes no sense"),
        (header(FAMILY, tensors=tensor("w", [64], 0, 0), n_tensors=1), "cut short"),
        (header(FAMILY, tensors=tensor("w", [1] * 5, 0, 0), n_tensors=1), "5 dimensions"),
    ],
)
def test_damage_is_named(tmp_path: Path, content: bytes, complaint: str) -> None:
    """Every count, length, type and place is checked before it is believed."""
    path = written(tmp_path, content)
    with pytest.raises(ModelError, match=complaint) as caught:
        read_header(path)
    assert str(path) in str(caught.value)


def test_a_header_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is all header is given up long before its end."""
    monkeypatch.setattr("asrctl.models.gguf_header._MAX_HEADER_BYTES", 1 << 20)
    tokens = struct.pack("<IQ", STRING, 400_000) + text("token") * 400_000
    with pytest.raises(ModelError, match="longer than any model needs"):
        read_header(written(tmp_path, header(pair("t", ARRAY, tokens), FAMILY)))


def test_models_that_are_cut_short(tmp_path: Path, model: Path) -> None:
    """A download that broke off is told from a model, wherever it was cut."""
    whole = model.read_bytes()
    for share in (0.00001, 0.001, 0.01, 0.3, 0.999):
        with pytest.raises(ModelError, match="cut short"):
            read_header(written(tmp_path, whole[: int(len(whole) * share)]))


def test_hostile_headers(tmp_path: Path, model: Path) -> None:
    """Whatever bytes are changed, the reader answers: with what the file says, or with an error."""
    chance, whole = random.Random(23), model.read_bytes()
    read = 0
    for _ in range(FUZZED):
        content = bytearray(whole)
        for _ in range(chance.choice((1, 2, 8, 64))):
            at = chance.randrange(HEADER_BYTES)
            content[at : at + chance.choice((1, 4, 8))] = chance.randbytes(chance.choice((1, 4, 8)))
        try:
            read_header(written(tmp_path, bytes(content)))
            read += 1
        except ModelError as error:
            assert "\n" not in str(error)
    assert 0 < read < FUZZED


def test_a_name_is_whisper_cpps(store: ModelStore, tiny_en: Path) -> None:
    """Recognisers that take GGUF files take whisper.cpp's models by their names too."""
    assert resolve_gguf(store, "tiny.en-q8_0").path == tiny_en


def test_a_path_must_exist(store: ModelStore, tmp_path: Path, model: Path) -> None:
    """A GGUF file is found by its path, whatever it is called; one that is not there is an error."""
    assert resolve_gguf(store, str(model)).name == "small.gguf"
    renamed = written(tmp_path, model.read_bytes()).rename(tmp_path / "renamed.bin")
    assert resolve_gguf(store, str(renamed)).path == renamed
    with pytest.raises(ModelError, match="No such file"):
        resolve_gguf(store, str(tmp_path / "nowhere.gguf"))
    with pytest.raises(ModelError, match="holds no weights"):
        describe_gguf(written(tmp_path, header(FAMILY)))
