"""Weights of the user's own, given by path: whisper.cpp files and CTranslate2 directories."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asrctl.errors import ModelError
from asrctl.models.ggml import check_ggml
from asrctl.models.store import ModelStore

from .mini import write_ct2, write_ggml


def test_a_users_file_is_taken_as_it_is(shop: ModelStore, tmp_path: Path) -> None:
    """Checked, not copied; its name is that of the model."""
    path = write_ggml(tmp_path / "ggml-mine.bin")
    model = shop.resolve(str(path))
    assert (model.name, model.path, model.multilingual) == ("mine", path, False)
    assert model.size_bytes == path.stat().st_size < model.memory_bytes
    assert not shop.root.exists()


def test_a_users_broken_file_is_refused(shop: ModelStore, tmp_path: Path) -> None:
    """Before native code sees it; a path that is not there is not taken for a name."""
    path = tmp_path / "model.bin"
    path.write_bytes(b"nonsense")
    with pytest.raises(ModelError, match=r"model\.bin is not a usable whisper\.cpp model"):
        shop.resolve(str(path))
    for missing in ("missing.bin", "some/where", "~no-such-user/x"):
        with pytest.raises(ModelError, match="No such file"):
            shop.resolve(missing)


def test_a_users_ctranslate2_directory_is_converted_once(shop: ModelStore, tmp_path: Path) -> None:
    """Into a q8_0 file of its own name, and again only when the weights change."""
    directory = write_ct2(tmp_path / "my model")
    model = shop.resolve(str(directory))
    assert model.name == "my model" and model.path.name.startswith("own-my_model-")
    assert check_ggml(model.path).dimensions.ftype == 2007
    before = model.path.stat().st_mtime_ns
    assert shop.resolve(str(directory)) == model and model.path.stat().st_mtime_ns == before
    os.utime(directory / "model.bin", (1, 1))
    assert shop.resolve(str(directory)).path != model.path
    assert len(shop.own_models()) == 2


def test_a_users_converted_model_has_a_name_of_its_own(shop: ModelStore, tmp_path: Path) -> None:
    """By which it is found and removed."""
    path = shop.resolve(str(write_ct2(tmp_path / "mine"))).path
    found = shop.find(path.stem)
    assert found and found.path == path
    shop.remove(path.stem)
    assert not path.exists() and shop.own_models() == []


def test_a_directory_without_a_model_is_refused(shop: ModelStore, tmp_path: Path) -> None:
    """The error says what is missing from it."""
    with pytest.raises(ModelError, match=r"it has no model\.bin"):
        shop.resolve(str(tmp_path))
