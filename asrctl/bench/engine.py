"""The engine at work for benchmarks; besides this, only `setup` imports it, for its options and events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol, Self

from asrctl.bench.paced import Heard, Talk, Unpaced, pieces
from asrctl.bench.setup import Samples, Setup
from asrctl.engine.files import FileOptions, FileTranscription
from asrctl.engine.lineup import Lineup, Recognizer
from asrctl.engine.pool import BATCH, WorkerPool
from asrctl.engine.process import Standby
from asrctl.engine.session import Session
from asrctl.engine.slot import PoolOptions
from asrctl.engine.stream import SpeechDetector, Stream, StreamOptions
from asrctl.errors import AsrctlError
from asrctl.policy.priority import Ticket
from asrctl.providers.base import DecodeOptions, ModelSpec, StreamingModel
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, join_text

_HEAD_START_S = 0.1
_MAX_PENDING_S = 90.0

Detector = Callable[[], SpeechDetector]


class _TimedPool(WorkerPool):
    """A pool that notes how long each window took in its recogniser."""

    def __init__(self, spec: ModelSpec, options: PoolOptions, standby: Standby | None) -> None:
        self.window_s: list[float] = []
        super().__init__(spec, options, standby=standby)

    def submit(self, samples: Samples, options: DecodeOptions, ticket: Ticket = BATCH) -> Future[Hypothesis]:
        future = super().submit(samples, options, ticket)
        future.add_done_callback(self._note)
        return future

    def _note(self, future: Future[Hypothesis]) -> None:
        try:
            self.window_s.append(future.result().inference_s)
        except (AsrctlError, CancelledError):
            return  # the transcription says what was lost


class Workers:
    """The worker processes of a setup, which start at once and end with the `with` block."""

    def __init__(self, setup: Setup, *, warm: Samples | None = None, standby: Standby | None = None) -> None:
        """Start them.

        Args:
            setup: What they run.
            warm: What they decode before they are ready, besides the health check.
            standby: A process that is to be the first of them.
        """
        self._setup = setup
        options = PoolOptions(workers=setup.workers, health=replace(setup.health, long_samples=warm))
        self._pool = _TimedPool(setup.spec, options, standby)

    def __enter__(self) -> Self:
        self._pool.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()

    def wait_ready(self) -> None:
        """Block until all can decode. Raises ModelError or ProviderError if they never can."""
        self._pool.wait_ready()

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
        self._pool.submit(self._setup.health.samples, self._setup.files.decode).result()

    def transcribe(self, chunks: Iterable[Samples]) -> tuple[str, FileTranscription, Sequence[float]]:
        """Transcribe as a file: the text, the transcription with its account, and seconds of each window."""
        self._pool.window_s.clear()
        work = FileTranscription(chunks, self._pool, self._setup.detector(), self._setup.files)
        return join_text(segment.text for segment in work), work, self._pool.window_s

    def unpaced(self, talk: Talk) -> Unpaced:
        """A talk as a file."""
        options: FileOptions = self._setup.files
        options = replace(options, decode=replace(options.decode, word_timestamps=True))
        segments = list(FileTranscription([talk.samples], self._pool, self._setup.detector(), options))
        return Unpaced(
            join_text(each.text for each in segments), [word for each in segments for word in each.words]
        )

    def play(self, talks: Sequence[Talk], tell: Callable[[float], None]) -> list[Heard]:
        """All talks at once as live sessions."""
        return play(self._pool, talks, self._setup.stream, self._setup.detector, tell)


class Live(Protocol):
    """Providers at work."""

    @property
    def lineup(self) -> Lineup: ...

    @property
    def streaming(self) -> StreamingModel | None: ...

    def wait_ready(self) -> None: ...


class Streams:
    """Providers that are fed streams, and load no model of ours."""

    def __init__(
        self, providers: AbstractContextManager[Live], options: StreamOptions, detector: Detector
    ) -> None:
        """Prepare; they start with the `with` block."""
        self._providers = providers
        self._options = options
        self._detector = detector
        self.figures: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._live = self._providers.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._providers.__exit__(None, None, None)

    def wait_ready(self) -> None:
        """Block until the first can take a stream."""
        self._live.wait_ready()

    def pids(self) -> list[int]:
        """Those of its processes, if it has some."""
        found: Callable[[], list[int]] = getattr(self._live.streaming, "pids", list)
        return found()

    def unpaced(self, talk: Talk) -> Unpaced:
        """The talk as fast as it is taken, without partials."""
        heard = Heard()
        stream = Stream(self._detector(), replace(self._options, pacing=None))
        with Session(stream, self._live.lineup, heard) as session:
            for at in range(0, len(talk.samples), SAMPLE_RATE_HZ):
                session.feed(talk.samples[at : at + SAMPLE_RATE_HZ])
                session.wait_pending_below(round(_MAX_PENDING_S * SAMPLE_RATE_HZ))
            session.finish()
            session.wait_finished()
        return Unpaced(heard.text, [word for segment in heard.segments for word in segment.words])

    def play(self, talks: Sequence[Talk], tell: Callable[[float], None]) -> list[Heard]:
        """All talks at once as live sessions."""
        return play(self._live.lineup, talks, self._options, self._detector, tell)


def play(
    recognizer: Recognizer | Lineup,
    talks: Sequence[Talk],
    options: StreamOptions,
    detector: Detector,
    tell: Callable[[float], None] = lambda _: None,
) -> list[Heard]:
    """Run all talks at once at real time.

    Args:
        recognizer: Where they are decoded; ready.
        talks: One for each session.
        options: How they are cut and decoded.
        detector: Makes what finds speech.
        tell: Told every now and then which share is played.
    """
    started_s = time.monotonic() + _HEAD_START_S
    heard = [Heard(started_s + talk.offset_s) for talk in talks]
    sessions = [
        Session(Stream(detector(), options), recognizer, listener, name=str(index))
        for index, listener in enumerate(heard)
    ]
    clock = threading.Event()  # never set: a wait that ends on time
    try:
        for piece in pieces(talks):
            clock.wait(max(0.0, started_s + piece.due_s - time.monotonic()))
            for index, chunk, last in piece.chunks:
                sessions[index].feed(chunk)
                if last:
                    sessions[index].finish()
            tell(piece.share)
        for session in sessions:
            session.wait_finished()
    finally:
        for session in sessions:
            session.close()
    return heard
