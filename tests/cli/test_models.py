"""`asrctl models`: what is printed where, and the exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asrctl.models.catalog import CATALOG
from asrctl.models.files import Record
from asrctl.models.hub_catalog import HUB_CATALOG
from asrctl.models.store import ModelStore

from ..models.mini import write_ct2
from .commands import run


@pytest.fixture(autouse=True)
def root(no_settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty store in a directory with a space in its name, and no way to a network."""
    root = tmp_path / "my models"
    monkeypatch.setenv("ASRCTL_MODELS_DIR", str(root))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    yield root


def cached(root: Path, name: str, content: bytes = b"weights") -> Path:
    """A file that the store takes for a verified model."""
    root.mkdir(exist_ok=True)
    path = root / CATALOG[name].file_name
    path.write_bytes(content)
    Record.of(path, CATALOG[name].sha1).save(path)
    return path


def own(root: Path, tmp_path: Path) -> Path:
    """A user's model, converted into the store."""
    return ModelStore(root).resolve(str(write_ct2(tmp_path / "mine"))).path


def test_list_names_every_model(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line each, by family, on stdout, with size and source; what is cached says so."""
    cached(root, "small")
    assert run("models", "list") == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    names = [line.split()[0] for line in lines[1:] if " MB " in line]
    assert names == [*CATALOG, *HUB_CATALOG, "voxtral"]
    small = next(line for line in lines if line.startswith("small "))
    assert small.split() == ["small", "488", "MB", "844", "MB", "many", "MIT", "cached"]
    families = [line.strip() for line in lines if " MB " not in line][1:]
    assert families == ["Whisper", *dict.fromkeys(each.family for each in HUB_CATALOG.values()), "others"]
    assert captured.err == ""


def test_list_as_json(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the schema's version, the directory, exact sizes; a user's own models are last."""
    path = own(root, tmp_path)
    assert run("models", "list", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["directory"]) == (1, str(root))
    tiny, mine = document["models"][0], document["models"][-1]
    assert tiny["name"] == "tiny" and tiny["size_bytes"] == CATALOG["tiny"].size_bytes
    assert tiny["multilingual"] is True and tiny["source"] == "download"
    assert mine["name"] == path.stem and mine["size_bytes"] == path.stat().st_size
    assert mine["multilingual"] is False and mine["source"] == "cached"


def test_list_survives_a_damaged_model(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user's model that is broken is a warning; the others are listed."""
    path = own(root, tmp_path)
    os.truncate(path, 1000)
    assert run("models", "list") == 0
    captured = capsys.readouterr()
    assert captured.out.count(" MB ") == 2 * (len(CATALOG) + len(HUB_CATALOG) + 1)
    assert captured.err.startswith(f"asrctl: warning: the model {path} is cut short")


def test_path_is_the_only_thing_on_stdout(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that it can stand in another command's line; for the catalog's models and one's own."""
    paths = [cached(root, "small"), own(root, tmp_path)]
    assert run("models", "path", "small") == 0
    assert run("models", "path", paths[1].stem) == 0
    assert capsys.readouterr().out == f"{paths[0]}\n{paths[1]}\n"


def test_path_fetches_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model that is not there is exit code 3, and says what fetches it."""
    assert run("models", "path", "small") == 3
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert "`asrctl models pull small`" in captured.err


@pytest.mark.parametrize("command", ["pull", "path", "rm"])
def test_no_such_model(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 3 and the nearest name, in one line on stderr."""
    assert run("models", command, "tinny.en") == 3
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert captured.err.startswith("asrctl: error: there is no model 'tinny.en': did you mean tiny.en")


@pytest.mark.parametrize("command", ["pull", "path", "rm"])
def test_a_name_is_needed(command: str) -> None:
    """Exit code 2 without one."""
    assert run("models", command) == 2


def test_pull_of_what_is_there(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing happens, and it is said where the model is; stdout stays empty."""
    path = cached(root, "small")
    assert run("models", "pull", "small") == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"small is ready: {path}\n")


def test_pull_without_a_network(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 3, one line, nothing left behind."""
    assert run("models", "pull", "small") == 3
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert captured.err.startswith("asrctl: error: cannot download ggml-small.bin from ")
    assert {path.name for path in root.iterdir()} == {".locks"}


def test_verify_says_which_is_bad(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each has its line on stdout; one that is bad is exit code 3, and is not used any more."""
    cached(root, "small", b"other weights")
    mine = own(root, tmp_path)
    assert run("models", "verify") == 3
    captured = capsys.readouterr()
    bad, good = captured.out.splitlines()
    assert bad.startswith("small: has changed (SHA-1 ") and good == f"{mine.stem}: ok"
    assert captured.err.startswith("asrctl: error: 1 of the models did not verify")
    assert run("models", "path", "small") == 3


def test_verify_of_an_empty_store(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is bad."""
    assert run("models", "verify") == 0
    assert capsys.readouterr().out == ""


def test_rm(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model goes, by the name that `list` shows; a second time there is nothing to remove."""
    paths = [cached(root, "small"), own(root, tmp_path)]
    assert run("models", "rm", "small") == run("models", "rm", paths[1].stem) == 0
    assert not any(path.exists() for path in paths)
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("small is removed\n")
    assert run("models", "rm", "small") == 3


@pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")
def test_verify_into_a_file_while_a_bar_is_drawn(root: Path, tmp_path: Path) -> None:
    """The bar goes to the terminal that stderr is; the lines go where stdout is."""
    import pty

    mine = own(root, tmp_path)
    ours, theirs = pty.openpty()
    try:
        command = [sys.executable, "-m", "asrctl", "models", "verify"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, timeout=60, text=True)
        drawn = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert (done.returncode, done.stdout) == (0, f"{mine.stem}: ok\n")
    assert "verifying" in drawn and ": ok" not in drawn


@pytest.mark.integration
def test_pull_from_the_installed_wheel(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The real thing: made, verified, and found."""
    assert run("models", "pull", "tiny.en-q8_0") == 0
    assert run("models", "verify") == 0
    assert run("models", "path", "tiny.en-q8_0") == 0
    out = capsys.readouterr().out
    assert out == f"tiny.en-q8_0: ok\n{root / 'ggml-tiny.en-q8_0.bin'}\n"


def test_help_has_an_example_for_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Each command's help shows how it is used."""
    for command in ("list", "pull", "path", "verify", "rm"):
        assert run("models", command, "--help") == 0
        assert "Example: " in capsys.readouterr().out
