"""whisper.cpp's own program, as a script that writes what it writes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from asrctl.audio.vad import SileroVad, SileroWeights
from asrctl.bench.rtf import Contestant
from asrctl.bench.setup import Setup, builtin
from asrctl.bench.whisper_cli import contestant
from asrctl.cli.bench_options import peers_of
from asrctl.errors import AsrctlError, UsageError
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.streaming.files import FileOptions
from asrctl.streaming.stream import StreamOptions
from asrctl.workers.options import HealthCheck
from asrctl_tests.scripted import speak

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")

TIMINGS = """
whisper_print_timings:     load time =   100.00 ms
whisper_print_timings:   encode time =   200.00 ms /     1 runs
whisper_print_timings:    total time =   600.00 ms
"""
SPEECH = builtin(0.0)
Program = Callable[[str], Contestant]


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    """What it is to run."""
    return Setup(
        "tiny",
        ModelSpec("whisper_cpp", tmp_path / "weights.bin", 3),
        1,
        HealthCheck(speak([1]), frozenset(), DecodeOptions()),
        FileOptions(),
        StreamOptions(),
        lambda: SileroVad(SileroWeights.load()),
    )


@pytest.fixture
def program(tmp_path: Path, setup: Setup) -> Program:
    """Makes a contestant of a shell script."""

    def make(script: str) -> Contestant:
        path = tmp_path / "whisper-cli"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return contestant(str(path), setup)

    return make


def test_its_own_times_and_text_count(program: Program) -> None:
    """Loading is not in the RTF; processor time and memory are the process's; words are compared."""
    found = program(f"cat >&2 <<'END'{TIMINGS}END\necho '{SPEECH.reference}'").run(SPEECH)
    assert found["rtf"] == pytest.approx(0.5 / SPEECH.duration_s, rel=1e-3)
    assert found["load_s"] == 0.1
    assert found["wer_percent"] == 0.0
    assert found["peak_rss_mb"] > 0 and found["cpu_per_audio_s"] >= 0 and found["at_s"] > 0


def test_it_gets_the_same_weights_threads_and_audio(program: Program, tmp_path: Path) -> None:
    """Greedy, with the words alone as output."""
    log = tmp_path / "log"
    each = program(f'echo "$@" > {log}\nwc -c < "$4" >> {log}\ncat >&2 <<\'END\'{TIMINGS}END')
    each.run(SPEECH)
    command, size = log.read_text().splitlines()
    assert f"--model {tmp_path / 'weights.bin'}" in command and "--threads 3" in command
    assert "--beam-size 1" in command and "--no-timestamps" in command and "--language en" in command
    assert int(size) == 44 + 2 * round(SPEECH.duration_s * 16_000)
    assert each.name == "tiny whisper-cli 1x3"
    assert each.description["provider"] == "whisper-cli"


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo broken >&2; exit 3", "exit code 3: broken"),
        ("exit 1", "it says nothing"),
        ("echo words", "how long it took"),
    ],
)
def test_its_failures_are_told(program: Program, script: str, says: str) -> None:
    """In one line, with its own last words."""
    with pytest.raises(AsrctlError, match=says):
        program(script).run(SPEECH)


def test_a_program_that_is_none(setup: Setup) -> None:
    """The system says why."""
    with pytest.raises(AsrctlError, match="cannot run"):
        contestant("/nonexistent/whisper-cli", setup).run(SPEECH)


def test_it_takes_part_where_it_can(setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program that was named, or the one on PATH, for each model that it can load."""
    program = tmp_path / "whisper-cli"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    two = replace(setup, workers=2)
    (found,) = peers_of([setup, two], program, look=True)
    assert found.description["program"] == str(program)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    (found,) = peers_of([setup], None, look=True)
    assert found.description["program"] == str(program)
    assert peers_of([setup], None, look=False) == []
    with pytest.raises(UsageError, match="one worker"):
        peers_of([two], program, look=True)
    with pytest.raises(UsageError, match="there is no program"):
        peers_of([setup], tmp_path / "none", look=True)
