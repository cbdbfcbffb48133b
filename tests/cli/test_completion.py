"""Values are completed, in a real bash where there is one, and as each shell asks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from asrctl.audio import devices
from asrctl.cli import completion
from asrctl.errors import AudioError

from .commands import asrctl

QUESTIONS = [
    ("transcribe --model tiny.en-q", ["tiny.en-q5_1", "tiny.en-q8_0"]),
    ("transcribe -m larg", ["large", "large-v3"]),
    # bash splits `--model=tiny` into three words
    ("transcribe --model = tiny.en-q", ["tiny.en-q5_1", "tiny.en-q8_0"]),
    ("transcribe --format = json --language = d", ["da", "de"]),
    ("transcribe --provider =", ["whisper_cpp"]),
    ("transcribe --language d", ["da", "de"]),
    ("transcribe --provider whis", ["whisper_cpp"]),
    ("transcribe --format js", ["json", "jsonl"]),
    ("models pull base-q8", ["base-q8_0"]),
    ("serve --model base-q8", ["base-q8_0"]),
    ("bench coldstart --provider whis", ["whisper_cpp"]),
]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("line, expected", QUESTIONS)
def test_bash_completes_values(line: str, expected: list[str], tmp_path: Path) -> None:
    """By the script that `asrctl` gives, in bash itself."""
    command = tmp_path / "asrctl"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m asrctl "$@"\n')
    command.chmod(0o755)
    words = ["asrctl", *line.split()]
    ask = (
        'eval "$(_ASRCTL_COMPLETE=source_bash asrctl)"; complete -p asrctl >&2; '
        f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; "
        '_asrctl_completion asrctl; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", ask], capture_output=True, text=True, env=environ, timeout=60
    )
    assert "_asrctl_completion" in done.stderr
    assert set(expected) <= set(done.stdout.split())
    assert all(word.startswith(words[-1].strip("=")) for word in done.stdout.split())


@pytest.mark.parametrize("shell, more", [("zsh", {}), ("fish", {"_TYPER_COMPLETE_FISH_ACTION": "get-args"})])
def test_other_shells_are_answered_too(shell: str, more: dict[str, str]) -> None:
    """With what each of them asks; languages have their names beside them."""
    question = {"_TYPER_COMPLETE_ARGS": "asrctl transcribe --language d", **more}
    done = asrctl([], _ASRCTL_COMPLETE=f"complete_{shell}", **question)
    assert done.returncode == 0
    assert "german" in done.stdout and "english" not in done.stdout


@pytest.mark.parametrize("shell, mark", [("zsh", "#compdef asrctl"), ("fish", "complete --command asrctl")])
def test_completion_of_another_shell_is_shown(shell: str, mark: str) -> None:
    """`--show-completion zsh` prints that of zsh, whichever shell asks."""
    done = asrctl(["--show-completion", shell], SHELL="/bin/bash")
    assert done.returncode == 0 and done.stdout.startswith(mark)


def test_completion_of_another_shell_is_installed(tmp_path: Path) -> None:
    """`--install-completion fish` writes where fish looks."""
    done = asrctl(["--install-completion", "fish"], HOME=str(tmp_path))
    assert done.returncode == 0
    assert (tmp_path / ".config/fish/completions/asrctl.fish").is_file()


def test_a_shell_that_is_not_known_is_refused() -> None:
    """In one line that names those that are."""
    done = asrctl(["--show-completion", "tcsh"])
    assert done.returncode == 2 and not done.stdout
    assert "known are bash, zsh, fish" in done.stderr


def test_microphones_are_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By name; where there is no way to ask for them, with nothing."""
    monkeypatch.setattr(devices, "load_portaudio", lambda: None)
    names = ["USB Headset", "Built-in"]
    found = [devices.Device(n, name, 1, 48_000, "ALSA", n == 0) for n, name in enumerate(names)]
    monkeypatch.setattr(devices, "input_devices", lambda _portaudio: found)
    assert completion.microphones("") == sorted(names)
    assert completion.microphones("U") == ["USB Headset"]

    def fail() -> None:
        raise AudioError("no PortAudio")

    monkeypatch.setattr(devices, "load_portaudio", fail)
    assert completion.microphones("") == []


def test_completing_imports_nothing_heavy() -> None:
    """A shell waits for it at each press of a key."""
    code = (
        "import sys\n"
        "from asrctl.cli import completion\n"
        "assert completion.models('tiny') and completion.languages('d') and completion.providers('')\n"
        "print(sorted({'numpy', 'rich', 'soundfile', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
