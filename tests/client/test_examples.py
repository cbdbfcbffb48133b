"""The examples of PROTOCOL.md at servers that load, refuse, or are slow: each word once."""

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

from asrctl.protocol.messages import Error, Limits
from tests.client.runs import serving
from tests.client.server import Busy, CloseWith, Cut, Fault, Refuse, Restart, ScriptedServer, pcm, words
from tests.server.browser import Site, needs_browser

SAMPLES = 16_000
NODE = shutil.which("node")
DOCUMENT = files("asrctl.server").joinpath("PROTOCOL.md").read_text(encoding="utf-8")
PATIENCE_S = 60.0
FULL = CloseWith(1013, Error("overload", "ten are here", retry_after_s=0.01))
IMPATIENT = Limits(idle_timeout_s=0.4)


def example(language: str) -> str:
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)
    return found[0]


def python(url: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run the Python example over some words."""
    (directory / "client.py").write_text(example("python"))
    with wave.open(str(directory / "audio.wav"), "wb") as wav:
        wav.setparams((1, 2, 16_000, 0, "NONE", ""))
        wav.writeframes(pcm(0, SAMPLES).tobytes())
    command = [sys.executable, "client.py", url, "audio.wav"]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=PATIENCE_S)


@pytest.mark.parametrize(
    "faults",
    [
        [],
        [Refuse(503, "0"), Refuse(503, "0")],
        [FULL, FULL],
        [Busy(1.5)],
    ],
    ids=str,
)
def test_python(faults: list[Fault | None], tmp_path: Path) -> None:
    """It waits while the server loads, comes back when it has room, and is not idle while held back."""
    with serving(ScriptedServer(faults, window=2_000, limits=IMPATIENT)) as server:
        done = python(server.url, tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines()] == words(SAMPLES)
    assert "'type': 'done'" in done.stderr
    assert server.handshakes == 1 + sum(fault is not None and not isinstance(fault, Busy) for fault in faults)


@pytest.mark.parametrize(
    "fault", [CloseWith(4400, Error("bad_request", "no such model")), Cut(8_000)], ids=str
)
def test_python_says_why(fault: Fault, tmp_path: Path) -> None:
    """What it cannot mend it says in one line."""
    with serving(ScriptedServer([fault])) as server:
        done = python(server.url, tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert re.search("no such model|the session was closed", done.stderr)


def node_runs(script: str) -> bool:
    """Whether there is a node that has WebSocket."""
    if NODE is None:
        return False
    command = [NODE, "--experimental-websocket", "-e", script]
    return subprocess.run(command, capture_output=True, timeout=PATIENCE_S).returncode == 0


@pytest.mark.skipif(not node_runs("new WebSocket('ws://127.0.0.1:1')"), reason="needs node with WebSocket")
@pytest.mark.parametrize("size", [1000, SAMPLES])
@pytest.mark.parametrize(
    "faults",
    [
        [],
        [FULL],
        [Busy(1.5)],
        [Cut(10_000), Restart(8_000), Cut(4_000)],
    ],
    ids=str,
)
def test_javascript(faults: list[Fault | None], size: int, tmp_path: Path) -> None:
    """It comes back by itself, whatever the length of what it is fed."""
    driver = """
    const samples = %s;
    const stream = new AsrctlStream("%s/v1/stream", 16000, () => {});
    stream.wait = 10;
    for (let at = 0; at < samples.length; at += %d) {
      stream.feed(Float32Array.from(samples.slice(at, at + %d)));
    }
    stream.finish().then((text) => { console.log(text); process.exit(0); });
    """
    floats = json.dumps([sample / 32767 for sample in pcm(0, SAMPLES).tolist()])
    with serving(ScriptedServer(faults, window=2_000, limits=IMPATIENT)) as server:
        (tmp_path / "page.js").write_text(example("javascript") + driver % (floats, server.url, size, size))
        assert NODE is not None
        command = [NODE, "--experimental-websocket", "page.js"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.stdout.split() == words(SAMPLES), done.stderr
    if faults and isinstance(faults[0], Busy):
        assert server.handshakes == 1, "it was not idle"


@needs_browser
def test_javascript_at_a_server_that_loads(tmp_path: Path) -> None:
    """A page is not told of the 503, and comes back as it does after any loss."""
    floats = json.dumps([sample / 32767 for sample in pcm(0, SAMPLES).tolist()])
    with serving(ScriptedServer([Refuse(503), Refuse(503)])) as server, Site() as site:
        driver = f"""
        const stream = new AsrctlStream("{server.url}/v1/stream", 16000, () => {{}});
        stream.wait = 10;
        stream.feed(Float32Array.from({floats}));
        stream.finish().then(report);"""
        assert site.outcome(example("javascript") + driver, tmp_path).split() == words(SAMPLES)
    assert server.handshakes == 3
