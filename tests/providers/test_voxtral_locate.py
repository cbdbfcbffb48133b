"""Where voxtral's program and weights are looked for, and what is found wrong with them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from asrctl.providers.voxtral.locate import (
    REPOSITORY,
    Located,
    has_weights,
    how_to_get,
    locate,
    weights_problems,
)
from asrctl.providers.voxtral.plugin import PLUGIN, found
from asrctl.providers.voxtral.settings import VoxtralSettings

from .voxtral_standin import install, make_weights


@pytest.fixture(autouse=True)
def nothing_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's own program and weights do not count."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "bin").mkdir()


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    """Neither is an error."""
    assert locate([tmp_path]) == Located(None, None)


def test_weights_are_found_beside_the_program_that_a_link_leads_to(tmp_path: Path) -> None:
    """As after building it in its own directory, with a link on PATH."""
    built = tmp_path / "voxtral.c"
    weights = make_weights(built / "voxtral-model")
    link = tmp_path / "bin" / "voxtral"
    link.symlink_to(install(built))
    assert locate([tmp_path]) == Located(link, weights)


def test_places_come_first_and_what_is_told_wins(tmp_path: Path) -> None:
    """The model directory goes before others; a path from the config goes before all."""
    cache = tmp_path / "hub" / f"models--{REPOSITORY.replace('/', '--')}" / "snapshots"
    fetched = make_weights(cache / "abc")
    assert locate([tmp_path]).weights == fetched
    ours = make_weights(tmp_path / "voxtral-model")
    assert locate([tmp_path]).weights == ours
    told = tmp_path / "elsewhere"
    assert locate([tmp_path], binary=tmp_path / "vox", weights=told) == Located(tmp_path / "vox", told)


@pytest.mark.parametrize("name", ["HF_HOME", "HF_HUB_CACHE"])
def test_the_cache_of_hugging_face_is_where_its_variables_say(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest snapshot counts."""
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.setenv(name, str(tmp_path / "cache"))
    hub = tmp_path / "cache" / ("hub" if name == "HF_HOME" else "")
    snapshots = hub / f"models--{REPOSITORY.replace('/', '--')}" / "snapshots"
    old, new = make_weights(snapshots / "old"), make_weights(snapshots / "new")
    os.utime(old, (1, 1))
    assert locate().weights == new


def test_whole_weights_have_no_problem(tmp_path: Path) -> None:
    """Sizes as published; what the table of tensors says is there."""
    assert weights_problems(make_weights(tmp_path)) == []


def test_a_file_cut_off_by_a_byte_is_noticed(tmp_path: Path) -> None:
    """The table says where the last tensor ends."""
    tensors = make_weights(tmp_path) / "consolidated.safetensors"
    os.truncate(tensors, tensors.stat().st_size - 1)
    (problem,) = weights_problems(tmp_path)
    assert "consolidated.safetensors is cut off" in problem


@pytest.mark.parametrize(
    "head", [b"", b"\xff" * 8, b"\x02\0\0\0\0\0\0\0[]", b"\x0a\0\0\0\0\0\0\0" + b'{"a": {}}']
)
def test_a_table_that_cannot_be_read_leaves_the_size_alone(head: bytes, tmp_path: Path) -> None:
    """It is the program's to complain about that; a file that is far too short is noticed all the same."""
    make_weights(tmp_path)
    path = tmp_path / "consolidated.safetensors"
    path.write_bytes(head)
    os.truncate(path, 8_860_000_000)
    assert weights_problems(tmp_path) == []
    os.truncate(path, 100_000)
    assert len(weights_problems(tmp_path)) == 1


def test_each_missing_file_is_a_problem(tmp_path: Path) -> None:
    """All are named; weights are what the program reads, the parameters are not."""
    assert [problem.rsplit(" ", 2)[-1] for problem in weights_problems(tmp_path)] == ["missing"] * 3
    make_weights(tmp_path)
    (tmp_path / "params.json").unlink()
    assert has_weights(tmp_path)
    (tmp_path / "tekken.json").unlink()
    assert not has_weights(tmp_path)


def test_how_to_get_them_names_what_is_needed(tmp_path: Path) -> None:
    """The repository, the three files, and the directory in which they are looked for."""
    command = how_to_get(tmp_path)
    assert REPOSITORY in command and str(tmp_path / "voxtral-model") in command
    assert all(name in command for name in ("consolidated.safetensors", "tekken.json", "params.json"))


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    """The program first, then the weights, each with how to get it; then nothing is."""
    setup = PLUGIN.setup(models_dir=tmp_path)
    assert "not on PATH: build voxtral.c, and set [voxtral] binary" in PLUGIN.missing(setup)
    program = install(tmp_path / "bin")
    assert "its weights are not here: hf download" in PLUGIN.missing(setup)
    make_weights(tmp_path / "voxtral-model")
    assert PLUGIN.missing(setup) == ""
    program.chmod(0o644)
    nowhere = VoxtralSettings(binary=program, model_dir=tmp_path / "nowhere")
    assert "chmod +x" in PLUGIN.missing(replace(setup, settings=nowhere))
    program.chmod(0o755)
    missing = PLUGIN.missing(replace(setup, settings=nowhere))
    assert f"no directory {tmp_path / 'nowhere'} with voxtral's weights" in missing
    gone = VoxtralSettings(binary=tmp_path / "gone")
    assert f"no program {tmp_path / 'gone'}: build voxtral.c" in PLUGIN.missing(replace(setup, settings=gone))


def test_weights_may_be_named_as_the_model(tmp_path: Path) -> None:
    """`--model DIRECTORY` is enough; a directory that is set goes before it."""
    program = install(tmp_path / "bin")
    named, other = make_weights(tmp_path / "mine"), make_weights(tmp_path / "other")
    setup = PLUGIN.setup(models_dir=tmp_path, model=str(named))
    assert found(setup) == (program, named)
    assert found(replace(setup, settings=VoxtralSettings(model_dir=other))) == (program, other)


def test_the_directory_that_is_set_is_the_one_that_is_shown(tmp_path: Path) -> None:
    """`asrctl models` looks where `[voxtral] model_dir` says, and sees what is wrong there."""
    weights = make_weights(tmp_path / "elsewhere")
    setup = PLUGIN.setup(models_dir=tmp_path, settings=VoxtralSettings(model_dir=weights))
    assert PLUGIN.own_weights
    assert (PLUGIN.own_weights(setup).path, PLUGIN.own_weights(setup).problems) == (weights, [])
    os.truncate(weights / "tekken.json", 10)
    assert "tekken.json is cut off" in PLUGIN.own_weights(setup).problems[0]
    assert PLUGIN.own_weights(PLUGIN.setup(models_dir=tmp_path)).path is None
