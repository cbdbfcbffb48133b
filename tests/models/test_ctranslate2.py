"""The reader of CTranslate2's `model.bin`: whole files, files in parts, and files that lie."""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from asrctl.errors import ModelError
from asrctl.models.ctranslate2 import Ct2Model, read_vocabulary

from .mini import ct2_bytes

ARRAYS = hnp.arrays(
    st.sampled_from([np.float32, np.float16, np.int8, np.int16, np.int32]), hnp.array_shapes(min_dims=0)
)
VARIABLES = st.dictionaries(st.text(max_size=20), ARRAYS, max_size=4)
SMALL: dict[str, NDArray[Any]] = {
    "a/weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array(7, np.int8),
}
in_tmp_path = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def model_of(directory: Path, *parts: bytes) -> Ct2Model:
    paths = [directory / f"part{index}" for index in range(len(parts))]
    for path, content in zip(paths, parts, strict=True):
        path.write_bytes(content)
    return Ct2Model(paths)


@in_tmp_path
@given(variables=VARIABLES, spec=st.text(max_size=20))
def test_what_was_written_is_read(tmp_path: Path, variables: dict[str, NDArray[Any]], spec: str) -> None:
    """Every variable comes back with its name, shape, type and bits."""
    variables = {name: array for name, array in variables.items() if not name.endswith("_scale")}
    model = model_of(tmp_path, ct2_bytes(variables, spec))
    assert model.spec_name == spec
    for name, array in variables.items():
        assert name in model and model.shape(name) == array.shape
        read = model.array(name)
        assert read.dtype == array.dtype and read.tobytes() == array.tobytes()


@in_tmp_path
@given(cuts=st.lists(st.integers(1, len(ct2_bytes(SMALL)) - 1), unique=True, max_size=4))
def test_parts_are_read_as_one(tmp_path: Path, cuts: list[int]) -> None:
    """Wherever a file was cut into parts, also within a number."""
    whole = ct2_bytes(SMALL)
    edges = [0, *sorted(cuts), len(whole)]
    parts = [whole[start:end] for start, end in pairwise(edges)]
    model = model_of(tmp_path, *parts)
    for name, array in SMALL.items():
        assert np.array_equal(model.array(name), array)


@in_tmp_path
@given(length=st.integers(1, len(ct2_bytes(SMALL)) - 5))
def test_a_file_cut_short_is_refused(tmp_path: Path, length: int) -> None:
    """At any byte before the table of aliases, which is not needed."""
    with pytest.raises(ModelError, match=r"cut short|damaged"):
        model_of(tmp_path, ct2_bytes(SMALL)[:length])


@in_tmp_path
@given(position=st.integers(0, len(ct2_bytes(SMALL)) - 1), junk=st.binary(min_size=1, max_size=8))
def test_damage_is_an_error_of_ours_or_harmless(tmp_path: Path, position: int, junk: bytes) -> None:
    """Bytes overwritten anywhere give a ModelError or other numbers, never anything else."""
    content = ct2_bytes(SMALL)
    try:
        model = model_of(tmp_path, content[:position] + junk + content[position + len(junk) :])
        for name in SMALL:
            model.array(name)
    except ModelError:
        pass


@in_tmp_path
@given(content=st.binary(min_size=1, max_size=200))
def test_any_bytes_are_refused(tmp_path: Path, content: bytes) -> None:
    """What is no model at all is refused with an error of ours, or holds no variables."""
    try:
        model = model_of(tmp_path, content)
    except ModelError as error:
        assert "not a usable CTranslate2" in str(error)
    else:
        assert "a" not in model


def test_bfloat16_is_widened(tmp_path: Path) -> None:
    """bfloat16 is the upper half of a float32."""
    numbers = np.array([1.0, -2.5, 0.0], np.float32)
    upper = (numbers.view(np.uint32) >> 16).astype(np.uint16)
    assert np.array_equal(model_of(tmp_path, ct2_bytes({"w": upper})).array("w"), numbers)


@pytest.mark.parametrize("scale", [np.array([2.0, 4.0], np.float32), np.array(2.0, np.float32)])
def test_integers_are_scaled_back(tmp_path: Path, scale: NDArray[np.float32]) -> None:
    """Quantised rows are divided by their scale, one for each row or one for all."""
    rows = np.array([[2, 4], [8, -4]], np.int8)
    array = model_of(tmp_path, ct2_bytes({"w": rows, "w_scale": scale})).array("w")
    assert array.dtype == np.float32
    assert array[0].tolist() == [1, 2] and array[1].tolist() == ([2, -1] if scale.ndim else [4, -2])


@pytest.mark.parametrize("scale", [np.ones(3, np.float32), np.zeros(2, np.float32)])
def test_a_scale_that_cannot_be_is_refused(tmp_path: Path, scale: NDArray[np.float32]) -> None:
    """One of another shape, or a zero to divide by."""
    model = model_of(tmp_path, ct2_bytes({"w": np.ones((2, 2), np.int8), "w_scale": scale}))
    with pytest.raises(ModelError, match="the scale of w does not fit"):
        model.array("w")


def test_a_huge_number_of_variables_is_refused(tmp_path: Path) -> None:
    """The count is checked before anything is made of it."""
    content = struct.pack("<IH", 6, 1) + b"\0" + struct.pack("<II", 3, 0xFFFFFFFF)
    with pytest.raises(ModelError, match="4294967295 variables"):
        model_of(tmp_path, content)


def test_a_missing_variable_is_named(tmp_path: Path) -> None:
    """The error says which one is not there, and in which file."""
    with pytest.raises(ModelError, match=r"part0 is not a usable CTranslate2 .* it has no nothing"):
        model_of(tmp_path, ct2_bytes(SMALL)).array("nothing")


def test_an_empty_or_missing_file_is_said(tmp_path: Path) -> None:
    """An empty file cannot be mapped, a missing one not opened; both are errors of ours."""
    with pytest.raises(ModelError, match="is empty"):
        model_of(tmp_path, b"")
    with pytest.raises(ModelError, match="No such file"):
        Ct2Model([tmp_path / "missing"])


def test_vocabularies_in_both_forms(tmp_path: Path) -> None:
    """A JSON list wins over lines; tokens keep odd characters."""
    (tmp_path / "vocabulary.txt").write_text("a\n\u0120b\n", encoding="utf-8")
    assert read_vocabulary(tmp_path) == ["a", "\u0120b", ""]
    (tmp_path / "vocabulary.json").write_text('["c"]', encoding="utf-8")
    assert read_vocabulary(tmp_path) == ["c"]


@pytest.mark.parametrize("content", ["{", '{"a": 1}', "[1]", "\udcff"])
def test_a_vocabulary_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    """Broken JSON, something else than a list of strings, and bytes that are not UTF-8."""
    (tmp_path / "vocabulary.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelError, match="vocabulary"):
        read_vocabulary(tmp_path)


def test_a_directory_without_a_vocabulary_says_so(tmp_path: Path) -> None:
    """The user is told which files were looked for."""
    with pytest.raises(ModelError, match=r"no vocabulary\.json or vocabulary\.txt"):
        read_vocabulary(tmp_path)
