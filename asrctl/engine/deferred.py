"""Recognisers that are made when they are first needed: reserves that should cost nothing until then."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Protocol

from asrctl.errors import AsrctlError, ProviderError, QueueFull
from asrctl.policy.priority import Ticket
from asrctl.providers.base import DecodeOptions, Spoken, StreamingModel, StreamingSession
from asrctl.transcript import Hypothesis

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ClosableRecognizer(Protocol):
    """A `Recognizer` that owns something, such as a `WorkerPool`."""

    def submit(
        self, samples: NDArray[np.float32], options: DecodeOptions, ticket: Ticket
    ) -> Future[Hypothesis]: ...
    def abort(self, future: Future[Hypothesis]) -> None: ...
    def close(self) -> None: ...


class DeferredRecognizer:
    """A `Recognizer` in front of one that is made in the background when the first window comes.

    Thread-safe. If making it fails, so does what was submitted; the next window tries again.
    """

    def __init__(self, make: Callable[[], ClosableRecognizer]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._real: ClosableRecognizer | None = None
        self._thread: threading.Thread | None = None
        self._waiting: list[Callable[[ClosableRecognizer | Exception], None]] = []
        self._inner: dict[Future[Hypothesis], Future[Hypothesis]] = {}
        self._closed = False

    def start(self) -> None:
        """Begin to make it ahead of need."""
        with self._lock:
            self._start()

    def _start(self) -> None:
        if self._thread is None and self._real is None and not self._closed:
            self._thread = threading.Thread(target=self._run, name="reserve", daemon=True)
            self._thread.start()

    def submit(
        self, samples: NDArray[np.float32], options: DecodeOptions, ticket: Ticket
    ) -> Future[Hypothesis]:
        """Queue one window; see `Recognizer`."""
        outer: Future[Hypothesis] = Future()

        def pass_on(real: ClosableRecognizer | Exception) -> None:
            if isinstance(real, Exception):
                settle(outer, real)
                return
            try:
                inner = real.submit(samples, options, ticket)
            except QueueFull:
                settle(outer, AsrctlError("too much was waiting for the recogniser"))
                return
            with self._lock:
                self._inner[outer] = inner
            inner.add_done_callback(lambda done: self._take(outer, done))

        with self._lock:
            real = self._real
            if real is None:
                self._waiting.append(pass_on)
                self._start()
            closed = self._closed
        if closed:
            outer.cancel()
        elif real is not None:
            pass_on(real)
        return outer

    def abort(self, future: Future[Hypothesis]) -> None:
        """Stop a job nobody needs any more."""
        if future.cancel():
            with self._lock:
                inner, real = self._inner.pop(future, None), self._real
            if inner is not None and real is not None:
                real.abort(inner)

    def close(self) -> None:
        """Stop at once, and wait until it is made if that goes on, to close it."""
        with self._lock:
            self._closed = True
            thread = self._thread
        if thread is not None:
            thread.join()
        if self._real is not None:
            self._real.close()

    def _run(self) -> None:
        made: ClosableRecognizer | Exception
        try:
            made = self._make()
        except AsrctlError as error:
            made = error
        except Exception as error:
            made = ProviderError(repr(error))
        with self._lock:
            self._real = None if isinstance(made, Exception) else made
            self._thread = None
            waiting, self._waiting = self._waiting, []
        for pass_on in waiting:
            pass_on(made)

    def _take(self, outer: Future[Hypothesis], inner: Future[Hypothesis]) -> None:
        with self._lock:
            self._inner.pop(outer, None)
        try:
            settle(outer, inner.result())
        except CancelledError:
            outer.cancel()
        except Exception as error:
            settle(outer, error)


def settle(future: Future[Hypothesis], outcome: Hypothesis | BaseException) -> None:
    """Give a future its outcome, unless nobody waits for it any more."""
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


class DeferredModel:
    """A `StreamingModel` in front of one that is made when the first stream is wanted. Thread-safe."""

    def __init__(self, make: Callable[[], StreamingModel]) -> None:
        """Prepare; `make` must not block for long."""
        self._make = make
        self._lock = threading.Lock()
        self._real: StreamingModel | None = None

    def open(self, options: DecodeOptions, say: Callable[[Spoken], None]) -> StreamingSession:
        """Start a stream; see `StreamingModel.open`."""
        with self._lock:
            if self._real is None:
                self._real = self._make()
            real = self._real
        return real.open(options, say)

    def description(self) -> str:
        """Where it runs."""
        return self._real.description() if self._real is not None else "not started"

    def close(self) -> None:
        """Close all streams and free everything."""
        if self._real is not None:
            self._real.close()
