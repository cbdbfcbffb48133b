"""Deepgram's client for JavaScript, unmodified; see conftest.py for where it has to be."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from asrctl.audio.sample import SAMPLE_WORDS

from ..servers import Running
from .test_deepgram_clients import FILE, heard

NODE_FOLDER = os.environ.get("ASRCTL_TEST_DEEPGRAM_JS", "")


@pytest.mark.integration
def test_javascript(real: Running) -> None:
    """@deepgram/sdk in Node: live, where it must not reconnect after the end, and a file."""
    script = Path(__file__).with_name("deepgram.mjs").read_text()
    done = subprocess.run(
        ["node", "--input-type=module", "-e", script, str(real.server.port)],
        input=FILE,
        cwd=NODE_FOLDER,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    said = json.loads(done.stdout)
    assert heard(" ".join(said["finals"])) >= SAMPLE_WORDS
    assert heard(said["file"]) >= SAMPLE_WORDS
    assert said["codes"] == [1000]
    assert said["last"] == "Metadata"
