"""Live tracks of one recording: a stream each, whose events come as those of one, finals in order of time."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from functools import partial

from asrctl.audio.echo import EchoGate
from asrctl.audio.live import Lost
from asrctl.audio.live_tracks import Step, length_of
from asrctl.events import Dropped, Event, Final, Finished, Partial, ProviderChanged, SpeechStarted
from asrctl.streaming.live import LiveStream
from asrctl.streaming.tracks import PAUSE_S, Gate
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount, Track


class TracksStream:
    """Feed it steps and iterate over its events, the last of which is `Finished`.

    A final waits until no other track can have an earlier one: for the longest utterance that is open
    elsewhere, and its decoding. Its segment is parted at pauses, between which others may have spoken.
    """

    def __init__(
        self, speakers: Sequence[str], open_stream: Callable[[Gate], LiveStream], *, echo: bool = True
    ) -> None:
        """Start, in a running event loop.

        Args:
            speakers: Who is on each track.
            open_stream: Makes the stream of a track, with a detector of speech that has passed the gate.
            echo: Whether what one track hears of the others is left out; see `EchoGate`.
        """
        self._speakers = speakers
        self._gate = EchoGate[Step](len(speakers), wanted=echo)
        self._gaps: list[deque[tuple[int, int]]] = [deque() for _ in speakers]
        self._streams = [
            open_stream(partial(self._gate.around, index, gaps=gaps)) for index, gaps in enumerate(self._gaps)
        ]
        self._fed_samples = [0] * len(speakers)
        self._settled = [0] * len(speakers)
        self._held: list[tuple[float, int, Final]] = []
        self._numbers: dict[tuple[int, int], int] = {}
        self._finished: dict[int, AudioAccount] = {}
        self._provider = ""
        self._count = 0
        self._events: asyncio.Queue[Event | BaseException] = asyncio.Queue()
        self._tasks = [asyncio.create_task(self._hear(index), name="track") for index in range(len(speakers))]

    # Audio

    def feed(self, step: Step) -> None:
        """Take the next part of each track."""
        self._release(self._settled_s())
        self._share(self._gate.feed(step, step.samples()))

    def _share(self, known: list[Step]) -> None:
        for step in known:
            for index, (stream, part) in enumerate(zip(self._streams, step.parts, strict=True)):
                if isinstance(part, Lost):
                    self._gaps[index].append((self._fed_samples[index], part.count))
                    stream.skip(part.count, part.reason)
                elif len(part):
                    stream.feed(part)
                self._fed_samples[index] += length_of(part)

    def skip(self, count: int, reason: str) -> None:
        """All tracks lost so much at once; sources of steps say it in steps."""
        self.feed(Step((Lost(count, reason),) * len(self._speakers)))

    def finish(self) -> None:
        """No more audio."""
        self._share(self._gate.flush())
        for stream in self._streams:
            stream.finish()

    async def wait_for_room(self) -> None:
        """Wait until so little is pending that more audio may be fed."""
        for stream in self._streams:
            await stream.wait_for_room()

    # How it stands

    @property
    def account(self) -> AudioAccount:
        """Where the samples of all tracks went that were looked at so far."""
        return sum((stream.account for stream in self._streams), AudioAccount())

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The account of each, closed."""
        named = zip(self._speakers, self._streams, strict=True)
        return tuple(Track(speaker, stream.account.closed()) for speaker, stream in named)

    @property
    def pending_samples(self) -> int:
        """Samples fed that nothing was said of yet, of the track that is furthest behind."""
        return max(stream.pending_samples for stream in self._streams)

    @property
    def is_loading(self) -> bool:
        """Whether no provider is ready yet."""
        return self._streams[0].is_loading

    async def wait_loaded(self) -> None:
        """Wait until a provider is ready, or none will be."""
        await self._streams[0].wait_loaded()

    @property
    def language(self) -> str:
        """What was heard in the first track."""
        return self._streams[0].language

    # Events

    def waiting(self) -> list[Event]:
        """Events that were not iterated over yet, and finals that were held; for whoever leaves early."""
        for index, stream in enumerate(self._streams):
            for event in stream.waiting():
                self._take(index, event)
        self._release(None)
        found: list[Event] = []
        while not self._events.empty():
            said = self._events.get_nowait()
            found += [] if isinstance(said, BaseException) else [said]
        return found

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Events in order; see `LiveStream`."""
        while True:
            event = await self._events.get()
            if isinstance(event, BaseException):
                raise event
            yield event
            if isinstance(event, Finished):
                return

    async def _hear(self, index: int) -> None:
        try:
            async for event in self._streams[index]:
                self._take(index, event)
                self._release(self._settled_s())
        except Exception as error:  # for whoever iterates
            self._events.put_nowait(error)

    def _take(self, index: int, event: Event) -> None:
        """One track's event, as one of the whole."""
        speaker = self._speakers[index]
        if isinstance(event, Finished):
            self._finished[index] = event.account
        elif isinstance(event, Final):
            for part in event.segment.said_by(speaker).parted(PAUSE_S):
                self._count += 1
                final = replace(event, utterance=self._number(index, event.utterance), segment=part)
                heapq.heappush(self._held, (part.start_s, self._count, final))
        elif isinstance(event, ProviderChanged):
            if event.provider != self._provider:
                self._provider = event.provider
                self._events.put_nowait(event)
        elif isinstance(event, Dropped):
            number = None if event.utterance is None else self._number(index, event.utterance)
            self._events.put_nowait(replace(event, utterance=number, reason=f"{speaker}: {event.reason}"))
        elif isinstance(event, SpeechStarted):
            self._events.put_nowait(replace(event, utterance=self._number(index, event.utterance)))
        elif isinstance(event, Partial):
            self._show(index, event)

    def _show(self, index: int, event: Partial) -> None:
        """Of utterances that are open at once, the one that began last is shown."""
        number = self._number(index, event.utterance)
        if number == len(self._numbers) - 1:
            stable = f"{self._speakers[index]}: {event.stable}"
            self._events.put_nowait(replace(event, utterance=number, stable=stable))

    def _number(self, index: int, utterance: int) -> int:
        """Utterances of all tracks are numbered in the order in which they began."""
        return self._numbers.setdefault((index, utterance), len(self._numbers))

    def _settled_s(self) -> float | None:
        """No final that is still to come starts before; None if none comes."""
        for index, stream in enumerate(self._streams):
            if not stream.has_events:  # else what was answered for was not all taken yet
                self._settled[index] = stream.session.committed_sample
        samples = [each for index, each in enumerate(self._settled) if index not in self._finished]
        return min(samples) / SAMPLE_RATE_HZ if samples else None

    def _release(self, until_s: float | None) -> None:
        while self._held and (until_s is None or self._held[0][0] < until_s):
            self._events.put_nowait(heapq.heappop(self._held)[-1])
        if len(self._finished) == len(self._streams) and not self._held:
            self._events.put_nowait(Finished(sum(self._finished.values(), AudioAccount())))
            self._finished.clear()

    async def close(self) -> None:
        """Stop at once; what is pending is neither decoded nor declared."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for stream in self._streams:
            await stream.close()
