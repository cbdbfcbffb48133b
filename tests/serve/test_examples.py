"""The examples of the protocol's documentation run as they stand there, and its tables are complete."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import wave
from importlib.resources import files
from pathlib import Path

import pytest

from asrctl.policy.protocol import CloseCode
from asrctl.policy.protocol.fields import wire_name
from asrctl.policy.protocol.messages import CLIENT_TYPES, SERVER_TYPES

from .servers import PATIENCE_S, Running, spoken

DOCUMENT: str = files("asrctl.serve").joinpath("PROTOCOL.md").read_text(encoding="utf-8")
EXPECTED = ["w5", "w6", "w7"]


def example(language: str) -> str:
    """The first example in a language."""
    found = re.search(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found
    return found[1]


def test_python(shared: Running, tmp_path: Path) -> None:
    """The Python example prints the finals of a file and the account."""
    (tmp_path / "client.py").write_text(example("python"))
    with wave.open(str(tmp_path / "audio.wav"), "wb") as wav:
        wav.setparams((1, 2, 16_000, 0, "NONE", ""))
        wav.writeframes(spoken(5, 6, 7))
    done = subprocess.run(
        [sys.executable, "client.py", shared.url, "audio.wav"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert [line.split()[1] for line in done.stdout.splitlines()] == EXPECTED, done.stderr
    assert "'type': 'done'" in done.stderr


DRIVER = """
const levels = JSON.parse(require("fs").readFileSync("audio.json"));
const seen = [];
const stream = new AsrctlStream(process.argv[2], 16000, (text, unstable) => seen.push(unstable));
for (let at = 0; at < levels.length; at += 1600) stream.feed(Float32Array.from(levels.slice(at, at + 1600)));
if (process.argv[3]) setTimeout(() => stream.socket.close(), 50);
stream.finish().then((text) => console.log(text));
"""


NODE = ("node", "--experimental-websocket")  # which is always there from version 22 on


def has_websocket() -> bool:
    """Whether there is a node with a browser's WebSocket."""
    if shutil.which("node") is None:
        return False
    done = subprocess.run([*NODE, "-e", "console.log(typeof WebSocket)"], capture_output=True, text=True)
    return done.stdout.strip() == "function"


@pytest.mark.skipif(not has_websocket(), reason="needs node with WebSocket")
@pytest.mark.parametrize("cut", ["", "cut"])
def test_javascript(shared: Running, tmp_path: Path, cut: str) -> None:
    """The browser's example gives the text, also if its socket is lost in between."""
    (tmp_path / "client.js").write_text(example("javascript") + DRIVER)
    pcm = spoken(5, 6, 7)
    samples = [
        int.from_bytes(pcm[at : at + 2], "little", signed=True) / 32767 for at in range(0, len(pcm), 2)
    ]
    (tmp_path / "audio.json").write_text(json.dumps(samples))
    done = subprocess.run(
        [*NODE, "client.js", shared.url, *filter(None, [cut])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.stdout.split() == EXPECTED, done.stderr


@pytest.mark.parametrize("types", [CLIENT_TYPES, SERVER_TYPES])
def test_every_message_is_documented(types: dict[str, type]) -> None:
    """The tables name every message with all its keys."""
    import dataclasses

    for name, kind in types.items():
        rows = [row for row in DOCUMENT.splitlines() if row.startswith(f"| `{name} {{")]
        keys = {wire_name(spec) for spec in dataclasses.fields(kind)} - {"id"}
        assert any(set(re.findall(r"\w+", row.split("}")[0])) >= {name, *keys} for row in rows), (name, keys)


def test_every_close_code_is_documented() -> None:
    """The table of close codes is complete."""
    table = DOCUMENT.partition("## Close codes")[2]
    assert not [int(code) for code in CloseCode if str(int(code)) not in table]
