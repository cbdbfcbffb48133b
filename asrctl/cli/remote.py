"""Audio through a server: the same formats as here, and what becomes of the connection on the screen."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from asrctl.audio.live import LiveSource
from asrctl.cli.in_turn import in_turn
from asrctl.cli.live import Live
from asrctl.cli.live_view import LiveView
from asrctl.cli.result_writer import ResultWriter
from asrctl.cli.task import Task
from asrctl.client import Client, ClientOptions, Phase, State
from asrctl.client.link import stream_url
from asrctl.client.source import SOURCE_BUFFER
from asrctl.events import Event, ProviderChanged
from asrctl.models.catalog import CATALOG
from asrctl.protocol import messages
from asrctl.remote_events import event_of
from asrctl.render.formats import WRITERS
from asrctl.render.output import Output
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount, Timing, Track

_UNKNOWN = math.nan
"""What only the server knows; null in JSON."""
_ABOUT_S = 0.5


@dataclass(frozen=True, slots=True)
class RemoteRequest:
    """What to have transcribed, and by whom.

    Attributes:
        url: The server's address.
        client: What to ask of it.
        task: What to do with what it says.
    """

    url: str
    client: ClientOptions
    task: Task


async def transcribe_remotely(request: RemoteRequest, view: LiveView) -> int:
    """Have inputs transcribed, one after the other; returns the exit code.

    The first Ctrl-C ends the source and lets what was said be transcribed; the second stops that, as does
    a server that says nothing any more.

    Raises:
        AsrctlError: Standard output cannot be written.
        ServerError: The server was given up; what it had said is written.
        UsageError: The address is none.
    """
    stream_url(request.url)  # before an output is emptied
    return await in_turn(
        request.task,
        lambda open_source, task: _transcribe(open_source, replace(request, task=task), view),
        view,
    )


async def _transcribe(open_source: Callable[[], LiveSource], request: RemoteRequest, view: LiveView) -> int:
    source = open_source()
    live: Live | None = None
    try:
        task = request.task
        with Output(task.outputs[0], whole=task.is_repeatable, append=task.append) as output, view:
            by_choice = task.settings.word_timestamps or task.reading.by_voice is not None
            wants_words = by_choice or WRITERS[task.format].needs_words
            options = replace(request.client, words=wants_words, partials=view.shown)
            if Path(source.name).is_file():  # it can be read again
                options = replace(options, buffer=SOURCE_BUFFER, salvage=False)
            async with Client(request.url, options) as client:
                transcriber = _RemoteTranscriber(client, source, view, request)
                live = Live(transcriber, source, task, view, output)
                return await live.run()
    finally:
        if live is None or not live.has_source:
            source.close()


class _RemoteTranscriber:
    """A `LiveTranscriber` on a server."""

    def __init__(self, client: Client, source: LiveSource, view: LiveView, request: RemoteRequest) -> None:
        self.feed = client.feed
        self.skip = client.skip
        self.finish = client.finish
        self._client = client
        self._source = source
        self._view = view
        self._request = request
        self._level = 0
        self._lost = False

    async def wait_for_room(self) -> None:
        if not self._request.task.is_live:
            await self._client.wait_for_room()

    @property
    def account(self) -> AudioAccount:
        return self._client.account

    @property
    def pending_samples(self) -> int:
        return self._client.fed_samples - self._client.account.received_samples

    tracks: tuple[Track, ...] = ()
    through_server = True

    async def __aiter__(self) -> AsyncIterator[Event]:
        async for event in self._client:
            if isinstance(event, State):
                self._tell(event)
            elif isinstance(event, messages.Status):
                self._level = event.level
                if event.provider and event.level == event.from_level:
                    yield ProviderChanged(event.provider, event.reason)
            elif (said := event_of(event)) is not None:
                yield said

    def waiting(self) -> list[Event]:
        return []

    def _tell(self, state: State) -> None:
        """Where there is no screen, an outage is told when it begins and when it ends."""
        if self._view.shown:
            return
        if state.phase is Phase.RECONNECTING and not self._lost:
            self._lost = True
            times = f", at most {state.max_attempts} times" if state.max_attempts else ""
            self._warn(f"{state.reason}; trying again{times}")
        elif state.phase is Phase.LIVE and self._lost:
            self._lost = False
            self._warn("connected again")

    def _warn(self, line: str) -> None:
        self._view.say(f"asrctl: warning: {self._source.name}: {line}")

    @property
    def awaited(self) -> str:
        phase = self._client.state.phase
        if phase is Phase.CONNECTING:
            return f"{self._request.url} to answer"
        gone = phase is Phase.RECONNECTING and not self._request.task.is_live  # a file can be read again
        return f"{self._request.url} to be back" if gone else ""

    def note(self) -> str:
        state = self._client.state
        note = str(state)
        if state.phase in (Phase.CONNECTING, Phase.RECONNECTING) and state.reason:
            note += f": {state.reason}"
        return f"{note}; the server is under load, level {self._level}" if self._level else note

    def names(self, providers: list[str]) -> tuple[str, str, str]:
        ready, client = self._client.ready, self._request.client
        if ready is None:
            return client.model or "", "", client.language
        return ready.model, ready.provider, client.language

    def timing(self, wall_s: float) -> Timing:
        return Timing(_UNKNOWN, _UNKNOWN, wall_s)

    def conclude(self, results: ResultWriter, heard_samples: int, interrupts: int, complete: bool) -> None:
        """Where a file was left in the middle, say where; save live audio that no server answered for.

        Doubt the language where the server's model knows only one.
        """
        if interrupts > 1 and self._request.task.is_live and (kept := self._client.salvage()):
            results.warn(kept)
        heard_s = heard_samples / SAMPLE_RATE_HZ
        length_s: float | None = getattr(self._source, "duration_s", None)  # as its header says, about
        unread = heard_s < (length_s or 0.0) - _ABOUT_S if interrupts else not complete
        if unread and not self._request.task.is_live:
            of_all = f" of {length_s:.1f}" if length_s else ""
            results.warn(f"stopped: not read beyond {heard_s:.2f}{of_all} s")
        model = CATALOG.get(self.names([])[0])
        if model is not None and not model.multilingual:
            results.doubt_language(model.name)

    async def close(self) -> None:
        """The client's context does it."""
