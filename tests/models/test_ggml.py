"""whisper.cpp files: what is written is read, and nothing broken or hostile gets past the check."""

from __future__ import annotations

import shutil
import struct
import tracemalloc
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asrctl.errors import ModelError
from asrctl.models.ggml import check_ggml, encode, open_ggml
from asrctl.models.layout import Dimensions

from .mini import DIMENSIONS, write_ggml

HEAD_FIELDS = [field.name for field in fields(Dimensions)]
few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that passes."""
    return write_ggml(tmp_path_factory.mktemp("ggml") / "good.bin")


@pytest.fixture
def file(good: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copyfile(good, tmp_path / "model.bin"))


def patch(path: Path, offset_bytes: int, content: bytes) -> Path:
    with path.open("rb+") as file:
        file.seek(offset_bytes)
        file.write(content)
    return path


def test_what_was_written_is_found(good: Path) -> None:
    """Dimensions, length and the place of every tensor, in order."""
    info = check_ggml(good)
    assert info.dimensions == DIMENSIONS and not info.dimensions.multilingual
    assert info.size_bytes == good.stat().st_size
    assert [(place.name, place.shape, place.type) for place in info.tensors] == [
        (spec.name, spec.shape, spec.type) for spec in DIMENSIONS.tensors()
    ]


def test_reading_and_writing_give_the_same_file(good: Path) -> None:
    """A file taken as a stream and encoded again has not changed by a bit."""
    assert b"".join(encode(open_ggml(good))) == good.read_bytes()


@pytest.mark.parametrize("ftype", [0, 1, 2007, 1009, 8])
def test_the_number_formats_of_whisper_cpp_pass(tmp_path: Path, ftype: int) -> None:
    """f32, f16, and quantised ones of either layout version."""
    dimensions = replace(DIMENSIONS, ftype=ftype)
    assert check_ggml(write_ggml(tmp_path / "model.bin", dimensions)).dimensions == dimensions


@few
@given(data=st.data())
def test_a_file_cut_anywhere_is_refused(good: Path, tmp_path: Path, data: st.DataObject) -> None:
    """Whisper.cpp reads past the end of such a file without looking."""
    length = data.draw(st.integers(0, good.stat().st_size - 1))
    cut = Path(shutil.copyfile(good, tmp_path / "cut.bin"))
    with cut.open("rb+") as file:
        file.truncate(length)
    with pytest.raises(ModelError, match=r"cut short|is empty"):
        check_ggml(cut)


@few
@given(data=st.data())
def test_damage_is_an_error_of_ours_or_harmless(good: Path, tmp_path: Path, data: st.DataObject) -> None:
    """Numbers overwritten anywhere in the head, or at its end, never give another exception."""
    info = check_ggml(good)
    offset = data.draw(st.integers(0, 60) | st.integers(info.head_bytes - 20, info.head_bytes + 60))
    path = Path(shutil.copyfile(good, tmp_path / "damaged.bin"))
    patch(path, offset, data.draw(st.binary(min_size=1, max_size=8)))
    try:
        check_ggml(path)
    except ModelError as error:
        assert "damaged.bin" in str(error)


@pytest.mark.parametrize("number", [-1, 0x7FFFFFFF, -0x80000000])
@pytest.mark.parametrize("name", HEAD_FIELDS)
def test_hostile_dimensions_are_refused(file: Path, name: str, number: int) -> None:
    """No dimension may be absurd, and refusing takes no memory for what it claims."""
    patch(file, 4 + 4 * HEAD_FIELDS.index(name), struct.pack("<i", number))
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match="no Whisper has"):
            check_ggml(file)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "offset_bytes, number, complaint",
    [
        (48, 0x7FFFFFFF, "mel filters of shape"),
        (52, -1, "mel filters of shape"),
        (56 + 4 * 80 * 201, 0x7FFFFFFF, "a vocabulary of 2147483647 tokens"),
        (56 + 4 * 80 * 201, -1, "a vocabulary of -1 tokens"),
        (60 + 4 * 80 * 201, 0x7FFFFFFF, "a token of 2147483647 bytes"),
        (60 + 4 * 80 * 201, -5, "a token of -5 bytes"),
    ],
)
def test_hostile_lengths_in_the_head_are_refused(
    file: Path, offset_bytes: int, number: int, complaint: str
) -> None:
    """Lengths are believed only where a Whisper can have them."""
    patch(file, offset_bytes, struct.pack("<i", number))
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=complaint):
            check_ggml(file)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "offset_bytes, number, complaint",
    [
        (0, 9, "a tensor with 9 dimensions"),
        (4, 0x7FFFFFFF, "a name of 2147483647 bytes"),
        (8, 8, "does not belong there"),
        (12, 0x7FFFFFFF, "does not belong there"),
        (20, 0x41414141, "tensor 'AAAA"),
    ],
)
def test_a_hostile_tensor_is_refused(file: Path, offset_bytes: int, number: int, complaint: str) -> None:
    """Each tensor must have a name, shape and type that the dimensions call for."""
    patch(file, check_ggml(file).head_bytes + offset_bytes, struct.pack("<i", number))
    with pytest.raises(ModelError, match=complaint):
        check_ggml(file)


def test_a_tensor_may_not_come_twice(file: Path, good: Path) -> None:
    """A second one would be read over the first."""
    info = check_ggml(good)
    first = good.read_bytes()[info.head_bytes : info.tensors[1].offset_bytes]
    with file.open("ab") as end:
        end.write(first)
    with pytest.raises(ModelError, match=r"'decoder\.positional_embedding' .* does not belong there"):
        check_ggml(file)


def test_missing_tensors_are_counted(file: Path) -> None:
    """A file that ends between two tensors names the first that is not there."""
    info = check_ggml(file)
    last = info.tensors[-1]
    with file.open("rb+") as end:
        end.truncate(last.offset_bytes - 4 * (3 + len(last.shape)) - len(last.name))
    with pytest.raises(ModelError, match=r"1 tensors are missing \(encoder\.ln_post\.bias first\)"):
        check_ggml(file)


def test_a_vocabulary_without_the_space_is_refused(file: Path) -> None:
    """Whisper.cpp looks that token up blindly, and dies."""
    patch(file, 64 + 4 * 80 * 201, b"x")
    with pytest.raises(ModelError, match="no token for the space"):
        check_ggml(file)


@pytest.mark.parametrize("content", [b"GGUF" + bytes(100), b"<html>" + bytes(100), b"RIFF" * 20])
def test_other_files_are_told_apart(tmp_path: Path, content: bytes) -> None:
    """GGUF, a web page that was saved, audio: the magic number is wanted."""
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="magic number"):
        check_ggml(path)


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    """An empty file, a missing one, a directory."""
    (tmp_path / "empty.bin").touch()
    with pytest.raises(ModelError, match=r"empty\.bin is empty"):
        check_ggml(tmp_path / "empty.bin")
    with pytest.raises(ModelError, match=r"cannot read .*missing\.bin"):
        check_ggml(tmp_path / "missing.bin")
    with pytest.raises(ModelError, match="cannot read"):
        check_ggml(tmp_path)
