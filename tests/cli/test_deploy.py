"""`asrctl deploy`: what ships for running a server is listed, printed, and written where nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

import asrctl

from .commands import run

FOLDER = Path(asrctl.__file__).parent / "deploy"
SHIPPED = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file())


def test_lists_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    """A path on each line, whatever is in the folder."""
    assert run("deploy") == 0
    assert capsys.readouterr().out.split() == SHIPPED
    assert {"Containerfile", "compose.yaml", "asrctl.service", "monitoring/alerts.yml"} <= set(SHIPPED)


def test_prints_a_file(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """As it is, to the last byte."""
    assert run("deploy", "monitoring/alerts.yml") == 0
    assert capsysbinary.readouterr().out == (FOLDER / "monitoring" / "alerts.yml").read_bytes()


def test_writes_a_file(tmp_path: Path) -> None:
    """To the path that is given, or under its name into a directory."""
    for output in (tmp_path / "etc" / "its.service", tmp_path / "etc"):
        assert run("deploy", "asrctl.service", "-o", str(output)) == 0
    text = (FOLDER / "asrctl.service").read_bytes()
    assert [path.read_bytes() for path in (tmp_path / "etc").iterdir()] == [text, text]


@pytest.mark.parametrize("name", ["monitoring", "monitoring/", None])
def test_writes_a_folder(name: str | None, tmp_path: Path) -> None:
    """That of the name, or all, with their sub-folders; the same again changes nothing."""
    root = FOLDER / (name or "")
    for _ in range(2):
        assert run("deploy", *([name] if name else []), "-o", str(tmp_path / "new")) == 0
    assert {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()} == {
        path.relative_to(tmp_path / "new"): path.read_bytes()
        for path in (tmp_path / "new").rglob("*")
        if path.is_file()
    }


def test_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What somebody has changed stays, and nothing else is written either."""
    mine = tmp_path / "own" / "grafana.json"
    mine.parent.mkdir()
    mine.write_text("mine")
    for args in (["monitoring", "-o", str(mine.parent)], ["monitoring/grafana.json", "-o", str(mine)]):
        assert run("deploy", *args) == 2
        assert f"{mine} is there already" in capsys.readouterr().err
    assert list(mine.parent.iterdir()) == [mine] and mine.read_text() == "mine"


@pytest.mark.parametrize(
    ("args", "message"),
    [(["nothing"], "there is no nothing: `asrctl deploy` lists"), (["monitoring"], "monitoring is a folder")],
)
def test_refusals(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is none, and a folder without a place for it."""
    assert run("deploy", *args) == 2
    assert message in capsys.readouterr().err
