"""Runs a hub on a port until a signal ends it, in clear steps."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from typing import Any

from asrctl.audio.heap import return_what_is_free
from asrctl.errors import AsrctlError
from asrctl.server.app import Application
from asrctl.server.connection_limiter import ConnectionLimiter, affordable
from asrctl.server.dialects.announcement import Announcement
from asrctl.server.dialects.wyoming import WyomingPort
from asrctl.server.engine import Engine
from asrctl.server.governor import Governor
from asrctl.server.hub import Hub
from asrctl.server.journal import Journal
from asrctl.server.listener import Listener, bound
from asrctl.server.metrics import Metrics
from asrctl.server.options import ServeOptions, is_loopback
from asrctl.streaming.stream import SpeechDetector

_BEAT_S = 0.25
_BEATS_PER_S = 4
_TIDY_S = 5
"""Memory that is free is given back so often: 2 to 14 ms; ten sessions leave 25 MB a minute (by hand)."""
_CLOSE_S = 2.0
"""At the end, how long sockets have to answer their close frames."""
_TRIED_AGAIN_S, _TRIED_AGAIN_MAX_S = 15.0, 3600.0
"""How long after the first try of its pace the machine is tried again, and then at most, doubling."""
_LONGEST_TRY_S = 10.0
"""Nobody is let in meanwhile; one that is slower than that can hardly serve one."""
_NOTE_S = 1.0
"""The same unexpected error is written no more often than this."""


class Server:
    """One server, in a running event loop. `serve` runs it; `stop` ends it, from any thread."""

    def __init__(
        self,
        options: ServeOptions,
        detector: Callable[[], SpeechDetector],
        engine: Engine,
        journal: Journal | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Bind the port.

        Args:
            options: How to behave.
            detector: Makes what finds speech, fresh for each session.
            engine: What recognises, loading already; it ends with `serve`.
            journal: Where events are written.
            clock: Monotonic seconds.

        Raises:
            AsrctlError: The port cannot be had.
            UsageError: The certificate cannot be used.
        """
        self._options = options
        self.journal = journal or Journal(node=options.node)
        self.engine = engine
        metrics = Metrics(options.node)
        engine.decoder.decoded = metrics.decoded
        self.limiter = ConnectionLimiter(
            affordable(options.connections),
            options.connections_per_peer,
            options.limits.handshake_timeout_s,
            metrics.rejected.labels("connections").inc,
        )
        self.hub = Hub(options, engine, detector, metrics, self.journal, clock)
        self._app = Application(self.hub)
        self._listener = Listener(options, self._app.asgi, self.limiter)
        self._listener.stop = self.stop
        self._socket = bound(options.host, options.port)
        self.port: int = self._socket.getsockname()[1]
        self.wyoming: WyomingPort | None = None
        """For clients that speak Wyoming, if that is wanted."""
        if options.wyoming_port is not None:
            try:
                self.wyoming = WyomingPort(self.hub, self.limiter, self._app.dialects)
            except AsrctlError:
                self._socket.close()
                raise
        self._announcement: Announcement | None = None
        if options.zeroconf and self.wyoming is not None:
            self._announcement = Announcement(
                self.wyoming.address, self.wyoming.port, options.node, self.journal
            )
        self.loop = asyncio.get_running_loop()
        self._stops = 0
        self._ending: asyncio.Task[None] | None = None
        self._failure: AsrctlError | None = None
        self._unexpected: dict[str, tuple[float, int]] = {}
        self._pace = math.inf
        """Seconds that a second of speech took so far, at best."""

    @property
    def url(self) -> str:
        """Where clients connect."""
        host = f"[{self._options.host}]" if ":" in self._options.host else self._options.host
        return f"{'wss' if self._options.certificate else 'ws'}://{host}:{self.port}/v1/stream"

    @property
    def page_url(self) -> str:
        """Where a browser on this machine finds the page; none can open the address for "all"."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._options.host, self._options.host)
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self._options.certificate else 'http'}://{shown}:{self.port}/"

    @property
    def forced(self) -> bool:
        """Whether it was not let end gracefully."""
        return self._stops > 1

    def stop(self) -> None:
        """The first call ends gracefully, the second at once; from a signal handler or any thread."""
        self._stops += 1
        with contextlib.suppress(RuntimeError):  # the loop ended just now
            self.loop.call_soon_threadsafe(self._end)

    async def serve(self) -> None:
        """Serve until stopped.

        Raises:
            ModelError: The weights do not load.
            ProviderError: The provider cannot run here.
        """
        self.loop.set_exception_handler(self._note_unexpected)
        tasks = [asyncio.create_task(each) for each in (self._beat(), self._report_ready())]
        options = self._options
        page = self.page_url if options.page else None
        self.journal.note("listening", url=self.url, model=options.shown.name, page=page)
        if not is_loopback(options.host):
            tls = options.certificate is not None
            self.journal.note("exposed", host=options.host, key=bool(options.api_key), tls=tls)
        try:
            if self.hub.turns is not None:
                self.hub.turns.start()
            if self.wyoming is not None:
                await self.wyoming.start()
            if self._announcement is not None:
                self._announcement.start()
            await self._listener.serve(sockets=[self._socket])
        finally:
            if self.wyoming is not None:
                self.wyoming.close()
            if self._announcement is not None:
                await self._announcement.close()
            self.hub.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.engine.close()
            if self.hub.turns is not None:
                await self.hub.turns.close()
            if self.hub.speakers is not None:
                await self.hub.speakers.close()
            self._socket.close()
            self.journal.note("stopped")
        if self._failure is not None:
            raise self._failure

    def _note_unexpected(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What nobody caught is one line of the log too; the same again and again is one line a second."""
        error, detail = context.get("exception"), str(context.get("message"))
        now_s, (last_s, skipped) = loop.time(), self._unexpected.get(detail, (-_NOTE_S, 0))
        if now_s - last_s < _NOTE_S:
            self._unexpected[detail] = last_s, skipped + 1
            return
        if len(self._unexpected) >= 100:
            self._unexpected.clear()
        self._unexpected[detail] = now_s, 0
        name = type(error).__name__ if error else None
        cause = str(error)[:200] if error and str(error) else None
        self.journal.note("error.unexpected", detail=detail, error=name, cause=cause, skipped=skipped or None)

    async def _beat(self) -> None:
        """The regular work."""
        governor, beats = Governor(self.hub), 0
        while True:
            await asyncio.sleep(_BEAT_S)
            beats += 1
            steps = [self.hub.tick, self._app.dialects.check]
            if beats % _BEATS_PER_S == 0:
                steps += [governor.tick, self._app.check_connections, self.limiter.sweep]
            if beats % (_TIDY_S * _BEATS_PER_S) == 0:
                steps.append(return_what_is_free)
            for step in steps:
                try:
                    step()
                except Exception as error:  # the other steps, and the next beat, must come all the same
                    self.journal.note("heartbeat.failed", error=type(error).__name__, detail=str(error))

    async def _report_ready(self) -> None:
        """Say when the model is there, and how many can be served; without one there is nothing to serve."""
        try:
            await self.engine.wait_ready()
        except AsrctlError as error:
            self._failure = error
            self._listener.should_exit = True
            return
        knows = not self._options.awaits_pace or await self._try_pace()
        self.hub.awaits_pace = False
        engine = self.engine
        self.journal.note("ready", model=engine.model.name, runs_on=engine.description, load_s=engine.load_s)
        wait_s = _TRIED_AGAIN_S
        while not knows:
            await asyncio.sleep(wait_s)
            while self.engine.meter.load().share:  # somebody speaks, or did just now
                await asyncio.sleep(_BEAT_S)
            knows, wait_s = await self._try_pace(), min(2 * wait_s, _TRIED_AGAIN_MAX_S)

    async def _try_pace(self) -> bool:
        """Find out how fast speech is decoded here, and let in no more sessions than that allows.

        Returns:
            Whether all may come in; else it is to be tried again later: something else may have been using
            the machine, or a worker have been lost.
        """
        options, admission = self._options, self.hub.admission
        most, target = options.admission.max_sessions, options.admission.target_load
        try:
            async with asyncio.timeout(_LONGEST_TRY_S):
                pace = await self.engine.pace(target * options.width / most)
        except TimeoutError:
            pace = _LONGEST_TRY_S
        except AsrctlError:
            return False
        if pace < self._pace:
            self._pace = pace
            admission.expect(pace / options.width)
            self.journal.note("pace", decode_s=pace, sessions=admission.limit, max_sessions=most)
        return admission.limit >= most

    # The end

    def _end(self) -> None:
        if self._stops > 1:
            self.journal.note("stopping", grace_s=0)
            self.hub.close()
            self._app.files.close()
            self._listener.should_exit = self._listener.force_exit = True
        elif self._ending is None:
            self._ending = asyncio.create_task(self._end_gracefully())

    async def _end_gracefully(self) -> None:
        """Nobody new; finals for all utterances that have ended; 1012.

        An utterance in the middle is not cut: its audio is uncommitted, and the client sends it again to
        whoever comes next. While the server drains, sessions go on until nobody speaks in them; those that
        cannot go on elsewhere, until they end.
        """
        drain_s, grace_s = self._options.drain_s, self._options.grace_s
        self.journal.note(
            "stopping", drain_s=drain_s or None, grace_s=grace_s, sessions=len(self.hub.sessions)
        )
        self.hub.go_away(drain_s + grace_s)
        files, dialects = self._app.files, self._app.dialects
        await self._until(self._has_drained, drain_s)
        dialects.go_away()
        works = (self.hub, files, dialects)
        await self._until(lambda: all(each.settled for each in works), grace_s)
        self.hub.tick()  # what became final is acknowledged
        dialects.close()
        self.hub.close()
        files.close()
        await self._until(lambda: not self._app.connections and not len(dialects) and files.settled, _CLOSE_S)
        self._listener.should_exit = True

    def _has_drained(self) -> bool:
        """Whether nobody is left; those who may go are sent to another server."""
        self.hub.hand_over()
        return not self.hub.sessions and not len(self._app.dialects) and self._app.files.settled

    async def _until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition() and time.monotonic() < deadline_s:
            await asyncio.sleep(_BEAT_S / 2)
