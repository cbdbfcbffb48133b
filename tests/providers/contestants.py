"""Every provider, made ready for the contract: at work, harmed in the middle of it, and of no use at all."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from asrctl.audio.sample import SAMPLE_TEXT, SAMPLE_WORDS, sample_speech
from asrctl.audio.vad import SileroVad, SileroWeights
from asrctl.engine.lineup import Member
from asrctl.engine.pool import WorkerPool
from asrctl.engine.slot import PoolOptions
from asrctl.engine.stream import SpeechDetector
from asrctl.engine.threads import ThreadedRecognizer
from asrctl.models.store import ModelStore
from asrctl.policy.backoff import BackoffOptions
from asrctl.providers.base import ModelSpec
from asrctl.providers.registry import is_installed
from asrctl.providers.remote.model import RemoteModel
from asrctl.providers.remote.options import RemoteOptions
from asrctl.providers.remote.windows import RemoteWindows
from asrctl.providers.scripted import speak
from asrctl.providers.scripted_stream import ScriptedStream, StreamScript
from asrctl.providers.voxtral.model import Voxtral

from ..engine.streams import LevelDetector
from ..server.servers import options_for as serve_options
from ..server.servers import running
from ..server.servers import script as script_at
from . import remote_streams, voxtrals
from .remote_server import (
    After,
    HttpServer,
    OpenAiBrain,
    RealtimeServer,
    Reply,
    VllmBrain,
    serving,
    serving_http,
)

UTTERANCES = [range(1, 9), range(9, 15)]
NOWHERE = "127.0.0.1:9"
AT_ONCE = BackoffOptions(first_s=0.01, max_s=0.01, max_attempts=2)


def words_of(text: str) -> list[str]:
    """A text's words, without what models do differently."""
    return [word.strip(".,!?").casefold() for word in text.split()]


@dataclass(frozen=True)
class Contestant:
    """A provider under test.

    Attributes:
        member: In a lineup.
        harm: Hurts it, so that it loses what it is doing; but not for good.
        speech: Whether it wants real speech.
    """

    member: Member
    harm: Callable[[], None] = lambda: None
    speech: bool = False

    @property
    def utterances(self) -> list[NDArray[np.float32]]:
        """What it is to hear."""
        return [sample_speech()] * 2 if self.speech else [speak(numbers) for numbers in UTTERANCES]

    @property
    def texts(self) -> list[list[str]]:
        """The words of each."""
        if self.speech:
            return [self.sure(words_of(SAMPLE_TEXT))] * 2
        return [[f"w{number}" for number in numbers] for numbers in UTTERANCES]

    def sure(self, words: list[str]) -> list[str]:
        """Those of some words that no model gets wrong."""
        return [word for word in words if word in SAMPLE_WORDS or not self.speech]

    def detector(self) -> SpeechDetector:
        """What finds its speech."""
        return SileroVad(SileroWeights.load()) if self.speech else LevelDetector()


Make = Callable[[ExitStack, Path, pytest.FixtureRequest], Contestant]


def _kill(pids: Callable[[], list[int]]) -> Callable[[], None]:
    def kill() -> None:
        for pid in pids():
            os.kill(pid, signal.SIGKILL)

    return kill


def _pool(stack: ExitStack, spec: ModelSpec, *, speech: bool = False) -> Contestant:
    pool = stack.enter_context(WorkerPool(spec, PoolOptions(attempts=3)))
    return Contestant(Member("under test", pool), _kill(pool.pids), speech)


def _scripted(stack: ExitStack, path: Path, _: pytest.FixtureRequest) -> Contestant:
    return _pool(stack, script_at(path / "script.json", delay_s=0.01))


def _whisper_cpp(stack: ExitStack, path: Path, request: pytest.FixtureRequest) -> Contestant:
    return _pool(stack, ModelSpec("whisper_cpp", request.getfixturevalue("tiny_en")), speech=True)


def _faster_whisper(stack: ExitStack, path: Path, request: pytest.FixtureRequest) -> Contestant:
    store: ModelStore = request.getfixturevalue("store")
    return _pool(stack, ModelSpec("faster_whisper", store.ct2_directory("tiny.en")), speech=True)


def _scripted_stream(stack: ExitStack, path: Path, _: pytest.FixtureRequest) -> Contestant:
    model = stack.enter_context(ScriptedStream(StreamScript(lag_s=0.001)))
    return Contestant(Member("under test", None, model), lambda: model.break_all("harmed"))


def _voxtral(stack: ExitStack, path: Path, _: pytest.FixtureRequest) -> Contestant:
    model = stack.enter_context(Voxtral(voxtrals.options_for(path, {})))
    model.wait_ready(voxtrals.PATIENCE_S)
    return Contestant(Member("under test", None, model), _kill(model.pids))


def _realtime(brain: Any) -> Make:
    """It is harmed by itself: the server cuts the first connection."""

    def make(stack: ExitStack, path: Path, _: pytest.FixtureRequest) -> Contestant:
        faults = [After(bytes=60_000, code=1011)]
        url = stack.enter_context(serving(RealtimeServer(brain, faults)))
        model = RemoteModel(remote_streams.options(url))
        stack.callback(model.close)
        return Contestant(Member("under test", None, model))

    return make


def _transcriptions(stack: ExitStack, path: Path, _: pytest.FixtureRequest) -> Contestant:
    """It is harmed by itself: the first request fails."""
    server = stack.enter_context(serving_http(HttpServer([Reply(500, b"")])))
    recognizer = ThreadedRecognizer(lambda: RemoteWindows(remote_streams.options(server.url)), 2)
    stack.callback(recognizer.close)
    return Contestant(Member("under test", recognizer))


def _another_asrctl(stack: ExitStack, path: Path, _: pytest.FixtureRequest) -> Contestant:
    server = stack.enter_context(running(serve_options(script_at(path / "script.json"))))
    model = RemoteModel(remote_streams.options(server.url, "asrctl", model=""))
    stack.callback(model.close)
    return Contestant(Member("under test", None, model), _kill(server.server.engine.pids))


CONTESTANTS: dict[str, Make] = {
    "scripted": _scripted,
    "scripted_stream": _scripted_stream,
    "voxtral": _voxtral,
    "remote-openai": _realtime(OpenAiBrain),
    "remote-vllm": _realtime(VllmBrain),
    "remote-transcriptions": _transcriptions,
    "remote-asrctl": _another_asrctl,
    "whisper_cpp": _whisper_cpp,
    "faster_whisper": _faster_whisper,
}


def _dead_pool(provider: str) -> Make:
    def make(stack: ExitStack, path: Path, _: pytest.FixtureRequest) -> Contestant:
        (path / "nothing").mkdir()
        script = path / "script.json"
        script.write_text(json.dumps({"fail_load": "it is broken"}))
        where = script if provider == "scripted" else path / "nothing"
        return _pool(stack, ModelSpec(provider, where))

    return make


def _dead_stream(stack: ExitStack, path: Path, _: pytest.FixtureRequest) -> Contestant:
    model = stack.enter_context(ScriptedStream())
    model.refusal = "it is broken"
    return Contestant(Member("under test", None, model))


def _dead_voxtral(stack: ExitStack, path: Path, _: pytest.FixtureRequest) -> Contestant:
    options = voxtrals.options_for(path, {"restarts": AT_ONCE}, load_error="it is broken")
    return Contestant(Member("under test", None, stack.enter_context(Voxtral(options))))


def _dead_remote(dialect: str) -> Make:
    def make(stack: ExitStack, path: Path, _: pytest.FixtureRequest) -> Contestant:
        scheme = "http" if dialect == "transcriptions" else "ws"
        options = RemoteOptions(f"{scheme}://{NOWHERE}", dialect, backoff=AT_ONCE, outage_s=1.0)
        if options.is_windowed:
            recognizer = ThreadedRecognizer(lambda: RemoteWindows(options), 1)
            stack.callback(recognizer.close)
            return Contestant(Member("under test", recognizer))
        model = RemoteModel(options)
        stack.callback(model.close)
        return Contestant(Member("under test", None, model))

    return make


DEAD: dict[str, Make] = {
    "scripted": _dead_pool("scripted"),
    "scripted_stream": _dead_stream,
    "voxtral": _dead_voxtral,
    "remote-openai": _dead_remote("openai"),
    "remote-vllm": _dead_remote("vllm"),
    "remote-transcriptions": _dead_remote("transcriptions"),
    "remote-asrctl": _dead_remote("asrctl"),
    "whisper_cpp": _dead_pool("whisper_cpp"),
    "faster_whisper": _dead_pool("faster_whisper"),
}


def parameters() -> Iterator[Any]:
    """Names of all, those with real models marked."""
    for name in CONTESTANTS:
        marks = []
        if name in ("whisper_cpp", "faster_whisper"):
            module = {"whisper_cpp": "_pywhispercpp", "faster_whisper": "faster_whisper"}[name]
            marks.append(pytest.mark.integration)
            marks.append(pytest.mark.skipif(not is_installed(module), reason=f"{name} is not installed"))
        yield pytest.param(name, marks=marks)
