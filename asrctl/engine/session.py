"""A live session: a `Stream`, a recogniser that decodes for it, and a thread that runs the two."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from asrctl.engine.lineup import Lineup, Recognizer
from asrctl.engine.stream import Stream
from asrctl.engine.utterance import Abort, Complete, Decode, Feed, HangUp, Output
from asrctl.engine.voices import OpenVoices
from asrctl.errors import AsrctlError, QueueFull, WorkerCrashed
from asrctl.policy.priority import Kind, Source, Ticket
from asrctl.providers.base import Spoken
from asrctl.stream.events import Event, Finished
from asrctl.transcript import AudioAccount, Hypothesis

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_Step = Callable[[], list[Output]]


_RETRY_S = 0.25
"""How often providers are asked again for an utterance that none could take."""
_PATIENCE_S = 120.0
"""Utterances wait no longer than this for one: as long as a model may take to load."""
_LAST_PATIENCE_S = 30.0
"""The same once one has failed with them, and all are given up or rest."""


class _Running(NamedTuple):
    kind: Kind
    recognizer: Recognizer
    future: Future[Hypothesis]
    submitted_s: float


class Session:
    """Feed it audio, get events. `feed`, `flush`, `skip` and `finish` never block and may be called anywhere.

    Events are handed to `emit` one after the other, from the session's own thread, which waits meanwhile.
    """

    def __init__(
        self,
        stream: Stream,
        recognizer: Recognizer | Lineup,
        emit: Callable[[Event], None],
        *,
        name: str = "",
        source: Source = Source.MIC,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the session.

        Args:
            stream: Fresh, for this session alone.
            recognizer: Where windows are decoded, or several providers that stand in for each other; any
                number of sessions share it.
            emit: Takes the events; must not raise.
            name: Tells sessions apart in the pool's queue.
            source: Whose audio it is; "mic" goes first.
            clock: Monotonic seconds, to see how long decodes take.
        """
        self._stream = stream
        self._lineup = recognizer if isinstance(recognizer, Lineup) else Lineup.of(recognizer)
        self._voices = OpenVoices(self._lineup, self._heard)
        stream.placer = self._voices
        self._emit = emit
        self._name = name
        self._source = source
        self._clock = clock
        self._inbox: queue.SimpleQueue[_Step | None] = queue.SimpleQueue()
        self._running: dict[int, _Running] = {}
        self._changed = threading.Condition()
        self._account = stream.account
        self._committed_sample = 0
        self._queued_samples = 0
        self._finished = False
        self._waiting_since_s: float | None = None
        self._look_s = 0.0
        self._thread = threading.Thread(target=self._run, name=f"session-{name}", daemon=True)
        self._thread.start()

    @property
    def account(self) -> AudioAccount:
        """Where every sample went that was taken from the inbox so far."""
        return self._account

    @property
    def committed_sample(self) -> int:
        """All samples before it are answered for by events that were emitted already, or are silence."""
        return self._committed_sample

    @property
    def awaits_finals(self) -> bool:
        """Whether an utterance has ended and its final was not emitted yet."""
        return self._stream.awaits_finals

    @property
    def provider(self) -> str:
        """Who takes the utterances now."""
        return self._stream.provider

    @property
    def pending_samples(self) -> int:
        """Samples fed that are not finalised, judged silence or declared dropped yet."""
        with self._changed:
            return self._queued_samples + self._account.pending_samples

    def feed(self, samples: NDArray[np.float32]) -> None:
        """Take the next samples, shape (n,), mono float32 at 16 kHz; they must not change afterwards."""
        with self._changed:
            self._queued_samples += len(samples)

        def step() -> list[Output]:
            outputs = self._stream.feed(samples)
            with self._changed:
                self._queued_samples -= len(samples)
                self._account = self._stream.account
            return outputs

        self._inbox.put(step)

    def skip(self, count: int, reason: str) -> None:
        """Declare that `count` samples were lost on their way here."""
        self._inbox.put(lambda: self._stream.skip(count, reason))

    def flush(self) -> None:
        """Finalise now what was fed so far."""
        self._inbox.put(self._stream.flush)

    def finish(self) -> None:
        """No more audio; `Finished` comes after the last final."""
        self._inbox.put(self._stream.finish)

    def show_partials(self, wanted: bool) -> None:
        """Switch partials on or off; finals come in any case."""

        def step() -> list[Output]:
            self._stream.partials = wanted
            return []

        self._inbox.put(step)

    def slow_down(self, factor: float) -> None:
        """Make partials so many times rarer than the options say; 1 is back to normal."""

        def step() -> list[Output]:
            self._stream.pacer.factor = factor
            return []

        self._inbox.put(step)

    def wait_pending_below(self, samples: int) -> None:
        """Block until less than so much is pending: for audio that comes faster than real time.

        It must be more than the longest utterance: one that is open needs more audio to come to its end.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._finished or self._queued_samples + self._account.pending_samples < samples
            )

    def wait_finished(self, timeout_s: float | None = None) -> bool:
        """Block until `Finished` was emitted or the session was closed; False if that takes too long."""
        with self._changed:
            return self._changed.wait_for(lambda: self._finished, timeout_s)

    def close(self) -> None:
        """Stop at once; what is pending is neither decoded nor declared."""
        self._inbox.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        try:
            while (step := self._next_step()) is not None:
                for output in step():
                    self._act(output)
                with self._changed:
                    self._account = self._stream.account
                    self._committed_sample = self._stream.committed_sample
                    self._changed.notify_all()
        finally:
            for running in self._running.values():
                running.recognizer.abort(running.future)
            self._voices.close()
            with self._changed:
                self._finished = True
                self._changed.notify_all()

    def _next_step(self) -> _Step | None:
        """What comes next; while an utterance waits for a provider, a look around at the latest soon."""
        if not self._stream.awaits_provider:
            self._waiting_since_s = None
            return self._inbox.get()
        now_s = self._clock()
        if self._waiting_since_s is None:
            self._waiting_since_s, self._look_s = now_s, now_s + _RETRY_S
        try:
            if now_s < self._look_s:
                return self._inbox.get(timeout=self._look_s - now_s)
        except queue.Empty:
            pass
        self._look_s = now_s + _RETRY_S
        patience_s = _LAST_PATIENCE_S if self._stream.awaits_recovery else _PATIENCE_S
        if now_s - self._waiting_since_s < patience_s:
            return self._stream.retry
        return lambda: self._stream.give_up(self._voices.reason)

    def _act(self, output: Output) -> None:
        if isinstance(output, Decode):
            self._submit(output)
        elif isinstance(output, Abort):
            if running := self._running.pop(output.job, None):
                running.recognizer.abort(running.future)
        elif isinstance(output, Feed):
            self._voices.feed(output.voice, output.samples)
        elif isinstance(output, Complete):
            self._voices.complete(output.voice)
        elif isinstance(output, HangUp):
            self._voices.hang_up(output.voice)
        else:
            self._emit(output)
            if isinstance(output, Finished):
                self._inbox.put(None)

    def _heard(self, voice: int, spoken: Spoken) -> None:
        self._inbox.put(lambda: self._stream.hear(voice, spoken))

    def _submit(self, decode: Decode) -> None:
        recognizer = self._lineup.recognizer(decode.provider)
        ticket = Ticket(self._name, decode.kind, self._source, decode.utterance)
        try:
            future = recognizer.submit(decode.samples, decode.options, ticket)
        except QueueFull:
            full = AsrctlError("too much was waiting for the recogniser")
            self._inbox.put(lambda: self._stream.resolve(decode.job, full))
            return
        self._running[decode.job] = _Running(decode.kind, recognizer, future, self._clock())
        future.add_done_callback(lambda _: self._inbox.put(lambda: self._take(decode.job)))

    def _take(self, job: int) -> list[Output]:
        running = self._running.pop(job, None)
        if running is None:  # it was aborted meanwhile
            return []
        outcome = _outcome(running.future)
        if running.kind is Kind.PARTIAL:
            turnaround_s = self._clock() - running.submitted_s
            inference_s = outcome.inference_s if isinstance(outcome, Hypothesis) else 0.0
            self._stream.pacer.observe(turnaround_s, turnaround_s - inference_s)
        return self._stream.resolve(job, outcome)


def _outcome(future: Future[Hypothesis]) -> Hypothesis | Exception:
    try:
        return future.result()
    except CancelledError:
        return WorkerCrashed("the recogniser was stopped")
    except Exception as error:
        return error
