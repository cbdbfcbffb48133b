"""Audio through a server: the same formats as here, and what becomes of the connection on the screen."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asrctl import protocol
from asrctl.audio.live import LiveSource
from asrctl.cli.feeder import Feeder
from asrctl.cli.interrupts import STOP_GRACE_S, Interrupts
from asrctl.cli.live_view import REFRESH_S, LiveView, Status
from asrctl.cli.scribe import Scribe
from asrctl.client import Client, ClientOptions, Event, Phase, State
from asrctl.client.link import stream_url
from asrctl.errors import EXIT_INTERRUPTED, AudioError
from asrctl.render import Format
from asrctl.render.formats import WRITERS
from asrctl.render.output import Output
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount, Segment, Timing, Transcript, Word

_UNKNOWN = math.nan
"""What only the server knows; null in JSON."""


@dataclass(frozen=True, slots=True)
class RemoteRequest:
    """What to have transcribed, and by whom.

    Attributes:
        url: The server's address.
        client: What to ask of it.
        format: What is written.
        words: Whether the format may show the times of words.
        paced: Whether the audio comes at its own pace, and cannot wait for the server.
        interrupt_code: Exit code after one Ctrl-C: 0 where that is the way to end it.
    """

    url: str
    client: ClientOptions
    format: Format = "txt"
    words: bool = False
    paced: bool = False
    interrupt_code: int = EXIT_INTERRUPTED


def transcribe_remotely(
    sources: Sequence[Callable[[], LiveSource]],
    outputs: Sequence[Path | None],
    request: RemoteRequest,
    view: LiveView,
) -> int:
    """Have sources transcribed, one after the other; returns the exit code.

    The first Ctrl-C ends the source and lets what was said be transcribed; the second stops that.

    Raises:
        AsrctlError: An output cannot be written.
        ServerError: The server was given up; what it had said is written.
        UsageError: The address is none.
    """
    stream_url(request.url)  # before an output is emptied
    code = 0
    for opened, output in zip(sources, outputs, strict=True):
        try:
            run = _open(opened, output, request, view)
            if run:
                return run
        except AudioError as error:
            view.say(f"asrctl: error: {error}")
            code = 1
    return code


def _open(opened: Callable[[], LiveSource], path: Path | None, request: RemoteRequest, view: LiveView) -> int:
    source = opened()
    remote: Remote | None = None
    try:
        with Output(path) as output, view:
            to_terminal = path is None and view.shares_terminal
            remote = Remote(source, request, view, view if to_terminal else output)
            return asyncio.run(remote.run())
    finally:
        if remote is None:  # which would have closed it
            source.close()


class Remote:
    """One source. A feeder's thread hears it; the event loop's talks to the server, writes and draws."""

    def __init__(
        self, source: LiveSource, request: RemoteRequest, view: LiveView, sink: Output | LiveView
    ) -> None:
        """Prepare; nothing is heard yet."""
        self._source = source
        self._request = request
        self._view = view
        writer = WRITERS[request.format](sink)
        wants_words = request.words or writer.needs_words
        self._scribe = Scribe(source, view, writer)
        options = replace(request.client, words=wants_words, partials=view.shown)
        self._client = Client(request.url, options)
        self._feeder = Feeder(source, self._client, paced=request.paced)
        self._level = 0
        self._lost = False
        self._abandoned = False
        self._unread = False

    async def run(self) -> int:
        """Listen; see `transcribe_remotely`."""
        started_s = time.perf_counter()
        loop = asyncio.get_running_loop()

        def tell() -> None:
            loop.call_soon_threadsafe(self._interrupted)

        with Interrupts(tell) as self._interrupts:
            try:
                async with self._client:
                    self._feeder.start(loop)
                    await self._listen()
            except BrokenPipeError:
                self._unread = True
                raise
            finally:
                self._feeder.close()
                self._conclude(started_s)
        if self._feeder.failure is not None:
            raise self._feeder.failure
        if self._abandoned:
            return EXIT_INTERRUPTED
        return self._request.interrupt_code if self._interrupts.count else 0

    # While it runs

    async def _listen(self) -> None:
        drawing = asyncio.create_task(self._draw())
        self._listening = asyncio.create_task(self._hear())
        try:
            await self._listening
        except asyncio.CancelledError:
            if not self._abandoned:
                raise
            if self._request.paced and (kept := self._client.salvage()):
                self._scribe.warn(kept)
        finally:
            drawing.cancel()

    async def _hear(self) -> None:
        async for event in self._client:
            self._take(event)

    async def _draw(self) -> None:
        while self._view.shown:
            self._view.refresh(self._status())
            await asyncio.sleep(REFRESH_S)

    def _interrupted(self) -> None:
        if self._interrupts.count > 1:
            self._abandoned = True
            self._listening.cancel()
        else:
            self._feeder.stop()
            asyncio.get_running_loop().call_later(STOP_GRACE_S, self._feeder.end)

    def _take(self, event: Event) -> None:
        if isinstance(event, State):
            self._tell(event)
        elif isinstance(event, protocol.Partial):
            self._view.partial(event.utterance, event.stable, event.unstable)
        elif isinstance(event, protocol.Final):
            self._view.ended(event.utterance)
            self._write(event)
        elif isinstance(event, protocol.Dropped):
            if event.utterance is not None:
                self._view.ended(event.utterance)
            self._scribe.declare(event.from_, event.to, event.reason)
        elif isinstance(event, protocol.Status):
            self._level = event.level
            if event.provider and event.level == event.from_level:
                self._view.say(f"asrctl: now transcribed by {event.provider}: {event.reason}")

    def _write(self, final: protocol.Final) -> None:
        if not final.text.strip():
            return
        words = tuple(
            Word(word.start_s, word.end_s, word.text, word.confidence) for word in final.words or ()
        )
        self._scribe.write(Segment(final.start_s, final.end_s, final.text, final.confidence, words))

    def _tell(self, state: State) -> None:
        """Where there is no screen, an outage is told when it begins and when it ends."""
        if state.phase is Phase.RECONNECTING and not self._lost:
            self._lost = True
            if not self._view.shown:
                self._scribe.warn(f"{state.reason}; trying again, at most {state.max_attempts} times")
        elif state.phase is Phase.LIVE and self._lost:
            self._lost = False
            if not self._view.shown:
                self._scribe.warn("connected again")

    def _status(self) -> Status:
        state = self._client.state
        note = str(state)
        if state.phase is Phase.RECONNECTING and state.reason:
            note += f": {state.reason}"
        if self._level:
            note += f"; the server is under load, level {self._level}"
        if self._interrupts.count:
            note += "; finishing, ^C: stop now"
        heard_s = self._client.fed_samples / SAMPLE_RATE_HZ
        lag_s = heard_s - self._client.account.received_samples / SAMPLE_RATE_HZ
        return Status(heard_s, self._feeder.level_db, lag_s, note)

    # At the end, whatever ended it

    def _conclude(self, started_s: float) -> None:
        """Write the end, unless nobody reads it."""
        self._view.close()
        if self._unread:
            return  # `| head` has seen enough
        account = self._settled()
        if self._feeder.failure is not None and not account.received_samples:
            return  # nothing to show for it: the output goes too
        self._scribe.finish(self._transcript(account, started_s))

    def _settled(self) -> AudioAccount:
        """What was heard and no server answered for is dropped, and said to be."""
        heard = self._client.fed_samples + self._feeder.unheard_samples
        answered = self._client.account
        account = self._scribe.balance(answered, heard, heard - answered.received_samples)
        ended = self._request.paced or self._feeder.complete or self._feeder.failure
        if not (ended or self._interrupts.count):
            self._scribe.warn(f"stopped: not read beyond {heard / SAMPLE_RATE_HZ:.2f} s")
        return account

    def _transcript(self, account: AudioAccount, started_s: float) -> Transcript:
        ready = self._client.ready
        return Transcript(
            source=self._source.name,
            model=ready.model if ready else self._request.client.model or "",
            provider=ready.provider if ready else "",
            language=self._request.client.language,
            duration_s=account.received_samples / SAMPLE_RATE_HZ,
            segments=tuple(self._scribe.segments),
            audio=account,
            timing=Timing(_UNKNOWN, _UNKNOWN, time.perf_counter() - started_s),
        )
