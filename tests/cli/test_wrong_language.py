"""Speech in a language that an English-only model does not know is noticed; `-v` says what was taken."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from asrctl.errors import ModelError
from asrctl.models.store import ModelStore

from .commands import Options, asrctl, run

_SPEC = find_spec("pytest_audioeval")
CLIPS = Path(next(iter((_SPEC and _SPEC.submodule_search_locations) or ["/nowhere"]))) / "samples/audio"
MONDAY = Path(__file__).parents[2] / "asrctl/assets/monday.wav"


def remarks(stderr: str) -> list[str]:
    """Its lines without those that say how far it is, which come on a busy machine only."""
    return [line for line in stderr.splitlines() if not re.search(r"\d s transcribed|real time", line)]


@pytest.mark.integration
@pytest.mark.parametrize("way", [[], ["--live"]])
def test_other_languages_are_warned_of(way: list[str], tiny_en: Path) -> None:
    """One line with the model to take; the transcript comes all the same."""
    if not CLIPS.is_dir():
        pytest.skip("the clips of pytest-audioeval are not installed")
    done = asrctl(["transcribe", str(CLIPS / "pl/liczenie.wav"), "--model", str(tiny_en), *way])
    assert done.returncode == 0 and done.stdout.strip()
    (remark,) = remarks(done.stderr)
    assert "seems not to be English" in remark and "--model base-q8_0 --language auto" in remark


@pytest.mark.integration
def test_english_is_not_doubted(tiny_en: Path) -> None:
    """Nor is anything else said of it."""
    assert not remarks(asrctl(["transcribe", str(MONDAY), "--model", str(tiny_en)]).stderr)


def test_verbose_says_what_is_taken_and_why(
    speech: Path, options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once, on standard error: what an option, a variable or a file said, or that nothing did."""
    arguments = options()
    assert run("transcribe", "-v", str(speech), *arguments) == 0
    said = capsys.readouterr().err
    assert said.startswith("asrctl: model script.json (--model), provider scripted (--provider), ")
    assert said.count("\n") == 1


def test_verbose_names_the_file_that_chose(
    no_settings: Path, speech: Path, options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that nobody has to look for it."""
    _, provider, _, model = options()
    no_settings.write_text(f"provider = {json.dumps(provider)}\nmodel = {json.dumps(model)}\n")
    assert run("transcribe", "-v", str(speech)) == 0
    assert f"model script.json ({no_settings})" in capsys.readouterr().err


@pytest.mark.integration
@pytest.mark.parametrize(
    ("language", "warned"), [("de", True), ("en", False), ("auto", False), ("de,en", False)]
)
def test_a_wrong_choice_is_noticed(language: str, warned: bool, store: ModelStore) -> None:
    """A model that knows several languages hears that another one is spoken, and the right one is named."""
    try:
        base = store.resolve("base-q8_0").path
    except ModelError as error:
        pytest.skip(str(error))
    done = asrctl(["transcribe", str(MONDAY), "--model", str(base), "--language", language])
    assert done.returncode == 0 and done.stdout.strip()
    assert ("this seems to be English, not German: try --language en" in done.stderr) == warned
