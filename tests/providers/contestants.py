"""Every provider, made ready for the contract: at work, harmed in the middle of it, and of no use at all."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from asrctl.audio.sample import SAMPLE_TEXT, SAMPLE_WORDS, sample_speech
from asrctl.models.store import ModelStore
from asrctl.policy.backoff import BackoffOptions
from asrctl.providers.base import ModelSpec
from asrctl.providers.plugin import is_installed
from asrctl.providers.recognizer import Recognizer
from asrctl.providers.remote.recognizer import RemoteRecognizer
from asrctl.providers.remote.settings import RemoteSettings
from asrctl.providers.remote.windows import RemoteWindows
from asrctl.streaming.pooled import PooledRecognizer, ServiceRecognizer
from asrctl.workers.listeners import Listeners
from asrctl.workers.options import PoolOptions
from asrctl.workers.pool import WorkerPool
from asrctl_tests.scripted import speak
from asrctl_tests.scripted_stream import ScriptedStream, StreamScript

from . import voxtrals
from .brains import OpenAiBrain, OwnTurnsBrain, VllmBrain
from .http_server import HttpServer, Reply, serving_http
from .remote_server import After, RealtimeServer, serving
from .remote_streams import IMPATIENT, settings

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
        recognizer: At work; closed by the stack that it was made with.
        harm: Hurts it, so that it loses what it is doing; but not for good.
        speech: Whether it wants real speech.
    """

    recognizer: Recognizer
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
            return [self.sure(SAMPLE_TEXT)] * 2
        return [[f"w{number}" for number in numbers] for numbers in UTTERANCES]

    def sure(self, text: str) -> list[str]:
        """Those words of a text that no model gets wrong."""
        return [word for word in words_of(text) if word in SAMPLE_WORDS or not self.speech]


Make = Callable[[AsyncExitStack, Path, pytest.FixtureRequest], Awaitable[Contestant]]


def _kill(pids: Callable[[], list[int]]) -> Callable[[], None]:
    def kill() -> None:
        for pid in pids():
            os.kill(pid, signal.SIGKILL)

    return kill


def _closed_by(stack: AsyncExitStack, recognizer: Recognizer, **more: Any) -> Contestant:
    stack.push_async_callback(recognizer.close)
    return Contestant(recognizer, **more)


def _pool(stack: AsyncExitStack, spec: ModelSpec, *, speech: bool = False) -> Contestant:
    pool = WorkerPool(spec, PoolOptions(retry_s=0.05))
    recognizer = PooledRecognizer(spec.provider, "model", pool, lambda: "here")
    return _closed_by(stack, recognizer, harm=_kill(pool.pids), speech=speech)


async def _scripted(stack: AsyncExitStack, path: Path, _: pytest.FixtureRequest) -> Contestant:
    (path / "script.json").write_text(json.dumps({"delay_s": 0.01}))
    return _pool(stack, ModelSpec("scripted", path / "script.json"))


async def _whisper_cpp(stack: AsyncExitStack, path: Path, request: pytest.FixtureRequest) -> Contestant:
    return _pool(stack, ModelSpec("whisper_cpp", request.getfixturevalue("tiny_en")), speech=True)


async def _faster_whisper(stack: AsyncExitStack, path: Path, request: pytest.FixtureRequest) -> Contestant:
    store: ModelStore = request.getfixturevalue("store")
    return _pool(stack, ModelSpec("faster_whisper", store.ct2_directory("tiny.en")), speech=True)


async def _scripted_listening(stack: AsyncExitStack, path: Path, _: pytest.FixtureRequest) -> Contestant:
    (path / "script.json").write_text(json.dumps({"delay_s": 0.01}))
    listeners = Listeners(ModelSpec("scripted", path / "script.json"), "script")
    return _closed_by(stack, listeners, harm=_kill(listeners.pids))


async def _transcribe_cpp(stack: AsyncExitStack, path: Path, request: pytest.FixtureRequest) -> Contestant:
    return _pool(stack, ModelSpec("transcribe_cpp", request.getfixturevalue("tiny_en")), speech=True)


async def _scripted_stream(stack: AsyncExitStack, path: Path, _: pytest.FixtureRequest) -> Contestant:
    stream = ScriptedStream(StreamScript(lag_s=0.001))
    return _closed_by(stack, stream, harm=lambda: stream.break_all("harmed"))


async def _voxtral(stack: AsyncExitStack, path: Path, _: pytest.FixtureRequest) -> Contestant:
    voxtral = voxtrals.standin(path, {"spares": 2})
    return _closed_by(stack, voxtral, harm=_kill(voxtral.pids))


def _realtime(brain: Any) -> Make:
    """It is harmed by itself: the server cuts the first connection."""

    async def make(stack: AsyncExitStack, path: Path, _: pytest.FixtureRequest) -> Contestant:
        faults = [After(bytes=60_000, code=1011)]
        url = await stack.enter_async_context(serving(RealtimeServer(brain, faults)))
        return _closed_by(stack, RemoteRecognizer(settings(url), IMPATIENT))

    return make


async def _transcriptions(stack: AsyncExitStack, path: Path, _: pytest.FixtureRequest) -> Contestant:
    """It is harmed by itself: the first request fails."""
    server = stack.enter_context(serving_http(HttpServer([Reply(500, b"")])))
    return _closed_by(stack, ServiceRecognizer(RemoteWindows(settings(server.url), IMPATIENT)))


async def _another_asrctl(stack: AsyncExitStack, path: Path, _: pytest.FixtureRequest) -> Contestant:
    from ..server.servers import options_for, running, script

    server = stack.enter_context(running(options_for(script(path / "script.json"))))
    remote = RemoteRecognizer(settings(server.url, "asrctl", model=""), IMPATIENT)
    return _closed_by(stack, remote, harm=_kill(server.server.engine.pids))


CONTESTANTS: dict[str, Make] = {
    "scripted": _scripted,
    "scripted_stream": _scripted_stream,
    "scripted_listening": _scripted_listening,
    "voxtral": _voxtral,
    "remote-openai": _realtime(OpenAiBrain),
    "remote-openai-turns": _realtime(OwnTurnsBrain),
    "remote-vllm": _realtime(VllmBrain),
    "remote-transcriptions": _transcriptions,
    "remote-asrctl": _another_asrctl,
    "whisper_cpp": _whisper_cpp,
    "faster_whisper": _faster_whisper,
    "transcribe_cpp": _transcribe_cpp,
}


LOCAL = {
    name: CONTESTANTS[name]
    for name in (
        "scripted",
        "scripted_listening",
        "voxtral",
        "whisper_cpp",
        "faster_whisper",
        "transcribe_cpp",
    )
}
"""Those with processes of their own, which are as they were after a test that does them no harm."""


def _dead_pool(provider: str) -> Make:
    async def make(stack: AsyncExitStack, path: Path, _: pytest.FixtureRequest) -> Contestant:
        (path / "nothing").mkdir()
        script = path / "script.json"
        script.write_text(json.dumps({"fail_load": "it is broken"}))
        return _pool(stack, ModelSpec(provider, script if provider == "scripted" else path / "nothing"))

    return make


async def _dead_stream(stack: AsyncExitStack, path: Path, _: pytest.FixtureRequest) -> Contestant:
    stream = ScriptedStream()
    stream.refusal = "it is broken"
    return _closed_by(stack, stream)


async def _dead_listening(stack: AsyncExitStack, path: Path, _: pytest.FixtureRequest) -> Contestant:
    (path / "script.json").write_text(json.dumps({"fail_load": "it is broken"}))
    return _closed_by(stack, Listeners(ModelSpec("scripted", path / "script.json"), "script"))


async def _dead_voxtral(stack: AsyncExitStack, path: Path, _: pytest.FixtureRequest) -> Contestant:
    return _closed_by(stack, voxtrals.standin(path, restarts=AT_ONCE, load_error="it is broken"))


def _dead_remote(dialect: Any) -> Make:
    async def make(stack: AsyncExitStack, path: Path, _: pytest.FixtureRequest) -> Contestant:
        scheme = "http" if dialect == "transcriptions" else "ws"
        chosen = RemoteSettings(f"{scheme}://{NOWHERE}", dialect)
        if chosen.is_windowed:
            return _closed_by(stack, ServiceRecognizer(RemoteWindows(chosen)))
        return _closed_by(stack, RemoteRecognizer(chosen))

    return make


DEAD: dict[str, Make] = {
    "scripted": _dead_pool("scripted"),
    "scripted_stream": _dead_stream,
    "scripted_listening": _dead_listening,
    "voxtral": _dead_voxtral,
    "remote-openai": _dead_remote("openai"),
    "remote-vllm": _dead_remote("vllm"),
    "remote-transcriptions": _dead_remote("transcriptions"),
    "remote-asrctl": _dead_remote("asrctl"),
    "whisper_cpp": _dead_pool("whisper_cpp"),
    "faster_whisper": _dead_pool("faster_whisper"),
    "transcribe_cpp": _dead_pool("transcribe_cpp"),
}


NATIVE = {
    "whisper_cpp": "_pywhispercpp",
    "faster_whisper": "faster_whisper",
    "transcribe_cpp": "transcribe_cpp",
}
"""By provider, the module that runs real models."""


def parameters(makers: dict[str, Make]) -> Iterator[Any]:
    """Names of all, those with real models marked."""
    for name in makers:
        marks = []
        if (module := NATIVE.get(name)) is not None:
            marks.append(pytest.mark.integration)
            marks.append(pytest.mark.skipif(not is_installed(module), reason=f"{name} is not installed"))
        yield pytest.param(name, marks=marks)
