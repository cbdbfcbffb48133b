"""Windows that do not depend on one provider: who fails with one hands it on to the next of a lineup."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from typing import TYPE_CHECKING

from asrctl.engine.deferred import settle
from asrctl.engine.lineup import Lineup, is_about_one_window
from asrctl.errors import ProviderError, QueueFull
from asrctl.policy.priority import Ticket
from asrctl.providers.base import DecodeOptions
from asrctl.transcript import Hypothesis

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class _Window:
    """A window on its way from provider to provider."""

    def __init__(self, samples: NDArray[np.float32], options: DecodeOptions, ticket: Ticket) -> None:
        self.samples = samples
        self.options = options
        self.ticket = ticket
        self.outer: Future[Hypothesis] = Future()
        self.inner: tuple[str, Future[Hypothesis]] | None = None
        self.errors: dict[str, Exception] = {}


class Relay:
    """A `Recognizer` over a lineup whose members all take windows. Thread-safe.

    A hypothesis names its provider. A window fails only when everybody failed with it; if somebody did for
    reasons of that window, its error is of that kind, since the others of the input may fare better.
    """

    def __init__(self, lineup: Lineup, width: int = 1) -> None:
        """Prepare.

        Args:
            lineup: Whom there is.
            width: How many windows are decoded at a time.
        """
        self.width = width
        self._lineup = lineup
        self._lock = threading.Lock()
        self._under_way: dict[Future[Hypothesis], _Window] = {}
        self._failures: dict[str, str] = {}

    def failures(self) -> dict[str, str]:
        """By provider, with what it failed last; those that never did are not there."""
        with self._lock:
            return dict(self._failures)

    def submit(
        self, samples: NDArray[np.float32], options: DecodeOptions, ticket: Ticket
    ) -> Future[Hypothesis]:
        """Queue one window; see `Recognizer`."""
        window = _Window(samples, options, ticket)
        with self._lock:
            self._under_way[window.outer] = window
        self._place(window)
        return window.outer

    def abort(self, future: Future[Hypothesis]) -> None:
        """Stop a job nobody needs any more."""
        if future.cancel():
            with self._lock:
                window = self._under_way.pop(future, None)
                inner = window.inner if window is not None else None
            if inner is not None:
                name, decoding = inner
                self._lineup.recognizer(name).abort(decoding)

    def _place(self, window: _Window) -> None:
        """Ask the best that has not failed with this window; where there is nobody, it has failed."""
        candidates = self._lineup.candidates(dict.fromkeys(window.errors, 1))
        if not candidates:
            return self._settle(window, _sum_of(window.errors))
        name = candidates[0]
        recognizer = self._lineup.recognizer(name)
        try:
            decoding = recognizer.submit(window.samples, window.options, window.ticket)
        except QueueFull:
            return self._hand_on(window, name, ProviderError("too much was waiting for it"))
        with self._lock:
            window.inner = name, decoding
        if window.outer.cancelled():  # meanwhile
            recognizer.abort(decoding)
        decoding.add_done_callback(lambda done: self._take(window, name, done))

    def _take(self, window: _Window, name: str, decoded: Future[Hypothesis]) -> None:
        try:
            hypothesis = decoded.result()
        except CancelledError:
            window.outer.cancel()
            self._settle(window, CancelledError())
        except Exception as error:
            self._hand_on(window, name, error)
        else:
            self._settle(window, replace(hypothesis, provider=name))

    def _hand_on(self, window: _Window, name: str, error: Exception) -> None:
        self._lineup.failed(name, error)
        window.errors[name] = error
        with self._lock:
            self._failures[name] = str(error)
        if not window.outer.cancelled():
            self._place(window)

    def _settle(self, window: _Window, outcome: Hypothesis | BaseException) -> None:
        with self._lock:
            self._under_way.pop(window.outer, None)
        settle(window.outer, outcome)


def _sum_of(errors: dict[str, Exception]) -> Exception:
    """What to say where everybody failed: of the kind that lets the rest of the input go on, if any is."""
    several = list(errors.values())
    if len(several) == 1:
        return several[0]
    kind = next((error for error in several if is_about_one_window(error)), several[0])
    text = "; ".join(f"{name}: {error}" for name, error in errors.items())
    return type(kind)(text)
