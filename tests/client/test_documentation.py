"""The examples that the package shows are programs that work."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import sys
import textwrap
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import asrctl.client
from tests.client.clients import run
from tests.client.runs import serving
from tests.client.server import Cut, ScriptedServer, pcm, words

SAMPLES = 40_000


def examples() -> list[str]:
    """The indented parts of the docstring, as they stand there."""
    text = inspect.getdoc(asrctl.client) or ""
    found = re.findall(r"(?:^(?:    .*)?\n)+", text, re.MULTILINE)
    return [textwrap.dedent(each).strip() for each in found if each.strip()]


def test_there_are_two() -> None:
    """All of them are run below."""
    assert len(examples()) == 2


def test_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints each word once, also over a connection that is cut, and says what is going on on stderr."""
    with wave.open(str(tmp_path / "talk.wav"), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(16_000)
        wav.writeframes(pcm(0, SAMPLES).tobytes())
    program, _, call = examples()[0].rpartition("\n")
    assert call == 'transcribe("ws://127.0.0.1:8765", "talk.wav")'
    names: dict[str, Any] = {}
    exec(program, names)
    with serving(ScriptedServer([Cut(20_000)])) as server:
        names["transcribe"](server.url, str(tmp_path / "talk.wav"))
    captured = capsys.readouterr()
    assert captured.out.split() == words(SAMPLES)
    assert "reconnecting 2/15" in captured.err and "live" in captured.err


def test_a_microphone(capsys: pytest.CaptureFixture[str]) -> None:
    """It prints what was fed."""
    names: dict[str, Any] = {}
    exec(examples()[1], names)

    async def microphone() -> AsyncIterator[bytes]:
        for at in range(0, SAMPLES, 800):
            yield pcm(at, at + 800).tobytes()
            await asyncio.sleep(0)

    async def main() -> None:
        async with ScriptedServer().running() as server:
            await names["listen"](server.url, microphone())

    run(main())
    assert capsys.readouterr().out.split() == words(SAMPLES)


@pytest.mark.parametrize("number", [0, 1])
def test_they_need_nothing_else(number: int) -> None:
    """They import the standard library and the client's public names."""
    for node in ast.walk(ast.parse(examples()[number])):
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= sys.stdlib_module_names
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            assert node.module == "asrctl.client" or node.module.split(".")[0] in sys.stdlib_module_names
