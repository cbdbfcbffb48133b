"""The store in one process: which source wins, what is trusted, what is left behind."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from asrctl.errors import ModelError
from asrctl.models.catalog import CATALOG
from asrctl.models.files import Record
from asrctl.models.store import ModelStore

from .conftest import Downloads, Mini, kept
from .mini import write_ct2


def damage(path: Path) -> None:
    """Change a byte, and neither length nor time: as a failing disk does."""
    stat = path.stat()
    with path.open("rb+") as file:
        file.seek(stat.st_size // 2)
        byte = file.read(1)[0]
        file.seek(stat.st_size // 2)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_a_store_creates_nothing_before_it_is_needed(shop: ModelStore) -> None:
    """Asking and listing leave no directory."""
    assert shop.find("tiny.en") is None and shop.own_models() == [] and list(shop.verify()) == []
    assert not shop.root.exists()


def test_the_installed_wheel_comes_before_a_download(
    shop: ModelStore, mini_wheel: Mini, downloads: Downloads
) -> None:
    """A model is made from the wheel, with the published content, and nobody is asked for it."""
    for name in ("mini.en-q5_1", "mini.en"):
        assert shop.source(CATALOG[name]) == "installed wheel"
        model = shop.resolve(name)
        assert model.path.read_bytes() == mini_wheel.files[name]
        assert (model.name, model.size_bytes, model.multilingual) == (
            name,
            len(mini_wheel.files[name]),
            False,
        )
        assert shop.source(CATALOG[name]) == "cached" and shop.find(name) == model
    assert downloads.asked == []
    assert kept(shop) == {
        f"ggml-{name}.bin{end}" for name in ("mini.en-q5_1", "mini.en") for end in ("", ".json")
    }


def test_a_cached_f16_model_is_quantised_before_anything_else(
    shop: ModelStore, mini: Mini, downloads: Downloads
) -> None:
    """Half the bytes need not be fetched when the whole is there."""
    shop.resolve("mini.en")
    assert shop.source(CATALOG["mini.en-q8_0"]) == "cached f16"
    assert shop.resolve("mini.en-q8_0").path.read_bytes() == mini.files["mini.en-q8_0"]
    assert downloads.asked == ["ggml-mini.en.bin"]


def test_what_cannot_be_made_here_is_downloaded(
    shop: ModelStore, mini_wheel: Mini, downloads: Downloads
) -> None:
    """Formats without a quantiser, though the wheel is there; and all else without a wheel."""
    assert shop.source(CATALOG["mini.en-q5_0"]) == "download"
    assert shop.resolve("mini.en-q5_0").path.read_bytes() == mini_wheel.files["mini.en-q5_0"]
    assert downloads.asked == ["ggml-mini.en-q5_0.bin"]
    assert kept(shop) == {"ggml-mini.en-q5_0.bin", "ggml-mini.en-q5_0.bin.json"}


def test_quantising_that_goes_another_way_here_is_made_up_for(
    shop: ModelStore, mini_wheel: Mini, downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the outcome is not the published one, the published file is fetched."""
    from asrctl.models import quantize

    rows = quantize._quantized_rows
    monkeypatch.setattr(quantize, "_quantized_rows", lambda *args: np.bitwise_xor(rows(*args), 1))
    assert shop.resolve("mini.en-q8_0").path.read_bytes() == mini_wheel.files["mini.en-q8_0"]
    assert downloads.asked == ["ggml-mini.en-q8_0.bin"]


def test_a_wheel_with_other_weights_is_refused(
    shop: ModelStore, mini: Mini, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to trust a package: it is named, and nothing is kept."""
    write_ct2(tmp_path / "mini_weights" / "model", {"encoder/conv1/bias": np.zeros(64, np.float32)})
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("mini.en", "mini.en-q8_0"):
        with pytest.raises(ModelError, match=r"mini_weights.model are not the published ones: reinstall"):
            shop.resolve(name)
    assert kept(shop) == set()


def test_a_damaged_f16_model_is_not_quantised(shop: ModelStore, mini: Mini) -> None:
    """The error says which file has changed."""
    damage(shop.resolve("mini.en").path)
    with pytest.raises(ModelError, match=r"ggml-mini\.en\.bin have changed: remove them"):
        shop.resolve("mini.en-q8_0")
    assert "ggml-mini.en-q8_0.bin" not in kept(shop)


def test_a_cached_model_is_neither_hashed_nor_opened(shop: ModelStore, mini: Mini) -> None:
    """While length and time are those of the record, a start reads two small things."""
    path = shop.resolve("mini.en").path
    damage(path)
    assert shop.resolve("mini.en").path == path


def test_a_cached_model_needs_nothing_heavy(recorded: Path) -> None:
    """Neither numpy nor the quantisers, locks or downloads are imported when the file is there."""
    code = (
        "import sys; from pathlib import Path; from asrctl.models.store import ModelStore\n"
        "print(ModelStore(Path(sys.argv[1])).resolve('tiny.en').name)\n"
        "print(sorted({'numpy', 'gguf', 'filelock', 'huggingface_hub'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, recorded], capture_output=True, text=True, check=True)
    assert done.stdout == "tiny.en\n[]\n"


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A store that says of a file of a few bytes that it is tiny.en, verified."""
    path = tmp_path / "ggml-tiny.en.bin"
    path.write_bytes(b"weights")
    Record.of(path, CATALOG["tiny.en"].sha1).save(path)
    return tmp_path


def test_a_touched_file_is_hashed_and_taken_again(shop: ModelStore, mini: Mini, downloads: Downloads) -> None:
    """Copied or restored from a backup, with another time: no second download."""
    path = shop.resolve("mini.en").path
    os.utime(path, (1, 1))
    assert shop.find("mini.en") is None
    assert shop.resolve("mini.en").path == path
    assert len(downloads.asked) == 1


def test_a_file_out_of_a_containers_image_is_taken(recorded: Path) -> None:
    """Its time lost what is below a second, nothing may be written there, and nothing is hashed."""
    path = recorded / "ggml-tiny.en.bin"
    recorded_ns = 1_700_000_000_123_456_789
    os.utime(path, ns=(recorded_ns, recorded_ns))
    Record.of(path, CATALOG["tiny.en"].sha1).save(path)
    for lost_ns, is_there in ((123_456_789, True), (1, False), (10**9 + 123_456_789, False)):
        os.utime(path, ns=(recorded_ns, recorded_ns - lost_ns))
        assert (ModelStore(recorded).find("tiny.en") is not None) == is_there


def test_a_file_put_there_by_hand_is_taken(shop: ModelStore, mini: Mini, downloads: Downloads) -> None:
    """If it has the published checksum; no record is needed."""
    shop.root.mkdir()
    (shop.root / "ggml-mini.en.bin").write_bytes(mini.files["mini.en"])
    shop.resolve("mini.en")
    assert downloads.asked == [] and shop.find("mini.en")


@pytest.mark.parametrize(
    "record", ["", "{", "[]", '{"sha1": 1}', '{"sha1": "x", "size_bytes": 0, "mtime_ns": 0}']
)
def test_a_broken_record_counts_as_none(shop: ModelStore, mini: Mini, record: str) -> None:
    """As a process that was killed while it wrote it leaves it."""
    path = shop.resolve("mini.en").path
    path.with_name(f"{path.name}.json").write_text(record)
    assert shop.find("mini.en") is None
    shop.resolve("mini.en")
    assert shop.find("mini.en")


def test_verify_finds_what_has_changed_and_pull_makes_up_for_it(shop: ModelStore, mini_wheel: Mini) -> None:
    """A changed file is not used any more from then on; the others are said to be good."""
    good, bad = shop.resolve("mini.en-q8_0"), shop.resolve("mini.en-q5_1")
    own = shop.resolve(str(mini_wheel.weights))
    assert [verdict.problem for verdict in shop.verify()] == [None] * 3
    damage(bad.path)
    damage(own.path)
    problems = {verdict.name: verdict.problem for verdict in shop.verify()}
    assert problems.pop("mini.en-q8_0") is None
    assert all(problem and "has changed (SHA-1 " in problem for problem in problems.values())
    assert shop.find("mini.en-q5_1") is None and shop.find("mini.en-q8_0") == good
    assert shop.resolve("mini.en-q5_1").path.read_bytes() == mini_wheel.files["mini.en-q5_1"]
    shop.resolve(str(mini_wheel.weights))
    assert [verdict.problem for verdict in shop.verify()] == [None] * 3


def test_remove(shop: ModelStore, mini: Mini) -> None:
    """A model and its record go; one that is not there, or unknown, is an error."""
    shop.resolve("mini.en")
    shop.remove("mini.en")
    assert kept(shop) == set()
    with pytest.raises(ModelError, match=r"mini\.en is not in the cache"):
        shop.remove("mini.en")
    with pytest.raises(ModelError, match="did you mean"):
        shop.remove("tinny")


@pytest.mark.parametrize("name", ["mini.en", "mini.en-q8_0"])
def test_a_download_with_other_content_is_not_kept(
    shop: ModelStore, mini: Mini, downloads: Downloads, name: str
) -> None:
    """Whatever it holds: the checksum decides."""
    downloads.content[f"ggml-{name}.bin"] = mini.files["mini.en-q5_1"]
    with pytest.raises(ModelError, match=f"what was downloaded is not the published {name}"):
        shop.resolve(name)
    assert kept(shop) == set()


def test_a_download_that_fails_leaves_nothing_and_names_the_wheel(
    shop: ModelStore, downloads: Downloads
) -> None:
    """A user without a network is told what a package index has, where it has something."""
    downloads.error = ModelError("no connection")
    with pytest.raises(ModelError, match=r"no connection, or pip install 'asrctl\[mini-en\]'"):
        shop.resolve("mini.en-q8_0")
    with pytest.raises(ModelError, match=r"no connection$"):
        shop.resolve("mini.en-q5_0")
    assert kept(shop) == set()


def test_a_disk_that_fills_up_is_said(shop: ModelStore, downloads: Downloads) -> None:
    """In the middle of a download, and where it was: with what to do."""
    downloads.error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(ModelError, match=r"no room for the model in .*ASRCTL_MODELS_DIR"):
        shop.resolve("mini.en")
    assert kept(shop) == set()


def test_too_small_a_disk_is_said_before_anything_is_written(
    shop: ModelStore, downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what is needed, and what there is."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 0, 1_000_000))
    with pytest.raises(ModelError, match=r"no room .* \(8 MB needed, 1 MB free\)"):
        shop.resolve("mini.en")
    assert downloads.asked == []


def test_a_store_that_cannot_be_written_is_said(tmp_path: Path, downloads: Downloads) -> None:
    """Here a file is where its directory should be."""
    (tmp_path / "models").write_text("")
    with pytest.raises(ModelError, match="cannot keep models in"):
        ModelStore(tmp_path / "models", download=downloads).resolve("mini.en")


def test_leftovers_of_killed_processes_are_swept(shop: ModelStore, mini: Mini) -> None:
    """Of any model, files and directories alike, when the next one is made."""
    shop.root.mkdir()
    (shop.root / ".ggml-large-v3.bin.tmp").mkdir()
    (shop.root / ".ggml-large-v3.bin.tmp" / "part").write_bytes(b"x")
    (shop.root / ".ggml-mini.en.bin.tmp").write_bytes(b"x")
    shop.resolve("mini.en")
    assert kept(shop) == {"ggml-mini.en.bin", "ggml-mini.en.bin.json"}


def test_a_name_of_the_catalog_is_never_a_path(
    shop: ModelStore, mini: Mini, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that happens to be called like a model does not stand in its way."""
    (tmp_path / "mini.en").mkdir()
    monkeypatch.chdir(tmp_path)
    assert shop.resolve("mini.en").path.parent == shop.root
