"""Recognisers at work for benchmarks, which start them here only.

What is measured here is synchronous for its caller: an event loop runs while something is asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Self

from asrctl.bench.paced import Heard, Talk, Unpaced, pieces
from asrctl.bench.setup import Samples, Setup
from asrctl.policy.priority import Ticket
from asrctl.providers.base import DecodeOptions
from asrctl.providers.recognizer import Recognizer, WindowDecoder
from asrctl.streaming.files import FileOptions, FileTranscription
from asrctl.streaming.pooled import PooledRecognizer
from asrctl.streaming.session import Session, TurnListener
from asrctl.streaming.source import Reader
from asrctl.streaming.stream import SpeechDetector, StreamOptions
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Segment, join_text
from asrctl.workers.options import PoolOptions
from asrctl.workers.pool import BATCH, WorkerPool
from asrctl.workers.standby import Standby

_HEAD_START_S = 0.1
_MAX_PENDING_S = 90.0

Detector = Callable[[], SpeechDetector]


class _Timed:
    """A decoder that notes how long each window took in its recogniser."""

    def __init__(self, decoder: WindowDecoder) -> None:
        self.window_s: list[float] = []
        self.width = decoder.width
        self._decoder = decoder

    async def decode(self, samples: Samples, options: DecodeOptions, ticket: Ticket = BATCH) -> Hypothesis:
        hypothesis = await self._decoder.decode(samples, options, ticket)
        self.window_s.append(hypothesis.inference_s)
        return hypothesis


class _Chunks:
    """Samples as a source that a `Reader` takes."""

    def __init__(self, chunks: Iterable[Samples]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[Samples]:
        return iter(self._chunks)

    def close(self) -> None:
        """Nothing is held."""


class Workers:
    """The worker processes of a setup: they start when something is first asked of them, or `wait_ready` is
    called, and end with the `with` block."""

    def __init__(
        self,
        setup: Setup,
        *,
        warm: Samples | None = None,
        standby: Standby | None = None,
        turns: TurnListener | None = None,
    ) -> None:
        """Prepare.

        Args:
            setup: What they run.
            warm: What they decode before they are ready, besides the health check.
            standby: A process that is to be the first of them.
            turns: Hears the ends of turns in live sessions, if the setup says how.
        """
        self._setup = setup
        self._turns = turns
        options = PoolOptions(workers=setup.workers, health=replace(setup.health, long_samples=warm))
        self._runner = asyncio.Runner()

        async def begin() -> WorkerPool:
            return WorkerPool(setup.spec, options, standby=standby)

        self._pool = self._runner.run(begin())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._pool.close())
        self._runner.close()

    def wait_ready(self) -> None:
        """Block until all can decode. Raises ModelError or ProviderError if they never can."""
        self._runner.run(self._pool.wait_ready())

    def pids(self) -> list[int]:
        """Those of the processes."""
        return self._pool.pids()

    @property
    def figures(self) -> dict[str, float]:
        """What only workers have: how many were replaced."""
        return {"restarts": float(self._pool.restarts)}

    @property
    def start_s(self) -> tuple[float, float]:
        """The longest time for loading, and for the first decodes after it."""
        slots = self._pool.slots
        return max(slot.load_s for slot in slots), max(slot.warm_up_s for slot in slots)

    def decode_once(self) -> None:
        """Decode the speech of the health check."""
        self._runner.run(self._pool.decode(self._setup.health.samples, self._setup.files.decode))

    def transcribe(self, chunks: Iterable[Samples]) -> tuple[str, FileTranscription, Sequence[float]]:
        """Transcribe as a file: the text, the transcription with its account, and seconds of each window."""
        timed = _Timed(self._pool)
        work, segments = self._runner.run(self._transcribed(chunks, timed, self._setup.files))
        return join_text(segment.text for segment in segments), work, timed.window_s

    def unpaced(self, talk: Talk) -> Unpaced:
        """A talk as a file."""
        options: FileOptions = self._setup.files
        options = replace(options, decode=replace(options.decode, word_timestamps=True))
        _, segments = self._runner.run(self._transcribed([talk.samples], self._pool, options))
        return Unpaced(
            join_text(each.text for each in segments), [word for each in segments for word in each.words]
        )

    async def _transcribed(
        self, chunks: Iterable[Samples], decoder: WindowDecoder, options: FileOptions
    ) -> tuple[FileTranscription, list[Segment]]:
        work = FileTranscription(Reader(_Chunks(chunks)), decoder, self._setup.detector(), options)
        return work, [segment async for segment in work.segments()]

    def play(self, talks: Sequence[Talk], tell: Callable[[float], None]) -> list[Heard]:
        """All talks at once as live sessions."""
        name = self._setup.spec.provider
        recognizer = PooledRecognizer(name, self._setup.model, self._pool, lambda: "")
        stream, detector = self._setup.stream, self._setup.detector
        return self._runner.run(play(recognizer, talks, stream, detector, tell, self._turns))


class Streams:
    """Providers that are fed streams, and load no model of ours."""

    def __init__(self, start: Callable[[], Recognizer], options: StreamOptions, detector: Detector) -> None:
        """Prepare; they start with the `with` block.

        Args:
            start: Starts them, in a running event loop.
            options: How the audio is cut and decoded.
            detector: Makes what finds speech.
        """
        self._start = start
        self._options = options
        self._detector = detector
        self.figures: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._runner = asyncio.Runner()

        async def begin() -> Recognizer:
            return self._start()

        try:
            self._recognizer = self._runner.run(begin())
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._recognizer.close())
        self._runner.close()

    def wait_ready(self) -> None:
        """Block until one of them can take a stream. Raises ProviderError if none ever can."""
        self._runner.run(self._recognizer.wait_ready())

    def pids(self) -> list[int]:
        """Those of their processes, if they have some."""
        return self._recognizer.pids()

    def unpaced(self, talk: Talk) -> Unpaced:
        """The talk as fast as it is taken, without partials."""
        return self._runner.run(self._unpaced(talk))

    async def _unpaced(self, talk: Talk) -> Unpaced:
        heard = Heard()
        options = replace(self._options, pacing=None)
        async with Session(self._detector(), options, self._recognizer, heard) as session:
            for at in range(0, len(talk.samples), SAMPLE_RATE_HZ):
                session.feed(talk.samples[at : at + SAMPLE_RATE_HZ])
                await session.wait_pending_below(round(_MAX_PENDING_S * SAMPLE_RATE_HZ))
            session.finish()
            await session.wait_ended()
        return Unpaced(heard.text, [word for segment in heard.segments for word in segment.words])

    def play(self, talks: Sequence[Talk], tell: Callable[[float], None]) -> list[Heard]:
        """All talks at once as live sessions."""
        return self._runner.run(play(self._recognizer, talks, self._options, self._detector, tell))


async def play(
    recognizer: Recognizer,
    talks: Sequence[Talk],
    options: StreamOptions,
    detector: Detector,
    tell: Callable[[float], None] = lambda _: None,
    turns: TurnListener | None = None,
) -> list[Heard]:
    """Run all talks at once at real time.

    Args:
        recognizer: Who recognises them; ready.
        talks: One for each session.
        options: How they are cut and decoded.
        detector: Makes what finds speech.
        tell: Told every now and then which share is played.
        turns: Hears the ends of turns, if the options say how.
    """
    started_s = time.monotonic() + _HEAD_START_S
    heard = [Heard(started_s + talk.offset_s) for talk in talks]
    sessions = [
        Session(detector(), options, recognizer, listener, name=str(index), turns=turns)
        for index, listener in enumerate(heard)
    ]
    try:
        for piece in pieces(talks):
            await asyncio.sleep(max(0.0, started_s + piece.due_s - time.monotonic()))
            for index, chunk, last in piece.chunks:
                sessions[index].feed(chunk)
                if last:
                    sessions[index].finish()
            tell(piece.share)
        for session in sessions:
            await session.wait_ended()
    finally:
        for session in sessions:
            await session.close()
    return heard
