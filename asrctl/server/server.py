"""Runs a hub on a port until a signal ends it, in clear steps."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn

from asrctl.engine.stream import SpeechDetector
from asrctl.errors import AsrctlError
from asrctl.server.app import Application
from asrctl.server.engine import Engine
from asrctl.server.governor import Governor
from asrctl.server.hub import Hub
from asrctl.server.journal import Journal
from asrctl.server.metrics import Metrics
from asrctl.server.options import ServeOptions
from asrctl.server.tls import HandshakeLoop, check_certificate

_BEAT_S = 0.25
_BEATS_PER_S = 4
_PING_S = 20.0
_CLOSE_S = 2.0
"""At the end, how long sockets have to answer their close frames."""


class Server:
    """One server. `run` blocks; `stop` ends it, from any thread."""

    def __init__(
        self,
        options: ServeOptions,
        detector: Callable[[], SpeechDetector],
        journal: Journal | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        engine: Engine | None = None,
    ) -> None:
        """Bind the port; the workers load while the caller goes on.

        Args:
            options: How to behave.
            detector: Makes what finds speech, fresh for each session.
            journal: Where events are written.
            clock: Monotonic seconds.
            engine: Already loading, to save the time that importing this takes; it ends with the server.

        Raises:
            AsrctlError: The port cannot be had.
            UsageError: The certificate cannot be used.
        """
        self._options = options
        self.journal = journal or Journal()
        self.engine = engine or Engine(options)
        with contextlib.ExitStack() as undo:
            undo.callback(self.engine.close)
            self._socket = undo.enter_context(_bound(options.host, options.port))
            self.port: int = self._socket.getsockname()[1]
            metrics = Metrics()
            self.engine.decoded = metrics.decoded
            self.hub = Hub(options, self.engine, detector, metrics, self.journal, clock)
            self._app = Application(self.hub)
            self._uvicorn = _Uvicorn(_config(options, self._app), self.stop)
            undo.pop_all()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stops = 0
        self._ending: asyncio.Task[None] | None = None
        self._failure: AsrctlError | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        host = f"[{self._options.host}]" if ":" in self._options.host else self._options.host
        return f"{'wss' if self._options.certificate else 'ws'}://{host}:{self.port}/v1/stream"

    @property
    def forced(self) -> bool:
        """Whether it was not let end gracefully."""
        return self._stops > 1

    def run(self) -> None:
        """Serve until stopped.

        Raises:
            ModelError: The weights do not load.
            ProviderError: The provider cannot run here.
        """
        with asyncio.Runner(loop_factory=self._new_loop) as runner:
            runner.run(self._serve())
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """The first call ends gracefully, the second at once; from a signal handler or any thread."""
        self._stops += 1
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it ended just now
                self._loop.call_soon_threadsafe(self._end)

    def _new_loop(self) -> asyncio.AbstractEventLoop:
        return HandshakeLoop(self._options.limits.handshake_timeout_s)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._note_surprise)
        tasks = [asyncio.create_task(self._beat()), asyncio.create_task(self._report_ready())]
        self.journal.note("listening", url=self.url, model=self._options.shown.name)
        try:
            if self._stops:  # before there was a loop
                self._end()
            await self._uvicorn.serve(sockets=[self._socket])
        finally:
            self.hub.close()
            self.engine.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._socket.close()
            self.journal.note("stopped")

    def _note_surprise(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What nobody caught is one line of the log too."""
        error = context.get("exception")
        self.journal.note(
            "surprise", detail=context.get("message"), error=type(error).__name__ if error else None
        )

    async def _beat(self) -> None:
        """The regular work."""
        governor, beats = Governor(self.hub), 0
        while True:
            await asyncio.sleep(_BEAT_S)
            beats += 1
            try:
                self.hub.tick()
                if beats % _BEATS_PER_S == 0:
                    governor.tick()
                    for connection in list(self._app.connections):
                        connection.check()
                    self._uvicorn.sweep(self._options.limits.handshake_timeout_s)
            except Exception as error:  # one session's trouble must not stop the others
                self.journal.note("beat.failed", error=type(error).__name__, detail=str(error))

    async def _report_ready(self) -> None:
        """Say when the model is there; without one there is nothing to serve."""
        try:
            await asyncio.to_thread(self.engine.wait_ready)
        except AsrctlError as error:
            self._failure = error
            self._uvicorn.should_exit = True
        else:
            if self.engine.ready:
                engine = self.engine
                self.journal.note(
                    "ready", model=engine.model.name, runs_on=engine.description, load_s=engine.load_s
                )

    # The end

    def _end(self) -> None:
        if self._stops > 1:
            self.journal.note("stopping", grace_s=0)
            self.hub.close()
            self._uvicorn.should_exit = self._uvicorn.force_exit = True
        elif self._ending is None:
            self._ending = asyncio.create_task(self._end_gracefully())

    async def _end_gracefully(self) -> None:
        """Nobody new; finals for all utterances that have ended; 1012.

        An utterance in the middle is not cut: its audio is uncommitted, and the client sends it again to
        whoever comes next.
        """
        self.journal.note("stopping", grace_s=self._options.grace_s, sessions=len(self.hub.sessions))
        self.hub.go_away(self._options.grace_s)
        await self._until(lambda: self.hub.settled, self._options.grace_s)
        self.hub.tick()  # what became final is acknowledged
        self.hub.close()
        await self._until(lambda: not self._app.connections, _CLOSE_S)
        self._uvicorn.should_exit = True

    async def _until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition() and time.monotonic() < deadline_s:
            await asyncio.sleep(_BEAT_S / 2)


class _Uvicorn(uvicorn.Server):
    """Uvicorn without its own idea of signals: it would close sockets before anything is final."""

    def __init__(self, config: uvicorn.Config, stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._stop = stop
        self._waiting_since_s: dict[Any, float] = {}

    def sweep(self, timeout_s: float) -> None:
        """Cut connections that have not said a whole request for so long, or not read their last bytes."""
        now_s = time.monotonic()
        waiting = [each for each in self.server_state.connections if _is_waiting(each)]
        self._waiting_since_s = {each: self._waiting_since_s.get(each, now_s) for each in waiting}
        for connection, since_s in self._waiting_since_s.items():
            if now_s - since_s >= timeout_s:
                connection.transport.abort()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._stop()


def _is_waiting(connection: Any) -> bool:
    """Whether uvicorn's connection is closing, or has not had its first request."""
    return connection.transport.is_closing() or getattr(connection, "cycle", ...) is None


def _config(options: ServeOptions, app: Application) -> uvicorn.Config:
    if options.certificate is not None:
        check_certificate(options.certificate, options.private_key)
    config = uvicorn.Config(
        app.asgi,
        loop="asyncio",
        http="httptools",
        ws="websockets-sansio",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        ws_max_size=options.limits.max_message_bytes,
        ws_per_message_deflate=False,
        ws_ping_interval=_PING_S,
        ws_ping_timeout=_PING_S,
        timeout_graceful_shutdown=int(_CLOSE_S),
        ssl_certfile=options.certificate,
        ssl_keyfile=options.private_key,
    )
    config.load()
    return config


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise AsrctlError(f"cannot listen on {host}:{port}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    """The system's words, without what asyncio and `socket` add to them."""
    if error.errno == errno.EADDRINUSE:
        return "another program has the port; --port 0 takes a free one"
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or str(error)
    return os.strerror(error.errno).lower()
