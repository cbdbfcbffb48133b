"""The README's examples run, its commands exist, and its table, links and picture are up to date."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main

import asrctl
from asrctl.audio.files import open_audio
from asrctl.audio.replay import Replay
from asrctl.cli.main import app
from asrctl.models.store import ModelStore
from asrctl.settings import load
from tests import picture
from tests.cli.commands import run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ("README.md", "CONTRIBUTING.md", "asrctl/ARCHITECTURE.md", ".github/SECURITY.md")
MOST_LINES = 175
"""What a newcomer reads; the other pages have the rest."""
MONDAY = Path(asrctl.__file__).parent / "assets" / "monday.wav"
TEXT = "Please call me on Monday morning about the meeting."


def blocks(language: str, page: str = README) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def example(having: str) -> str:
    """The Python example with this in it."""
    (found,) = [block for block in blocks("python") if having in block]
    return found


@pytest.fixture
def recording(store: ModelStore, tiny_en: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory with `talk.wav` in it, and weights where the API looks for them."""
    (tmp_path / "talk.wav").write_bytes(MONDAY.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("asrctl.models.store._default_root", lambda: store.root)


def test_all_examples_are_run() -> None:
    """There are three: two are run below, OpenAI's client in tests/server/files/test_clients.py."""
    assert len(blocks("python")) == 3


@pytest.mark.integration
@pytest.mark.usefixtures("recording")
def test_files_in_python(capsys: pytest.CaptureFixture[str]) -> None:
    """Text in one call, then segments of a warm engine."""
    exec(example("asrctl.Engine"), {})
    first, second = capsys.readouterr().out.splitlines()
    assert first == TEXT
    assert re.fullmatch(rf"0\.\d s: {re.escape(TEXT)}", second)


@pytest.mark.integration
@pytest.mark.usefixtures("recording")
def test_live_audio_in_python(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording at its own pace is heard in place of a microphone."""
    monkeypatch.setattr(asrctl, "microphone", lambda: Replay(open_audio("talk.wav")), raising=False)
    exec(example("asrctl.microphone()"), {})
    assert " ".join(capsys.readouterr().out.split()) == TEXT


@pytest.mark.integration
@pytest.mark.usefixtures("recording")
def test_what_the_command_line_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """Subtitles and the account of the recording that is shown."""
    (block,) = [block for block in blocks("console") if "monday.wav --format srt" in block]
    _, subtitles, account = re.split(r"^\$ .*monday\.wav.*\n", block, flags=re.MULTILINE)
    assert run("transcribe", str(MONDAY), "--model", "tiny.en", "--format", "srt") == 0
    assert capsys.readouterr().out.strip() == subtitles.strip()
    assert run("transcribe", str(MONDAY), "--model", "tiny.en", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["audio"] == json.loads(account)


def commands() -> list[list[str]]:
    """The words of each `asrctl` command that is shown, also those in pipes."""
    lines = [line[2:] for block in blocks("console") for line in block.splitlines() if line[:2] == "$ "]
    lines += re.findall(r"`(?:[\w./]*/)?(asrctl [a-z][^`]*)`", README)
    parts = [part.strip() for line in lines for part in re.split(r"\||#|>", line)]
    return [part.split() for part in parts if re.match(r"asrctl [a-z]", part)]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_a_command_exists(command: list[str]) -> None:
    """With its subcommand and every option, by what `--help` lists."""
    found: Any = typer.main.get_command(app)
    context = found.context_class(found)
    rest = command[1:]
    while hasattr(found, "get_command"):  # it has subcommands
        found = found.get_command(context, rest.pop(0))
        assert found is not None, command
        context = found.context_class(found, parent=context)
    listed = found.get_help(context)
    for option in (word for word in rest if re.match(r"-{1,2}[a-z]", word)):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", listed), f"{option} of {command}"


def test_the_configuration_is_valid(tmp_path: Path) -> None:
    """Every key of the example in DIALECTS.md is known, and has a value that fits."""
    (example_,) = blocks("toml", (ROOT / "asrctl" / "server" / "DIALECTS.md").read_text(encoding="utf-8"))
    (tmp_path / "config.toml").write_text(example_, encoding="utf-8")
    settings = load(tmp_path / "config.toml", {}).settings
    assert settings.providers == tuple(tomllib.loads(example_)["providers"])


def test_the_table_of_extras_is_complete() -> None:
    """Each extra of the package but those for developers."""
    table = README.split("\n| extra |")[1].split("\n\n")[0]
    listed = [name for row in table.splitlines() for name in re.findall(r"`([\w-]+)`", row.split("|")[1])]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert sorted(listed) == sorted(set(project["optional-dependencies"]) - {"test", "dev"})


def test_it_is_short_and_has_its_pictures() -> None:
    """The terminal, the page in both colour schemes, and how it is built."""
    assert len(README.splitlines()) <= MOST_LINES
    pictures = re.findall(r'\]\(([^)]+\.svg)\)|(?:src|srcset)="([^"]+)"', README)
    names = [Path(first or second) for first, second in pictures]
    drawn = {"live.svg", "architecture.svg", "page-dark.png", "page-light.png"}
    assert {name.name for name in names} == drawn
    assert all((ROOT / name).is_file() for name in names)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """To files that there are."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert "://" in link or (ROOT / page).parent.joinpath(link).exists(), link


def test_the_picture_is_what_the_view_draws() -> None:
    """`python -m tests.picture` draws it again."""
    committed = picture.PATH.read_text(encoding="utf-8")
    assert picture.texts(committed) == picture.texts(picture.svg())
    assert "http" not in re.sub(r'xmlns="[^"]*"|<!--.*?-->', "", committed)


def test_figures_are_those_that_were_measured() -> None:
    """Each row of the table is in a row of RESULTS.md, and so are the figures of ten speakers."""
    results = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8").splitlines()
    rows = [re.split(r" *\| *", line.strip("| ")) for line in results if line.startswith("|")]
    table = re.findall(r"^\| (.+?) \| ([\d.]+) \| ([\d.]+) % \| (\d+) MiB \|$", README, re.MULTILINE)
    assert len(table) == 4
    for name, *figures in table:
        assert any(row[0] == name and set(figures) <= set(row) for row in rows), name
    (memory, latency) = re.findall(r"ten speakers in (\d+) MB.* final ([\d.]+) s", README)[0]
    (ten,) = [row for row in rows if row[:3] == ["whisper_cpp", "clean", "10"]]
    assert ten[3].startswith(f"{latency} /") and round(float(ten[10])) == int(memory)
    late = re.findall(r"p95 ([\d.]+) s on two cores of an AMD EPYC, ([\d.]+) s\s+over", README)
    measured = [row[3].split(" / ")[1] for row in rows if row[:3] == ["whisper_cpp", "report", "10"]]
    assert [round(float(each), 1) for each in measured] == [float(each) for each in late[0]]
    hard = re.findall(r"As a file: ([\d.]+) % of the words wrong, whisper.cpp ([\d.]+) %", README)[0]
    names = ("asrctl q8_0", "whisper.cpp q8_0 greedy")
    wrong = [[f"{float(row[7]):.1f}" for row in rows if row[0] == name and len(row) > 8] for name in names]
    assert all(each in found for each, found in zip(hard, wrong, strict=True))
    (date,) = re.findall(r"the table is of\s+(\S+)\. ", README)
    (line,) = [at for at, row in enumerate(results) if row == "### Long file: speed against word errors"]
    assert any(each.startswith(f"{date}, ") for each in results[line : line + 8])


def test_the_figure_of_how_it_is_built_names_what_there_is() -> None:
    """Headings are rooms of the package."""
    drawn = (ROOT / ".github" / "architecture.svg").read_text(encoding="utf-8")
    headings = re.findall(r'class="title">([^<]*)<', drawn)
    rooms = [room for heading in headings[1:] for room in heading.split(", ")]
    assert len(rooms) == 6
    assert all((ROOT / "asrctl" / room).is_dir() for room in rooms)
