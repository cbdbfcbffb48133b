"""`asrctl models` and voxtral's weights, which are fetched by hand and checked by their sizes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ..providers.voxtral_standin import make_weights
from .commands import run


@pytest.fixture(autouse=True)
def root(no_settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store, and no program or weights anywhere else."""
    root = tmp_path / "models"
    monkeypatch.setenv("ASRCTL_MODELS_DIR", str(root))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return root


@pytest.mark.parametrize("command", ["pull", "path", "rm"])
def test_without_its_weights_the_command_that_fetches_them_is_told(
    command: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line with the size and where to put them; exit code 3."""
    assert run("models", command, "voxtral") == 3
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert "8.9 GB" in captured.err and f"--local-dir {root / 'voxtral-model'}`" in captured.err


def test_weights_that_are_whole(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are listed, found and verified; removing them is left to who put them there."""
    weights = make_weights(root / "voxtral-model")
    assert run("models", "list", "--json") == 0
    (row,) = [row for row in json.loads(capsys.readouterr().out)["models"] if row["name"] == "voxtral"]
    assert (row["size_bytes"], row["source"], row["multilingual"]) == (8_900_000_000, "cached", True)
    assert (
        run("models", "path", "voxtral") == run("models", "verify") == run("models", "pull", "voxtral") == 0
    )
    captured = capsys.readouterr()
    assert captured.out == f"{weights}\nvoxtral: ok\n"
    assert captured.err == f"voxtral is ready: {weights}\n"
    assert run("models", "rm", "voxtral") == 3
    assert f"remove {weights} yourself" in capsys.readouterr().err and weights.exists()


def test_weights_that_are_cut_off(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`verify` names the file and its sizes and fails; `pull` says how to get the rest."""
    weights = make_weights(root / "voxtral-model")
    os.truncate(weights / "consolidated.safetensors", 3_000_000_000)
    assert run("models", "verify") == 3
    captured = capsys.readouterr()
    assert captured.out.startswith("voxtral: ")
    assert "is cut off: it has 3,000,000,000 of at least 8,860,0" in captured.out
    assert run("models", "pull", "voxtral") == 3
    assert "cut off" in (error := capsys.readouterr().err) and "hf download" in error


def test_without_weights_it_is_listed_as_fetched_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    """So that one learns that it exists, what it takes, and that `pull` does not fetch it."""
    assert run("models", "list") == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("voxtral ")]
    assert line.split() == ["voxtral", "8,900", "MB", "10,900", "MB", "many", "by", "hand"]


def test_the_directory_that_is_set_is_looked_at(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`[voxtral] model_dir` counts for every command; weights that are cut off are not called cached."""
    make_weights(root / "voxtral-model")
    weights = make_weights(tmp_path / "elsewhere")
    monkeypatch.setenv("ASRCTL_VOXTRAL__MODEL_DIR", str(weights))
    assert run("models", "path", "voxtral") == run("models", "verify") == 0
    assert capsys.readouterr().out == f"{weights}\nvoxtral: ok\n"
    (weights / "tekken.json").unlink()
    assert run("models", "verify") == 3
    assert capsys.readouterr().out == f"voxtral: {weights / 'tekken.json'} is missing\n"
    assert run("models", "list", "--json") == 0
    (row,) = [row for row in json.loads(capsys.readouterr().out)["models"] if row["name"] == "voxtral"]
    assert row["source"] == "broken"
