"""The tracks of a recording, each transcribed on its own, as one transcript in the order of time."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial

from asrctl.audio.echo import EchoGate
from asrctl.streaming.files import FileTranscription
from asrctl.streaming.source import Reader
from asrctl.streaming.stream import SpeechDetector
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount, LanguageEvidence, Samples, Segment, Track

PAUSE_S = 1.0
"""A segment is parted at a pause so long: others may have spoken in it. A turn in conversation is rarely
left and taken up again sooner."""
_AHEAD = 4
"""Chunks that a track may be behind the one that is read furthest."""

Gate = Callable[[SpeechDetector], SpeechDetector]
"""What is put around the detector of a track."""


class TracksTranscription:
    """One recording; iterate over `segments` once. What it says of itself is said as by `FileTranscription`.

    Words that were spoken at once overlap in time, each with its own speaker.
    """

    def __init__(
        self,
        parts: AsyncIterable[Sequence[Samples]],
        speakers: Callable[[int], Sequence[str]],
        transcribe: Callable[[AsyncIterator[Samples], Gate], FileTranscription],
        *,
        words: bool = True,
        echo: bool = True,
    ) -> None:
        """Prepare; nothing is read before the iteration starts.

        Args:
            parts: The next samples of each track, mono float32 at 16 kHz, in step.
            speakers: Who is on the tracks, once their number is known.
            transcribe: Makes the transcription of one track, with the times of words, and with a detector
                of speech that has passed the gate.
            words: Whether segments keep them.
            echo: Whether what one track hears of the others is left out; see `EchoGate`.
        """
        self._parts = parts
        self._name = speakers
        self._transcribe = transcribe
        self._words = words
        self._echo = echo
        self._gate: EchoGate[Sequence[Samples]]
        self._speakers: Sequence[str] = ()
        self._works: list[FileTranscription] = []
        self._queues: list[asyncio.Queue[Samples | None]] = []
        self._held: list[tuple[float, int, int, Segment]] = []
        self._arrived = asyncio.Event()
        self._count = 0

    @property
    def account(self) -> AudioAccount:
        """Where every sample of every track went."""
        return sum((work.account for work in self._works), AudioAccount())

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The account of each track, closed."""
        named = zip(self._speakers, self._works, strict=True)
        return tuple(Track(speaker, work.account.closed()) for speaker, work in named)

    @property
    def length_samples(self) -> int:
        """How much was read of the longest track."""
        return max((work.length_samples for work in self._works), default=0)

    @property
    def done_samples(self) -> int:
        """How far all tracks are transcribed."""
        return min((work.settled_sample for work in self._works), default=0)

    @property
    def language(self) -> str:
        """That of the first track in which one was heard."""
        return next((work.language for work in self._works if work.language), "")

    @property
    def evidence(self) -> tuple[LanguageEvidence, ...]:
        """What was heard of the language in the first windows of each track, although one was asked for."""
        return tuple(piece for work in self._works for piece in work.evidence)

    @property
    def inference_s(self) -> float:
        """Time spent in recognisers."""
        return sum(work.inference_s for work in self._works)

    @property
    def providers(self) -> list[str]:
        """Whose words were taken."""
        return [*dict.fromkeys(provider for work in self._works for provider in work.providers)]

    @property
    def lost(self) -> list[str]:
        """What could not be decoded, with the speaker's name."""
        named = zip(self._speakers, self._works, strict=True)
        return [f"{speaker}: {line}" for speaker, work in named for line in work.lost]

    @property
    def doubts(self) -> list[str]:
        """What the words of each track may lack, with the speaker's name."""
        named = zip(self._speakers, self._works, strict=True)
        return [f"{speaker}: {line}" for speaker, work in named for line in work.doubts]

    unlabelled = None
    """Speakers are known."""

    def waiting(self) -> list[Segment]:
        """Segments that are known and were not given, in order; for whoever leaves early."""
        return self._ordered(None)

    async def segments(self) -> AsyncGenerator[Segment]:
        """Segments in the order of their starts, as soon as no track can have an earlier one.

        Raises:
            AudioError: The recording cannot be read, or has not the tracks that it should have.
            ModelError: The weights do not load.
            ProviderError: No provider can run.
        """
        work = asyncio.create_task(self._work(), name="tracks")
        work.add_done_callback(lambda _: self._arrived.set())
        try:
            while not work.done():
                await self._arrived.wait()
                self._arrived.clear()
                for segment in self._ordered(self.done_samples):
                    yield segment
            for segment in self._ordered(None):
                yield segment
            work.result()
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            if isinstance(self._parts, Reader):
                await self._parts.close()

    def _ordered(self, until_sample: int | None) -> list[Segment]:
        found = []
        while self._held and (until_sample is None or self._held[0][0] * SAMPLE_RATE_HZ < until_sample):
            found.append(heapq.heappop(self._held)[-1])
        return found

    async def _work(self) -> None:
        """Read and transcribe; the first failure ends all."""
        try:
            async with asyncio.TaskGroup() as group:
                async for parts in self._parts:
                    if not self._works:
                        self._begin(len(parts))
                        for index in range(len(parts)):
                            group.create_task(self._take(index), name=f"track {index + 1}")
                    await self._share(self._gate.feed(parts, parts))
                if self._works:
                    await self._share(self._gate.flush())
                for queue in self._queues:
                    await queue.put(None)
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _share(self, known: list[Sequence[Samples]]) -> None:
        """Give each track its samples, once it is known what of them is echo."""
        for parts in known:
            for queue, samples in zip(self._queues, parts, strict=True):
                if len(samples):
                    await queue.put(samples)

    def _begin(self, count: int) -> None:
        self._speakers = self._name(count)
        self._queues = [asyncio.Queue(_AHEAD) for _ in range(count)]
        self._gate = EchoGate(count, wanted=self._echo)
        self._works = [
            self._transcribe(_taken(queue), partial(self._gate.around, n))
            for n, queue in enumerate(self._queues)
        ]

    async def _take(self, index: int) -> None:
        async with aclosing(self._works[index].segments()) as segments:
            async for segment in segments:
                for part in segment.said_by(self._speakers[index]).parted(PAUSE_S):
                    self._count += 1
                    kept = part if self._words else replace(part, words=())
                    heapq.heappush(self._held, (part.start_s, index, self._count, kept))
                self._arrived.set()
        self._arrived.set()


Transcription = FileTranscription | TracksTranscription
"""What an input is transcribed by."""


async def _taken(queue: asyncio.Queue[Samples | None]) -> AsyncIterator[Samples]:
    while (samples := await queue.get()) is not None:
        yield samples
