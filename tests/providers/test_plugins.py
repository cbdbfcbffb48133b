"""Providers of other packages: installed, found by their entry points, and used, also in a worker process."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from asrctl.assembly import prepare, start
from asrctl.errors import ProviderError, UsageError
from asrctl.providers.plugin import Plugin
from asrctl.providers.registry import PROVIDERS, line_up
from asrctl.settings import Settings, flat, load

from .ears import Stream, in_loop

ENTRY_POINTS = """
[asrctl.providers]
their_stream = their_recognisers.plugins:STREAM
their_windows = their_recognisers.plugins:WINDOWS
their_mistake = their_recognisers.mistake:PLUGIN
their_name = their_recognisers.plugins:STREAM
their_thing = json:dumps
whisper_cpp = their_recognisers.plugins:WINDOWS
"""

PLUGINS = """
from dataclasses import dataclass
from asrctl.providers.plugin import Plugin, number


@dataclass(frozen=True, slots=True)
class TheirSettings:
    word: str = "heard"
    level: float = number(0.5, 0.0, 1.0)


def start(setup):
    from their_recognisers.stream import TheirRecognizer

    return TheirRecognizer(setup.settings.word)


def load(spec):
    from their_recognisers.windows import TheirModel

    return TheirModel(spec.path.read_text())


def missing(setup):
    return "it is switched off" if setup.settings.level == 0 else ""


STREAM = Plugin("their_stream", "counts blocks", settings=TheirSettings, missing=missing, start=start)
WINDOWS = Plugin("their_windows", "says what its weights say", load=load, weights="own")
"""

STREAM = """
import asyncio
from asrctl.providers.recognizer import Completed
from asrctl.transcript import Hypothesis, Segment


class TheirRecognizer:
    name, model, description, windows = "their_stream", "theirs", "here", None

    def __init__(self, word):
        self.word = word

    def open(self, request, say):
        return TheirStream(self.word, say)

    async def wait_ready(self):
        pass

    def pids(self):
        return []

    async def close(self):
        pass


class TheirStream:
    def __init__(self, word, say):
        self.word, self.say, self.number, self.blocks = word, say, 0, 0

    def feed(self, samples):
        self.blocks += 1

    def pause(self, silence_s):
        pass

    def end(self):
        text = f"{self.word} {self.blocks}"
        completed = Completed(self.number, Hypothesis((Segment(0.0, 0.1, text, 1.0),), "en", 0.0))
        self.number, self.blocks = self.number + 1, 0
        asyncio.get_running_loop().call_soon(self.say, completed)

    def drop(self, utterance):
        pass

    def want_partials(self, interval_factor):
        pass

    def close(self):
        pass
"""

WINDOWS = """
import os
from asrctl.transcript import Hypothesis, Segment


class TheirModel:
    def __init__(self, text):
        self.text = text

    def transcribe(self, samples, options, should_abort):
        text = f"{self.text} in {os.getpid()}"
        return Hypothesis((Segment(0.0, len(samples) / 16000, text, 1.0),), options.language, 0.0)

    def description(self):
        return "their worker"

    def close(self):
        pass
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package with providers, as it lies in site-packages when it is installed."""
    site = tmp_path_factory.mktemp("site")
    package, metadata = site / "their_recognisers", site / "their_recognisers-1.0.dist-info"
    package.mkdir()
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: their-recognisers\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    (package / "__init__.py").touch()
    files = {"plugins": PLUGINS, "stream": STREAM, "windows": WINDOWS, "mistake": "import no_such_module\n"}
    for name, text in files.items():
        (package / f"{name}.py").write_text(text)
    return site


@pytest.fixture(autouse=True)
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process and its children find it."""
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(site)]))


def test_they_are_listed_after_those_of_asrctl() -> None:
    """By their names; one of asrctl's cannot be replaced."""
    names = list(PROVIDERS)
    assert names.index("their_stream") > names.index("whisper_cpp")
    assert names.count("whisper_cpp") == 1
    assert PROVIDERS["whisper_cpp"].requires == "_pywhispercpp"
    with pytest.raises(ProviderError, match=r"no provider called 'x'; there are: .*their_stream"):
        line_up("x")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "their_mistake",
            "their_recognisers.mistake:PLUGIN does not load: ModuleNotFoundError: .*no_such_module",
        ),
        ("their_name", "their_recognisers.plugins:STREAM calls itself 'their_stream'"),
        ("their_thing", "json:dumps is not a Plugin"),
    ],
)
def test_one_that_does_not_load_cannot_run(name: str, reason: str) -> None:
    """The others are not concerned; who asks for it is told why."""
    with pytest.raises(ProviderError, match=f"provider {name} cannot run: {reason}"):
        line_up(name)
    assert line_up("auto", (name, "their_windows"))[0].name == "their_windows"


def test_its_section_is_checked_like_any(tmp_path: Path) -> None:
    """By its own class: keys, kinds and bounds; also from the environment, and among all settings."""
    config = tmp_path / "config.toml"
    config.write_text('[their_stream]\nword = "said"\n')
    settings = load(config, {"ASRCTL_THEIR_STREAM__LEVEL": "0.25"}).settings
    shown = flat(settings)
    assert (shown["their_stream.word"], shown["their_stream.level"]) == ("said", 0.25)
    assert flat(Settings())["their_stream.word"] == "heard"
    for text, message in (
        ("wrod = 'x'", "there is no setting their_stream.wrod; did you mean their_stream.word?"),
        ("level = 2", "their_stream.level is 2: it should be from 0.0 to 1.0"),
        ("word = 5", "their_stream.word is 5: it should be a valid string"),
    ):
        config.write_text(f"[their_stream]\n{text}\n")
        with pytest.raises(UsageError) as caught:
            load(config, {})
        assert message in str(caught.value)
    config.write_text("")
    with pytest.raises(UsageError, match="there is no setting ASRCTL_THEIR_STREAM__WROD; did you mean"):
        load(config, {"ASRCTL_THEIR_STREAM__WROD": "x"})


@in_loop
async def test_a_stream_of_theirs(tmp_path: Path) -> None:
    """From settings to words."""
    config = tmp_path / "config.toml"
    config.write_text('provider = "their_stream"\n[their_stream]\nword = "said"\n')
    recognizer = start(prepare(load(config, {}).settings))
    stream = Stream(recognizer)
    stream.feed(np.zeros(3_200, np.float32))
    stream.end()
    stream.end()
    assert await stream.ear.wait_completed(2) == ["said 2", "said 0"]
    stream.close()
    await recognizer.close()


def test_one_that_is_switched_off_cannot_run(tmp_path: Path) -> None:
    """Its own reason is given."""
    config = tmp_path / "config.toml"
    config.write_text('provider = "their_stream"\n[their_stream]\nlevel = 0\n')
    with pytest.raises(ProviderError, match="provider their_stream cannot run: it is switched off"):
        prepare(load(config, {}).settings)


@in_loop
async def test_a_model_of_theirs_in_a_worker(tmp_path: Path) -> None:
    """The worker process finds it too, and loads what is named as the model."""
    weights = tmp_path / "weights"
    weights.write_text("their words")
    recognizer = start(prepare(Settings(provider="their_windows", model=str(weights))))
    async with asyncio.timeout(60):
        await recognizer.wait_ready()
        stream = Stream(recognizer)
        stream.feed(np.full(16_000, 0.1, np.float32))
        stream.end()
        (text,) = await stream.ear.wait_completed(1)
    pids = recognizer.pids()
    await recognizer.close()
    assert pids and text in {f"their words in {pid}" for pid in pids} and os.getpid() not in pids


def test_their_model_must_be_there(tmp_path: Path) -> None:
    """As said by the plug-in that looks for it."""
    with pytest.raises(Exception, match="no such file") as caught:
        prepare(Settings(provider="their_windows", model=str(tmp_path / "nowhere")))
    assert "nowhere" in str(caught.value)


def test_no_more_threads_than_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They would wait for each other without sleeping; that there are fewer is said."""
    (tmp_path / "weights").touch()
    monkeypatch.setattr("asrctl.assembly.available_cpus", lambda: 4)
    settings = Settings(provider="their_windows", model=str(tmp_path / "weights"))
    for asked, given in ((3, 3), (999, 4)):
        assert prepare(settings.overridden(threads=asked)).spec.threads == given
    assert caplog.messages == ["threads: 4 instead of 999: no more processors are available"]


def test_a_plug_in_is_light(site: Path) -> None:
    """Nothing of it is imported while a provider of asrctl is chosen."""
    code = (
        "import sys, json\nfrom asrctl.assembly import prepare\nfrom asrctl.settings import Settings\n"
        "from asrctl.providers.registry import line_up\nline_up('auto')\n"
        "print(json.dumps([name for name in sys.modules if name.startswith('their')]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
    assert isinstance(PROVIDERS["their_stream"], Plugin)
