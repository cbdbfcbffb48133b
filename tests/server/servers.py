"""A real server on a free port over the scripted provider, and a client that talks to it over loopback."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from email.message import Message
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from asrctl.protocol.client import ClientOutput, ClientProtocol, ClientState, SendAudio
from asrctl.protocol.codes import SUBPROTOCOL
from asrctl.protocol.messages import AudioFormat, Done, Final, Start
from asrctl.protocol.server import Close, Send
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.server.engine import Engine
from asrctl.server.journal import Journal
from asrctl.server.options import Models, NamedModel, ServeOptions
from asrctl.server.server import Server
from asrctl.server.session import LiveSession
from asrctl.server.tls import HandshakeLoop
from asrctl.streaming.stream import SpeechDetector, StreamOptions
from asrctl.workers.options import HealthCheck, PoolOptions
from asrctl_tests.scripted import speak

from ..streaming.speech import LevelDetector, silence

PATIENCE_S = 60.0
T = TypeVar("T")
PCM = AudioFormat("pcm_s16le", 16_000, 1)
HEALTH = HealthCheck(speak([1, 2, 3]), frozenset({"w1", "w2", "w3"}), DecodeOptions())


def until(condition: Callable[[], object]) -> None:
    """Wait for something to become true."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def script(path: Path, **faults: Any) -> ModelSpec:
    """A script for the provider; see tests/plugins/site/asrctl_tests/scripted.py."""
    path.write_text(json.dumps(faults))
    return ModelSpec("scripted", path, use_gpu=False)


def options_for(spec: ModelSpec, **changes: Any) -> ServeOptions:
    """Options for tests, with one model."""
    pool = PoolOptions(health=HEALTH)
    base = ServeOptions(Models(NamedModel("words", spec, multilingual=True)), pool, StreamOptions(), port=0)
    return replace(base, **changes)


class Running:
    """A server in a thread of its own."""

    server: Server

    def __init__(self, options: ServeOptions, detector: Callable[[], SpeechDetector] = LevelDetector) -> None:
        self._detector = detector
        self.log = io.StringIO()
        self.error: Exception | None = None
        self._made = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(options,))
        self._thread.start()
        self._made.wait(PATIENCE_S)
        if not hasattr(self, "server"):
            self._thread.join(PATIENCE_S)
            assert self.error is not None
            raise self.error

    def _run(self, options: ServeOptions) -> None:
        try:
            with asyncio.Runner(
                loop_factory=lambda: HandshakeLoop(options.limits.handshake_timeout_s)
            ) as runner:
                runner.run(self._serve(options))
        except Exception as error:
            self.error = error
        finally:
            self._made.set()

    async def _serve(self, options: ServeOptions) -> None:
        engine = Engine(options)
        try:
            self.server = Server(options, self._detector, engine, Journal(self.log))
            self._made.set()
            await self.server.serve()
        finally:
            await engine.close()

    def call(self, function: Callable[[], T]) -> T:
        """Call something in the server's event loop."""
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(function())
            except Exception as error:
                done.set_exception(error)

        self.server.loop.call_soon_threadsafe(run)
        return done.result(PATIENCE_S)

    @property
    def session(self) -> LiveSession:
        """The only session that is not done."""
        [session] = self.server.hub.sessions
        return session

    def wait_ready(self) -> None:
        """Wait for /ready. Asking all the time would take the processor from the worker that starts."""
        until(lambda: not self.server.hub.why_not_ready)
        until(lambda: self.get("/ready")[0] == 200)

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def sessions(self) -> int:
        """Sessions that are not done."""
        return len(self.server.hub.sessions)

    def get(self, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
        """Status, body and headers of a GET."""
        request = Request(f"http://127.0.0.1:{self.server.port}{path}", headers=headers)
        try:
            with urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, answer.read().decode(), _lower(answer.headers)
        except HTTPError as error:
            with error:
                return error.code, error.read().decode(), _lower(error.headers)

    def metric(self, name: str, **headers: str) -> float:
        """A value of /metrics, by its name with labels as it stands there."""
        for line in self.get("/metrics", **headers)[1].splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[-1])
        raise AssertionError(f"no metric {name}")

    def stop(self) -> None:
        """End it, gracefully, and wait."""
        self.server.stop()
        self.join()

    def join(self) -> None:
        """Wait until it has ended."""
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@contextlib.contextmanager
def running(
    options: ServeOptions, *, ready: bool = True, detector: Callable[[], SpeechDetector] = LevelDetector
) -> Iterator[Running]:
    """A server that is ended at the end, by force if need be."""
    server = Running(options, detector)
    try:
        if ready:
            server.wait_ready()
        yield server
    finally:
        server.server.stop()
        server.server.stop()
        server.join()


def open_socket(url: str, **more: Any) -> ClientConnection:
    """A bare socket, to be closed by the caller."""
    more.setdefault("subprotocols", [SUBPROTOCOL])
    socket: ClientConnection = connect(
        url, proxy=None, compression=None, open_timeout=PATIENCE_S, max_size=None, **more
    )
    socket.__enter__()
    return socket


def _lower(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def pcm(samples: NDArray[np.float32]) -> bytes:
    """Samples as signed 16-bit PCM."""
    return np.round(samples * 32767).astype("<i2").tobytes()


def spoken(*numbers: int, pause_s: float = 0.8) -> bytes:
    """Words, each its own utterance."""
    pieces = [np.concatenate((speak([number]), silence(pause_s))) for number in numbers]
    return pcm(np.concatenate((silence(0.3), *pieces)))


class Talker:
    """A client that sends a recording as fast as the window allows, over any number of sockets."""

    def __init__(self, url: str, audio: bytes, **start: Any) -> None:
        self.url = url
        self.audio = audio
        self.protocol = ClientProtocol(Start(start.pop("format", PCM), **start))
        self.news: list[ClientOutput] = []
        self.socket: ClientConnection | None = None
        self.close_code: int | None = None
        self._ending = False
        self.sockets = 0

    def __enter__(self) -> Self:
        return self.connect()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.socket is not None:
            self.socket.close()

    def connect(self) -> Self:
        """Open a socket and wait for the session."""
        session = self.protocol.session_id
        self.socket = open_socket(f"{self.url}?session={session}" if session else self.url)
        self.sockets += 1
        self._do(self.protocol.connected())
        while self.protocol.state is ClientState.OPENING and self.receive():
            pass
        return self

    def cut(self) -> None:
        """Lose the socket without a word."""
        assert self.socket is not None
        self.socket.socket.close()
        self.socket = None
        self.protocol.disconnected()

    def send(self, seconds: float = 1e9) -> None:
        """Send so much more audio, as far as the window allows."""
        rate, size = self.protocol._start.format.sample_rate, self.protocol._start.format.frame_bytes
        end = min(len(self.audio) // size, self.protocol.next_offset + round(seconds * rate))
        while (at := self.protocol.next_offset) < end:
            count = min(self.protocol.sendable_frames, end - at, self.protocol.max_message_frames, rate // 10)
            if count <= 0:
                if self.protocol.state is not ClientState.OPEN:
                    return
                self.receive()
                continue
            self._do([self.protocol.audio(self.audio[at * size : (at + count) * size])])

    def finish(self) -> Done:
        """Send all, and wait for `done`."""
        self.send()
        self._do(self.protocol.finish(self.protocol.next_offset))
        while self.protocol.state is not ClientState.DONE:
            assert self.receive(), f"closed with {self.close_code}"
        return next(each for each in self.news if isinstance(each, Done))

    def persist(self) -> Done:
        """Go on until `done`, with as many sockets as it takes."""
        while self.protocol.state is not ClientState.DONE:
            if self.protocol.state is ClientState.DISCONNECTED:
                self.try_connect()
                if self.protocol.state is ClientState.DISCONNECTED:
                    continue
            self.send()
            if not self._ending:
                self._ending = True
                self._do(self.protocol.finish(len(self.audio) // self.protocol._start.format.frame_bytes))
            self._do(self.protocol.check_finish())
            self.receive()
        return next(each for each in self.news if isinstance(each, Done))

    def try_connect(self) -> None:
        """Open a socket, if the network lets us."""
        with contextlib.suppress(OSError, WebSocketException, EOFError):
            self.connect()

    def receive(self) -> bool:
        """Take one message; False if the socket was closed."""
        assert self.socket is not None
        try:
            text = self.socket.recv(timeout=PATIENCE_S)
        except ConnectionClosed as closed:
            self.close_code = closed.rcvd.code if closed.rcvd else None
            self.protocol.disconnected(self.close_code)
            return False
        assert isinstance(text, str)
        self._do(self.protocol.receive_text(text))
        return True

    def receive_until(self, kind: type[Any]) -> Any:
        """Take messages until one of a kind comes; returns it."""
        before = len(self.news)
        while not any(isinstance(each, kind) for each in self.news[before:]):
            assert self.receive(), f"closed with {self.close_code}"
        return next(each for each in self.news[before:] if isinstance(each, kind))

    def _do(self, outputs: list[ClientOutput]) -> None:
        assert self.socket is not None
        for output in outputs:
            if isinstance(output, Send | SendAudio):
                with contextlib.suppress(ConnectionClosed):  # which `receive` will see
                    self.socket.send(output.text if isinstance(output, Send) else output.data)
            elif isinstance(output, Close):
                raise AssertionError(output)
            else:
                self.news.append(output)

    def of(self, kind: type[Any]) -> list[Any]:
        """All news of a kind."""
        return [each for each in self.news if isinstance(each, kind)]

    @property
    def words(self) -> list[str]:
        """The words of all finals."""
        return [word for final in self.of(Final) for word in final.text.split()]


def check_account(done: Done) -> None:
    """Received is speech, silence and drops, to the sample."""
    rest_s = done.received_s - done.speech_s - done.silence_s - done.dropped_s
    assert round(rest_s * 16_000) == 0
