"""Speech-to-text of voice-agent frameworks and of Home Assistant, unmodified, with real weights.

Their packages are in directories of their own, which are looked in before those of `[dev]`. Home Assistant is
the last one for Python 3.11: newer ones want other packages for each Python, and are not in CI.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrctl.audio.sample import SAMPLE_WORDS, sample_speech
from asrctl.audio.vad import SileroVad
from asrctl.server.options import ServeOptions

from ...streaming.speech import silence
from ..files.requests import wav
from ..servers import Running, running

HERE = Path(__file__).parent
PACKAGES = HERE / ".packages"
SPEECH = wav(np.concatenate((silence(0.3), sample_speech(), silence(1.5))))

pytestmark = pytest.mark.integration


def needs(name: str) -> pytest.MarkDecorator:
    """Skips where the packages of a list are not installed."""
    install = f"pip install --no-deps --target .packages/{name} -r {name}.txt"
    there = (PACKAGES / name).is_dir()
    return pytest.mark.skipif(not there, reason=f"needs `{install}` in {HERE.name}/")


def said(script: str, packages: str, port: int) -> Any:
    """What a script says about the speech."""
    done = subprocess.run(
        [sys.executable, "-P", HERE / script, f"127.0.0.1:{port}"],
        input=SPEECH,
        env={**os.environ, "PYTHONPATH": str(PACKAGES / packages)},
        capture_output=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def heard(text: str) -> bool:
    """Whether all of the speech is in a text, once."""
    words = [word.strip(".,").casefold() for word in text.split()]
    return set(words) >= SAMPLE_WORDS and len(words) == len(set(words))


@needs("voice_agents")
@pytest.mark.parametrize(
    ("script", "services"),
    [
        ("pipecat_services.py", ["file", "turns of the server", "turns of the client", "deepgram"]),
        (
            "livekit_services.py",
            ["gpt-4o-mini-transcribe", "gpt-realtime-whisper", "file", "deepgram", "deepgram file"],
        ),
    ],
)
def test_voice_agents(real: Running, script: str, services: list[str]) -> None:
    """OpenAI's and Deepgram's services, live, with the server's turns and the client's, and of files."""
    texts = said(script, "voice_agents", real.server.port)
    assert list(texts) == services
    assert {name: text for name, text in texts.items() if not heard(text)} == {}


if sys.version_info[:2] == (3, 11):

    @needs("home_assistant")
    def test_home_assistant(real_options: ServeOptions, silero: Callable[[], SileroVad]) -> None:
        """Its Wyoming integration finds a service for speech, has text of it, and none of silence."""
        with running(replace(real_options, wyoming_port=0), detector=silero) as server:
            assert server.server.wyoming is not None
            found = said("home_assistant.py", "home_assistant", server.server.wyoming.port)
        (result, text), quiet = found.pop("results")
        assert found == {"platforms": ["stt"], "name": "asrctl", "languages": ["en"], "suits": True}
        assert (result, quiet) == ("success", ["success", ""])
        assert heard(text)
