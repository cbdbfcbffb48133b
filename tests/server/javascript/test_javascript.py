"""Unmodified clients in JavaScript against a server with real weights."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrctl.audio.sample import SAMPLE_WORDS, sample_speech
from asrctl.server.options import ServeOptions

from ...streaming.speech import silence
from ..files.requests import wav
from ..servers import Running, running, until

HERE = Path(__file__).parent
NODE = shutil.which("node")
SPEECH = np.concatenate((silence(0.3), sample_speech(), silence(1.5)))


def has_node() -> bool:
    """Whether there is one that is new enough for the clients."""
    if NODE is None:
        return False
    version = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True).stdout
    return int(version.lstrip("v").split(".")[0]) >= 22


pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not has_node(), reason="needs Node 22 or newer"),
    pytest.mark.skipif(not (HERE / "node_modules").is_dir(), reason=f"needs `npm ci` in {HERE.name}/"),
]


def run(script: str, at: str, rate_hz: int, certificate: Path | None = None) -> Any:
    """What a script says about the speech."""
    import soxr

    samples = np.clip(soxr.resample(SPEECH, 16_000, rate_hz), -1, 1)
    trusted = {} if certificate is None else {"NODE_EXTRA_CA_CERTS": str(certificate)}
    assert NODE is not None
    done = subprocess.run(
        [NODE, HERE / script, at],
        input=wav(samples, rate_hz),
        env={**os.environ, **trusted},
        capture_output=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def heard(text: str) -> bool:
    """Whether all of the speech is in a text."""
    return {word.strip(".,").casefold() for word in text.split()} >= SAMPLE_WORDS


def test_openai(real_options: ServeOptions, pems: Path) -> None:
    """openai-js: files, their events, and live, by the server's turns and by commits.

    It says `wss` whatever its base URL says, so that it can only come in over TLS.
    """
    with running(replace(real_options, certificate=pems / "both.pem"), ready=False) as server:
        until(lambda: server.server.engine.ready)
        said = run("openai.mjs", f"https://127.0.0.1:{server.server.port}/v1", 24_000, pems / "cert.pem")
    assert heard(said["json"]["text"])
    assert said["verbose"]["language"] == "english"
    assert heard(" ".join(word["word"] for word in said["verbose"]["words"]))
    assert said["verbose"]["segments"]
    assert said["srt"].startswith("1\n00:00:0")
    assert said["models"] == ["tiny.en-q8_0"]
    assert said["error"] == {"isNotFound": True, "code": "model_not_found", "param": "model"}
    *deltas, done = said["events"]
    assert done["type"] == "transcript.text.done"
    assert "".join(each["delta"] for each in deltas) == done["text"]
    assert heard(done["text"])
    for live in (said["turns"], said["commits"]):
        assert heard(live["transcript"])
        assert live["deltas"] == live["transcript"]
    started = "input_audio_buffer.speech_started"
    assert (started in said["turns"]["types"], started in said["commits"]["types"]) == (True, False)


def test_ai_sdk(real: Running) -> None:
    """The AI SDK, which reads answers strictly: a file with segments, words and language; a stream."""
    said = run("ai.mjs", f"http://127.0.0.1:{real.server.port}/v1", 24_000)
    assert heard(said["text"])
    assert heard(" ".join(segment["text"] for segment in said["segments"]))
    assert heard(" ".join(word["text"] for word in said["words"]))
    assert said["language"] == "en"
    assert said["durationInSeconds"] == pytest.approx(len(SPEECH) / 16_000, abs=0.01)
    assert heard(said["live"]["text"])
    assert said["live"]["deltas"] == said["live"]["text"]


def test_deepgram(real: Running) -> None:
    """@deepgram/sdk: live, where it must not connect again after the end, and a file."""
    said = run("deepgram.mjs", f"127.0.0.1:{real.server.port}", 16_000)
    assert heard(" ".join(said["finals"]))
    assert heard(said["file"])
    assert said["codes"] == [1000]
    assert said["last"] == "Metadata"
