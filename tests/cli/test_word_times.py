"""Times of real transcripts, where there are long pauses between the utterances."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrctl.audio.sample import sample_speech
from asrctl.providers.registry import is_installed
from asrctl.transcript import SAMPLE_RATE_HZ

pytestmark = pytest.mark.integration

SPOKEN_S = (0.2, 2.74)
"""Where the sample's sentence starts and ends in it."""


@pytest.mark.parametrize("provider", ["whisper_cpp", "faster_whisper"])
def test_starts_and_ends_are_where_the_speech_is(tmp_path: Path, provider: str) -> None:
    """Within half a second, however long the pause before it that was not decoded."""
    if provider == "faster_whisper" and not is_installed(provider):
        pytest.skip("faster-whisper is not installed")
    sample, pieces, truth = sample_speech(), [], []
    for pause_s in (4.0, 25.0, 8.0, 12.0):
        pieces += [np.zeros(round(pause_s * SAMPLE_RATE_HZ), np.float32), sample]
        offset_s = (sum(map(len, pieces)) - len(sample)) / SAMPLE_RATE_HZ
        truth.append(tuple(offset_s + each for each in SPOKEN_S))
    soundfile.write(tmp_path / "pauses.wav", np.concatenate(pieces), SAMPLE_RATE_HZ)
    command = [sys.executable, "-m", "asrctl", "transcribe", str(tmp_path / "pauses.wav")]
    command += ["--model", "tiny.en-q8_0"]
    command += ["--format", "json", "--provider", provider]
    done = subprocess.run(
        [*command, "--format", "json", "--provider", provider], capture_output=True, check=True
    )
    found = [(each["start_s"], each["end_s"]) for each in json.loads(done.stdout)["segments"]]
    assert np.array(found) == pytest.approx(np.array(truth), abs=0.5)
