"""Asks again and again whether to abort: the library takes a call for that, and asks nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_POLL_S = 0.01


class Watch:
    """One thread for all windows of a model, which is handed the question of each."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        """Start the thread; `cancel` stops what runs at the moment."""
        self._cancel = cancel
        self._should_abort: Callable[[], bool] | None = None
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    @contextmanager
    def asking(self, should_abort: Callable[[], bool]) -> Iterator[None]:
        """Cancel what runs within the block once `should_abort` says so."""
        self._should_abort = should_abort
        self._wanted.set()
        try:
            yield
        finally:
            with self._lock:  # no cancellation comes later, when something else runs
                self._should_abort = None
                self._wanted.clear()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            with self._lock:
                if self._should_abort is not None and self._should_abort():
                    self._cancel()  # more than once: what only begins to run forgets the first
            time.sleep(_POLL_S)
