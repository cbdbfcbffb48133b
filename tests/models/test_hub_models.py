"""Models of other families: the catalogue, and `asrctl models` against a server that behaves as the hub.

huggingface_hub reads its environment when it is imported, so that each command is a process of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from asrctl.errors import ModelError
from asrctl.models.files import Record
from asrctl.models.gguf_models import find_hub, pull_hub, resolve_gguf
from asrctl.models.hub_catalog import HUB_CATALOG, NVIDIA, hub_lookup
from asrctl.models.store import ModelStore
from tests.providers.small_gguf import write_model

from ..cli.commands import run
from .hub import Hub, serving

NAME = "moonshine-streaming-tiny"
FILE = f"{NAME}-Q8_0.gguf"
LONG_BYTES = 24 << 20
"""The client library passes on what it has after 10 MB."""
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A model as the hub has it."""
    return write_model(tmp_path_factory.mktemp("hub") / "small.gguf").read_bytes()


@pytest.fixture
def hub(content: bytes) -> Iterator[Hub]:
    """A server that has it."""
    with serving(content) as hub:
        yield hub


def environment(tmp_path: Path, hub: Hub) -> dict[str, str]:
    hidden = ("HF_", "HUGGING", "HTTP", "http", "ALL_PROXY", "all_proxy", "ASRCTL_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    ours = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    paths = {"ASRCTL_MODELS_DIR": str(tmp_path / "models"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    return {**clean, **ours, **paths}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "asrctl", "models", *words]


def models(tmp_path: Path, hub: Hub, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `asrctl models`."""
    return subprocess.run(
        command(*words), capture_output=True, text=True, env=environment(tmp_path, hub), timeout=PATIENCE_S
    )


def kept(tmp_path: Path) -> set[str]:
    root = tmp_path / "models"
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} - {
        f".locks/{FILE}.lock"
    }


def test_the_catalogue() -> None:
    """Names are the publisher's in lower case, one for each quantisation; near ones are proposed."""
    assert all(name == entry.name == name.lower() for name, entry in HUB_CATALOG.items())
    assert len({entry.file_name for entry in HUB_CATALOG.values()}) == len(HUB_CATALOG)
    assert hub_lookup("Voxtral-Mini-4B-Realtime-2602-Q4_K_M").size_bytes == 2_830_000_000
    assert hub_lookup("nemotron-speech-streaming-en-0.6b").licence is NVIDIA
    with pytest.raises(ModelError, match=r"did you mean moonshine-streaming-small"):
        hub_lookup("moonshine-streaming-smal")
    families = [entry.family for entry in HUB_CATALOG.values()]
    assert len(set(families)) == len(list(groupby(families)))


def test_nothing_is_fetched_unasked(tmp_path: Path) -> None:
    """A name that is not in the cache is answered with how to get it, and under which licence."""
    store = ModelStore(tmp_path)
    with pytest.raises(
        ModelError, match=r"696 MB, NVIDIA Open Model License\) with `asrctl models pull nemo"
    ):
        resolve_gguf(store, "nemotron-speech-streaming-en-0.6b")
    with pytest.raises(ModelError, match="there is no model 'nonsense'"):
        resolve_gguf(store, "nonsense")


def test_pull(tmp_path: Path, hub: Hub) -> None:
    """The licence is shown, the file fetched, proved and found; once it is there, nobody is asked for it."""
    done = models(tmp_path, hub, "pull", NAME)
    assert done.returncode == 0 and done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0].startswith(f"{NAME}: 48 MB of handy-computer/{NAME}-gguf, MIT (https://")
    assert lines[-1] == f"{NAME} is ready: {tmp_path / 'models' / FILE}"
    assert kept(tmp_path) == {FILE, f"{FILE}.json"}
    assert f"GET /handy-computer/{NAME}-gguf/resolve/main/{FILE}" in hub.requests
    store = ModelStore(tmp_path / "models")
    found = resolve_gguf(store, NAME)
    assert (found.name, found.streams, found.multilingual) == (NAME, True, False)
    hub.status = 503
    assert pull_hub(store, HUB_CATALOG[NAME]) == found


def test_what_is_there(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model in the cache is listed as such, has a path, is hashed again when asked for, and is removed."""
    monkeypatch.setenv("ASRCTL_MODELS_DIR", str(tmp_path / "models"))
    path = tmp_path / "models" / FILE
    path.parent.mkdir()
    path.write_bytes(content)
    Record.of(path, hashlib.sha256(content).hexdigest()).save(path)
    assert run("models", "list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)["models"]
    assert [each["name"] for each in listed if each["source"] == "cached"] == [NAME]
    assert run("models", "path", NAME) == 0
    assert capsys.readouterr().out.strip() == str(path)
    assert run("models", "verify") == 0
    assert f"{NAME}: ok" in capsys.readouterr().out
    path.write_bytes(content[:-1] + b"!")
    assert run("models", "verify") == 3
    assert f"{NAME}: has changed (SHA-256 " in capsys.readouterr().out
    assert find_hub(ModelStore(path.parent), HUB_CATALOG[NAME]) is None
    assert run("models", "rm", NAME) == 0
    assert kept(tmp_path) == set()
    assert run("models", "rm", NAME) == 3


def test_the_licence_comes_before_the_download(tmp_path: Path, hub: Hub) -> None:
    """NVIDIA's by its name, also where nothing can be fetched then; each failure is one line."""
    hub.status = 503
    done = models(tmp_path, hub, "pull", "nemotron-speech-streaming-en-0.6b")
    licence, error = done.stderr.splitlines()
    assert "NVIDIA Open Model License (https://www.nvidia.com" in licence
    assert done.returncode == 3 and "the server answered 503" in error and "nemotron" in error


def test_other_content_is_refused(tmp_path: Path, hub: Hub, content: bytes) -> None:
    """A file without the published SHA-256 is not kept, nor one of which none is published."""
    hub.content = content[:-1] + b"!"
    done = models(tmp_path, hub, "pull", NAME)
    assert done.returncode == 3 and f"is not the published {FILE}" in done.stderr
    assert kept(tmp_path) == set()
    hub.sha256 = ""
    done = models(tmp_path, hub, "pull", NAME)
    assert done.returncode == 3 and "publishes no SHA-256" in done.stderr


def test_a_killed_run_is_gone_on_with(tmp_path: Path, content: bytes) -> None:
    """The next run asks for the rest alone, and proves the whole."""
    whole = content + bytes(LONG_BYTES - len(content))
    with serving(whole) as hub:
        hub.halts = True
        parts = tmp_path / "models" / ".parts" / FILE
        with subprocess.Popen(
            command("pull", NAME), env=environment(tmp_path, hub), stderr=subprocess.DEVNULL
        ) as first:
            deadline_s = time.monotonic() + PATIENCE_S
            while not any(part.stat().st_size for part in parts.glob("*")):
                assert time.monotonic() < deadline_s and first.poll() is None
                time.sleep(0.01)
            first.kill()
        (part,) = parts.iterdir()
        have_bytes = part.stat().st_size
        assert 0 < have_bytes < len(whole)
        hub.halts = False
        done = models(tmp_path, hub, "pull", NAME)
        assert done.returncode == 0, done.stderr
        assert f"bytes={have_bytes}-" in hub.requests[-1]
    assert (tmp_path / "models" / FILE).read_bytes() == whole
    assert kept(tmp_path) == {FILE, f"{FILE}.json"}
