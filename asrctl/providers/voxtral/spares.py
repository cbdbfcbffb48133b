"""Voxtral processes that are loaded ahead of need, so that no stream waits for one to start."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from enum import Enum
from random import random

from asrctl.errors import ProviderError
from asrctl.policy.backoff import Backoff
from asrctl.providers.voxtral.options import VoxtralOptions
from asrctl.providers.voxtral.resident import Resident

_OPTION_REFUSED = re.compile("--monitor|usage|option|argument", re.IGNORECASE)


class SparesState(Enum):
    """How it stands with the next stream."""

    LOADING = "is loading"
    READY = "is ready"
    WAITING = "waits before it starts again"
    GAVE_UP = "was given up"
    CLOSED = "is closed"


class Spares:
    """Keeps so many processes ready; thread-safe, and only its own threads ever start one."""

    def __init__(self, options: VoxtralOptions, describe: Callable[[str], str] = str) -> None:
        """Begin to start them.

        Args:
            options: How many, and how often it is tried.
            describe: Adds to the reason of a failure what else is known to be wrong.
        """
        self._options = options
        self._describe = describe
        self._changed = threading.Condition()
        self._loading: set[Resident] = set()
        self._ready: list[Resident] = []
        self._taken: set[Resident] = set()
        self._backoff = Backoff(options.restarts, random)
        self._not_before_s = 0.0
        self._failure = ""
        self._gave_up = False
        self._closed = False
        self._monitored = True
        self.starts = 0
        """Processes started so far."""
        self._keeper = threading.Thread(target=self._keep, name="voxtral-spares", daemon=True)
        self._keeper.start()

    @property
    def state(self) -> SparesState:
        """How it stands with the next stream."""
        with self._changed:
            if self._closed:
                return SparesState.CLOSED
            if self._gave_up:
                return SparesState.GAVE_UP
            if self._ready:
                return SparesState.READY
            waits = self._failure and not self._loading
            return SparesState.WAITING if waits else SparesState.LOADING

    def take(self) -> Resident:
        """A process that is ready, at once.

        Raises:
            ProviderError: There is none, and why.
        """
        with self._changed:
            if sum(not each.is_closing for each in self._taken) >= self._options.max_streams:
                raise ProviderError(
                    f"voxtral has {self._options.max_streams} streams already: as many as may"
                )
            if not self._ready or self._gave_up or self._closed:
                raise ProviderError(self._why_not())
            resident = self._ready.pop(0)
            self._taken.add(resident)
            self._changed.notify_all()
            return resident

    def wait_ready(self, timeout_s: float) -> None:
        """Block until a process is ready.

        Raises:
            ProviderError: None was in time, or none will be.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._gave_up or self._closed, timeout_s)
            if not self._ready or self._gave_up or self._closed:
                raise ProviderError(self._why_not())

    def pids(self) -> list[int]:
        """Process ids of the streams' processes, then of the spares."""
        with self._changed:
            return [each.pid for each in (*self._taken, *self._ready, *self._loading) if each.pid]

    def stream_pids(self) -> list[int]:
        """Process ids of the streams' processes alone."""
        with self._changed:
            return [each.pid for each in self._taken]

    def close(self) -> None:
        """Kill all processes, and wait until they are gone."""
        with self._changed:
            self._closed = True
            residents = [*self._loading, *self._ready, *self._taken]
            self._changed.notify_all()
        for resident in residents:
            resident.close()
        self._keeper.join()
        for resident in residents:
            resident.join()

    # What the residents call.

    def became_ready(self, resident: Resident) -> None:
        """A process has loaded and decoded something."""
        with self._changed:
            self._loading.discard(resident)
            self._ready.append(resident)
            self._failure = ""
            self._changed.notify_all()

    def ended(self, resident: Resident, error: ProviderError | None) -> None:
        """A process is gone; without an error, because its stream was closed."""
        with self._changed:
            self._loading.discard(resident)
            self._taken.discard(resident)
            if resident in self._ready:
                self._ready.remove(resident)
            if resident.served:
                self._backoff = Backoff(self._options.restarts, random)
            if error is not None and not self._closed:
                self._note_failure(resident, error)
            self._changed.notify_all()

    def _note_failure(self, resident: Resident, error: ProviderError) -> None:
        refused = resident.ready_s is None and _OPTION_REFUSED.search(resident.complaint)
        if resident.monitored and refused:
            self._monitored = False  # an older voxtral: it is asked again without
            return
        self._failure = self._describe(str(error))
        self._backoff.began()
        lived_s = 0.0 if resident.ready_s is None else time.monotonic() - resident.ready_s
        wait_s = None if resident.never_ran else self._backoff.failed(lived_s)
        self._not_before_s = time.monotonic() + (wait_s or 0.0)
        if wait_s is None:
            self._gave_up = True
            for spare in (*self._loading, *self._ready):
                spare.close()

    def _why_not(self) -> str:
        if self._closed:
            return "voxtral is closed"
        if self._gave_up:
            times = self._backoff.attempts
            after = f" after {times} failures in a row" if times > 1 else ""
            return f"voxtral was given up{after}: {self._failure}"
        if self._failure:
            return f"voxtral is starting again after it failed: {self._failure}"
        return "voxtral is still loading" if not self._taken else "voxtral's next process is still loading"

    # The keeper's thread.

    def _keep(self) -> None:
        with self._changed:
            while not self._closed:
                wait_s = self._not_before_s - time.monotonic()
                missing = len(self._loading) + len(self._ready) < self._options.spares
                if missing and not self._gave_up and wait_s <= 0:
                    self.starts += 1
                    self._loading.add(Resident(self._options, self, monitored=self._monitored))
                else:
                    self._changed.wait(wait_s if missing and wait_s > 0 else None)
