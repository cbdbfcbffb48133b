"""Two Ray nodes on this machine, of which one is lost while it works."""

from __future__ import annotations

import faulthandler
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrctl.cluster.worker import LONG_S
from asrctl.transcript import SAMPLE_RATE_HZ
from asrctl_tests.scripted import WORD_SAMPLES, speak
from tests.cli.commands import asrctl

from .nodes import ADDRESS, isolated, why_not

SHORT = 16
LOSE_AFTER = 5
WORDS = 4000


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Short recordings, each with words of its own, and one that is decoded in pieces."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(SHORT):
        words = speak(range(10 * number, 10 * number + 10))
        soundfile.write(folder / f"{number}.wav", words, SAMPLE_RATE_HZ)
    long = np.tile(speak(range(WORDS)), 2)
    assert len(long) / SAMPLE_RATE_HZ > LONG_S and len(long) == 2 * WORDS * WORD_SAMPLES
    soundfile.write(folder / "long.wav", long, SAMPLE_RATE_HZ)
    return folder


@pytest.mark.timeout(400)
def test_a_lost_node_costs_no_result(recordings: Path, tmp_path: Path) -> None:
    """All transcripts are there, each written once, word for word as on one machine."""
    if reason := why_not():
        pytest.skip(reason)
    # Ray takes half a minute to start, and more on a busy machine: the limit below is enough.
    faulthandler.cancel_dump_traceback_later()
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"delay_s": 0.3}))
    alone, out = tmp_path / "alone", tmp_path / "out"
    command = ["transcribe", str(recordings), "--provider", "scripted", "--model", str(script), "--no-vad"]
    assert asrctl([*command, "--output-dir", str(alone), "--workers", "2"]).returncode == 0
    on_cluster = [sys.executable, "-m", "asrctl", *command, "--output-dir", str(out), "--cluster", ADDRESS]
    nodes = [sys.executable, "-m", "tests.cluster.nodes", "--lose-after", str(LOSE_AFTER), str(out), "--"]
    ran = subprocess.run(
        isolated([*nodes, *on_cluster]), capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    assert result["code"] == 0, result["said"]
    assert result["lost_s"] is not None and len(result["written_s"]) == SHORT + 1 and not result["twice"]
    assert {path.name: path.read_text() for path in out.iterdir()} == {
        path.name: path.read_text() for path in alone.iterdir()
    }
    assert f"{SHORT + 1} of {SHORT + 1} inputs transcribed" in result["said"]
