"""The example that the package shows is a program that works."""

from __future__ import annotations

import inspect
import textwrap
import wave
from pathlib import Path
from typing import Any

import pytest

import asrctl.client
from tests.client.clients import run
from tests.client.server import Cut, ScriptedServer, pcm, words

SAMPLES = 40_000


def example() -> str:
    """The indented part of the docstring, but for its last line, which runs it."""
    lines = (inspect.getdoc(asrctl.client) or "").splitlines()
    code = "\n".join(line for line in lines if line.startswith("    ") or not line)
    program, _, call = textwrap.dedent(code).strip().rpartition("\n")
    assert call.startswith("asyncio.run(transcribe(")
    return program


def test_the_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints each word once, also over a connection that is cut, and says what is going on on stderr."""
    with wave.open(str(tmp_path / "talk.wav"), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(16_000)
        wav.writeframes(pcm(0, SAMPLES).tobytes())
    names: dict[str, Any] = {}
    exec(example(), names)

    async def main() -> None:
        async with ScriptedServer([Cut(20_000)]).running() as server:
            await names["transcribe"](server.url, str(tmp_path / "talk.wav"))

    run(main())
    captured = capsys.readouterr()
    assert captured.out.split() == words(SAMPLES)
    assert "reconnecting 2/15" in captured.err and "live" in captured.err
