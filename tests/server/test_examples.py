"""The examples of the protocol's documentation run as they stand there, and its tables are complete."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import wave
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from asrctl.audio.sample import SAMPLE_WORDS
from asrctl.protocol.codes import CloseCode
from asrctl.protocol.fields import wire_name
from asrctl.protocol.messages import CLIENT_TYPES, SERVER_TYPES
from asrctl.providers.base import ModelSpec

from .browser import Site, needs_browser
from .servers import PATIENCE_S, Running, options_for, running, spoken

Scripted = Callable[..., ModelSpec]

DOCUMENT: str = files("asrctl.server").joinpath("PROTOCOL.md").read_text(encoding="utf-8")
EXPECTED = ["w5", "w6", "w7"]


def example(language: str, number: int = 0) -> str:
    """An example in a language, by its place among them."""
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)
    return found[number]


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


FEED = """
const levels = %s;
function speak(stream) {
  for (let at = 0; at < levels.length; at += 1600) {
    stream.feed(Float32Array.from(levels.slice(at, at + 1600)));
  }
  stream.finish().then(report);
}
"""


def page(driver: str) -> str:
    """A script with the first browser example, and something to say to it."""
    samples = np.frombuffer(spoken(5, 6, 7), "<i2") / 32767
    return example("javascript") + FEED % json.dumps(samples.tolist()) + driver


@needs_browser
def test_javascript(shared: Running, tmp_path: Path) -> None:
    """The browser's example gives the text, in a page of this machine."""
    driver = f'speak(new AsrctlStream("{shared.url}", 16000, () => {{}}));'
    with Site() as site:
        assert site.outcome(page(driver), tmp_path).split() == EXPECTED


@needs_browser
def test_javascript_loses_its_socket(scripted: Scripted, tmp_path: Path) -> None:
    """A page with a key that loses its socket at the first final resumes, and has each word once."""
    with running(options_for(scripted(), api_key="sesame")) as server, Site("localhost") as site:
        driver = f"""
        let cut = false;
        const stream = new AsrctlStream("{server.url}", 16000, (text) => {{
          if (text && !cut) {{ cut = true; stream.socket.close(); }}
        }}, "sesame");
        speak(stream);"""
        assert site.outcome(page(driver), tmp_path).split() == EXPECTED
        assert server.metric("asrctl_resumes_total", Authorization="Bearer sesame") == 1


@needs_browser
@pytest.mark.parametrize("named", [False, True])
def test_pages_from_elsewhere(scripted: Scripted, tmp_path: Path, named: bool) -> None:
    """A page of another site reaches the server only if its origin was named."""
    with Site("elsewhere.test") as site:
        origins = frozenset({site.origin}) if named else frozenset[str]()
        with running(options_for(scripted(), allow_origins=origins)) as server:
            driver = f"""
            const socket = new WebSocket("{server.url}", ["asrctl.v1"]);
            socket.onopen = () => report("open");
            socket.onclose = (event) => report("closed " + event.code);"""
            assert site.outcome(driver, tmp_path) == ("open" if named else "closed 1006")
            refused = 'asrctl_rejected_total{reason="origin"} 0.0' not in server.get("/metrics")[1]
            assert refused is not named


MICROPHONE = """
let stream = null;
listen((text, unstable) => {
  if (text.includes("meeting")) stream.stop().then(report);
}).then((started) => { stream = started; });
"""


@needs_browser
@pytest.mark.integration
def test_the_microphone(real: Running, tmp_path: Path) -> None:
    """The example for the microphone, at one that hears a sentence, gives the sentence."""
    flags = (
        "--autoplay-policy=no-user-gesture-required",
        f"--use-file-for-fake-audio-capture={files('asrctl.assets').joinpath('monday.wav')}%noloop",
    )
    script = example("javascript") + example("javascript", 1)
    assert "ws://127.0.0.1:8765/v1/stream" in script
    script = script.replace("ws://127.0.0.1:8765/v1/stream", real.url) + MICROPHONE
    with Site() as site:
        text = site.outcome(script, tmp_path, *flags)
    assert {word.strip(".,").casefold() for word in text.split()} >= SAMPLE_WORDS


def test_no_example_is_forgotten() -> None:
    """All examples of the document are run above."""
    assert re.findall(r"```(\w+)\n", DOCUMENT) == ["python", "javascript", "javascript"]


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
