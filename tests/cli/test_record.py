"""`--record`, `--append` and what the screen shows beside a file, from the command line."""

from __future__ import annotations

import os
import sys
import wave
from pathlib import Path

import pytest

from .commands import Options, run

WORDS = [f"w{n}" for n in range(10)]


@pytest.fixture
def live(speech: Path, options: Options, swift: None) -> list[str]:
    """A file at four times its own pace, through the scripted provider."""
    return ["transcribe", "--live", str(speech), *options()]


def test_audio_is_kept_beside_the_text(live: list[str], tmp_path: Path) -> None:
    """What was heard, as long as it was."""
    kept, text = tmp_path / "kept.wav", tmp_path / "text.txt"
    assert run(*live, "-o", str(text), "--record", str(kept)) == 0
    assert text.read_text().split() == WORDS
    with wave.open(str(kept)) as wav:
        assert wav.getnframes() == 4 * 16_000


@pytest.mark.parametrize("name", ["kept", "kept.WAV", "kept 12.5"])
def test_a_recording_may_be_called(name: str, live: list[str], tmp_path: Path) -> None:
    """Anything that does not claim to be of another kind."""
    assert run(*live, "-q", "--record", str(tmp_path / name)) == 0
    assert (tmp_path / name).read_bytes()[:4] == b"RIFF"


def test_another_run_adds_to_both(live: list[str], tmp_path: Path) -> None:
    """With --append; without, the recording is not overwritten."""
    kept, text = tmp_path / "kept.wav", tmp_path / "text.txt"
    files = ["-o", str(text), "--record", str(kept)]
    assert run(*live, *files) == 0
    assert run(*live, *files, "--append") == 0
    assert text.read_text().split() == WORDS * 2
    with wave.open(str(kept)) as wav:
        assert wav.getnframes() == 8 * 16_000
    assert run(*live, *files) == 2
    assert text.read_text().split() == WORDS * 2


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--record", "a.wav"], "--record keeps live audio"),
        (["--append", "-o", "a.txt"], "--append needs --mic or --live"),
        (["--live", "--append"], "--append needs"),
        (["--live", "--append", "-o", "a.srt"], "a file of srt cannot be added to"),
        (["--live", "-o", "a.txt", "--record", "./a.txt"], "are the same file"),
        (["--live", "--record", "a.mp3"], "a.mp3: --record writes WAV, not 'mp3'"),
        (["--live", "--record", "speech.wav", "--append"], "would write into the input"),
    ],
)
def test_mistakes(
    arguments: list[str],
    message: str,
    speech: Path,
    options: Options,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line, and usage."""
    monkeypatch.chdir(speech.parent)
    assert run("transcribe", str(speech), *options(), *arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_words_are_on_the_screen_too(speech: Path, tmp_path: Path) -> None:
    """The text goes to the file, and to the terminal that standard error is; not to standard output."""
    import pty
    import subprocess

    script, text = tmp_path / "script.json", tmp_path / "text.txt"
    script.write_text("{}")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "asrctl", "transcribe", "--live", str(speech), "-o", str(text)]
    command += ["--provider", "scripted", "--model", str(script), "--no-vad"]
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 65_536)
            except OSError:  # how Linux says that the other side is closed
                break
            if not piece:
                break
            shown += piece
        assert process.stdout and process.stdout.read() == b""
    os.close(ours)
    assert process.returncode == 0
    lines = text.read_text().splitlines()
    assert " ".join(lines).split() == WORDS
    assert all(f"{line}\r\n" in shown.decode() for line in lines)
