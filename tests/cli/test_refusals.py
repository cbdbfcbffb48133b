"""Options that would do nothing where they are given are refused; what was said of them is not lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrctl.providers.plugin import is_installed
from tests.providers.small_gguf import write_model

from .commands import Options, run

SUBTITLES = "--format srt, vtt or ass"
WORDS = "--format json, jsonl, vtt, ass or tsv"
SERVER = ["--server", "ws://127.0.0.1:1"]
FOREIGN = ["--server", "http://127.0.0.1:1/v1"]


@pytest.mark.parametrize(
    "arguments, why",
    [
        (["--raw-channels", "2"], "--raw-channels is of headerless PCM: it needs --raw-rate HZ"),
        (["--raw-encoding", "s16le"], "it needs --raw-rate HZ"),
        (
            ["--partial-interval", "1"],
            "--partial-interval is about partial results: it needs --mic or --live",
        ),
        (["--end-of-turn"], "--end-of-turn is for live audio: it needs --mic or --live"),
        ([*FOREIGN, "--end-of-turn"], "it needs --mic or --live"),
        (["--live", "--jobs", "2"], "it does not go with --mic or --live"),
        (["--no-vad", "--endpoint-silence", "1"], "it does not go with --no-vad"),
        (["--live", "--no-vad", "--end-of-turn"], "it does not go with --no-vad"),
        (["--wait-for-server", "9"], "--wait-for-server is about a server: it needs --server"),
        (["--cluster", "local", "--workers", "2"], "with --cluster, its size decides"),
        ([*SERVER, "--subscribe", "a"], "--subscribe writes what others say: INPUTS does not go with it"),
    ],
)
def test_it_needs_something_else(
    arguments: list[str],
    why: str,
    speech: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line says what, before anything is decoded or written."""
    monkeypatch.chdir(speech.parent)
    assert run("transcribe", str(speech), *arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("asrctl: error: ") and err.count("\n") == 1
    assert why in err


@pytest.mark.parametrize(
    "arguments, why",
    [
        (["--max-cps", "10"], f"--max-cps changes nothing in txt: it needs {SUBTITLES}"),
        (["--max-line-width", "30", "-f", "json"], f"in json: it needs {SUBTITLES}"),
        (["--max-lines", "1", "-o", "out.md"], f"in md: it needs {SUBTITLES}"),
        (["--min-gap", "0"], SUBTITLES),
        (["-o", "talk.srt", "-f", "vtt"], "talk.srt is written as vtt, since --format says so"),
        (["--word-by-word"], SUBTITLES),
        (["--word-timestamps"], f"--word-timestamps changes nothing in txt: it needs {WORDS}"),
        (["--word-timestamps", "-f", "srt"], WORDS),
        (["--paragraph-pause", "2", "-f", "srt"], "it needs --format txt or md"),
    ],
)
def test_it_shapes_other_formats(
    arguments: list[str],
    why: str,
    speech: Path,
    options: Options,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The text is right all the same; a warning says which formats it is for."""
    monkeypatch.chdir(speech.parent)
    assert run("transcribe", str(speech), *arguments, *options(), "--quiet") == 0
    err = capsys.readouterr().err
    assert err.startswith("asrctl: warning: ") and err.count("\n") == 1 and why in err


@pytest.mark.parametrize(
    "option", [["--mic"], ["--model", "base"], ["--output-dir", "a"], ["--word-timestamps"], ["--live"]]
)
def test_a_group_is_no_audio(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What has to do with it is refused beside `--subscribe`, though the group's server does not answer."""
    assert run("transcribe", *SERVER, "--subscribe", "standup", *option) == 2
    assert f"--subscribe writes what others say: {option[0]} does not go with it" in capsys.readouterr().err


def test_directories_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tracks are files."""
    files = [argument for name in "ab" for argument in ("--track", f"{tmp_path / name}={name}")]
    assert run("transcribe", *files, "--recursive") == 2
    assert "--recursive looks through directories: name one" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--no-word-timestamps", "--no-end-of-turn"],
        ["--paragraph-pause", "9", "-f", "md"],
        ["--max-cps", "10", "--min-gap", "0", "-f", "vtt", "--word-timestamps"],
        ["--endpoint-silence", "0.4", "-j", "2"],
    ],
)
def test_what_does_something_is_taken(arguments: list[str], speech: Path, options: Options) -> None:
    """So is what says no to something that is not done anyway."""
    assert run("transcribe", str(speech), *arguments, *options()) == 0


@pytest.mark.parametrize("option", ["--workers", "--beam-size", "--threads", "--jobs"])
def test_what_a_provider_has_no_use_for(
    option: str, speech: Path, options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that is fed streams has neither workers of ours nor several inputs at once."""
    _, _, *model = options()
    provider = ["--provider", "scripted_stream", *model]
    assert run("transcribe", str(speech), *provider, option, "1") == 2
    assert f"{option} changes nothing with scripted_stream: leave it out" in capsys.readouterr().err


@pytest.mark.skipif(not is_installed("transcribe_cpp"), reason="transcribe-cpp is not installed")
def test_beams_of_a_provider_that_has_none(
    speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though it decodes windows as others do."""
    model = str(write_model(tmp_path / "small.gguf"))
    beams = ["--provider", "transcribe_cpp", "--model", model, "--beam-size", "5"]
    assert run("transcribe", str(speech), *beams) == 2
    assert "--beam-size changes nothing with transcribe_cpp: leave it out" in capsys.readouterr().err


def test_words_that_the_settings_ask_for(
    speech: Path, options: Options, no_settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are for the formats that can carry them, and no mistake with others."""
    no_settings.write_text("word_timestamps = true\n")
    assert run("transcribe", str(speech), *options()) == 0
    assert capsys.readouterr().err == ""


def test_a_key_of_the_environment_is_no_mistake(
    speech: Path, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be there for other commands."""
    monkeypatch.setenv("ASRCTL_API_KEY", "k")
    assert run("transcribe", str(speech), *options()) == 0


@pytest.mark.parametrize(
    "arguments, why",
    [
        (["serve", "--fallback-provider", "faster_whisper"], "it needs --fallback-model"),
        (["bench", "stream", "--api-key", "k"], "--api-key says who you are to a server: it needs --server"),
    ],
)
def test_other_commands(
    arguments: list[str],
    why: str,
    options: Options,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """They refuse what nothing would come of, too."""
    monkeypatch.setattr("asrctl.cli.serve._run", lambda *_: False)
    assert run(*arguments, *options()) == 2
    assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, looks, package",
    [
        (["--speakers", "auto"], "asrctl.models.speaker_weights", "onnxruntime"),
        (["--live", "--end-of-turn"], "asrctl.models.turn_weights", "onnxruntime"),
        (SERVER, "asrctl.cli.task", "websockets"),
        (FOREIGN, "asrctl.providers.plugin", "httpx"),
        (["--cluster", "local"], "asrctl.cli.batch", "Ray"),
    ],
)
def test_a_package_that_an_option_needs(
    arguments: list[str],
    looks: str,
    package: str,
    speech: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One exit code for all of them, and what to install."""
    monkeypatch.setattr(f"{looks}.find_spec", lambda name: None)
    assert run("transcribe", str(speech), *arguments) == 2
    err = capsys.readouterr().err
    assert package in err and "pip install" in err and err.count("\n") == 1
