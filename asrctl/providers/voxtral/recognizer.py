"""Voxtral as a recogniser: processes are loaded ahead of need, so that no stream waits for one to start."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from random import random

from asrctl.errors import ProviderError
from asrctl.policy.backoff import Backoff, BackoffOptions
from asrctl.providers.outbox import Outbox
from asrctl.providers.recognizer import Spoken, StreamRequest, WindowDecoder
from asrctl.providers.voxtral.locate import weights_problems
from asrctl.providers.voxtral.resident import Resident
from asrctl.providers.voxtral.settings import VoxtralSettings

_RESTARTS = BackoffOptions(max_attempts=5)
_log = logging.getLogger(__name__)


class SparesState(Enum):
    """Whether the next stream can be had, and why not."""

    LOADING = "is loading"
    READY = "is ready"
    WAITING = "waits before it starts again"
    GAVE_UP = "was given up"
    CLOSED = "is closed"


class Voxtral:
    """See `Recognizer`. Keeps so many processes ready; the owner of all of them, from start to end."""

    name = "voxtral"
    model = "voxtral"
    windows: WindowDecoder | None = None

    def __init__(
        self,
        program: Path,
        weights: Path,
        settings: VoxtralSettings | None = None,
        restarts: BackoffOptions = _RESTARTS,
    ) -> None:
        """Begin to load, in a running event loop.

        Args:
            program: What is run.
            weights: The directory with its weights.
            settings: How it is run.
            restarts: Failures in a row after which no process is started any more, and the waits between.
        """
        self._settings = settings or VoxtralSettings()
        self._program = program
        self._weights = weights
        self._restarts = restarts
        self.description = f"{program}, {self._settings.interval_s:g} s at a time"
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._loading: set[Resident] = set()
        self._ready: list[Resident] = []
        self._taken: set[Resident] = set()
        self._backoff = Backoff(restarts, random)
        self._retry: asyncio.TimerHandle | None = None
        self._beside_failure = set[Resident]()
        """Those that were there when the last failure was counted."""
        self._failure = ""
        self._gave_up = False
        self._closed = False
        self._monitored = True
        self.starts = 0
        """Processes started so far."""
        self._fill()

    @property
    def state(self) -> SparesState:
        """Whether the next stream can be had, and why not."""
        if self._closed:
            return SparesState.CLOSED
        if self._gave_up:
            return SparesState.GAVE_UP
        if self._ready:
            return SparesState.READY
        return SparesState.WAITING if self._retry is not None else SparesState.LOADING

    def open(self, request: StreamRequest, say: Callable[[Spoken], None]) -> Resident:
        """Start a stream on a process that is ready; see `Recognizer.open`."""
        if request.decode.translate:
            raise ProviderError("voxtral does not translate")
        outbox = Outbox(request, say)
        while not (resident := self._take()).attach(request, outbox):
            pass
        return resident

    def _take(self) -> Resident:
        if sum(not each.is_closing for each in self._taken) >= self._settings.max_streams:
            most = self._settings.max_streams
            raise ProviderError(f"voxtral has {most} streams already: as many as [voxtral] max_streams")
        if self.state is not SparesState.READY:
            raise ProviderError(self._why_not())
        resident = self._ready.pop(0)
        self._taken.add(resident)
        self._beside_failure.discard(resident)  # what it dies of from here on is something else
        self._fill()
        return resident

    async def wait_ready(self) -> None:
        """Wait until a process is ready.

        Raises:
            ProviderError: None was in time, or none will be.
        """
        try:
            async with asyncio.timeout(self._settings.load_timeout_s):
                while self.state in (SparesState.LOADING, SparesState.WAITING):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise ProviderError(self._why_not()) from None
        if self.state is not SparesState.READY:
            raise ProviderError(self._why_not())

    def pids(self) -> list[int]:
        """Process ids of the streams' processes, then of the spares."""
        return [each.pid for each in (*self._taken, *self._ready, *self._loading) if each.pid]

    async def close(self) -> None:
        """Kill all processes, and wait until they are gone."""
        self._closed = True
        self._cancel_retry()
        self._changed.set()
        residents = [*self._loading, *self._ready, *self._taken]
        for resident in residents:
            resident.close()
        for resident in residents:
            await resident.wait_gone()

    # What the residents call

    def became_ready(self, resident: Resident) -> None:
        """A process has loaded and decoded something."""
        self._loading.discard(resident)
        self._ready.append(resident)
        self._failure = ""
        self._changed.set()

    def ended(self, resident: Resident, error: ProviderError | None) -> None:
        """A process is gone; without an error, because its stream was closed."""
        self._loading.discard(resident)
        self._taken.discard(resident)
        if resident in self._ready:
            self._ready.remove(resident)
        if resident.served:
            self._backoff = Backoff(self._restarts, random)
        if error is not None and not self._closed:
            self._note_failure(resident, error)
        self._fill()
        self._changed.set()

    def _note_failure(self, resident: Resident, error: ProviderError) -> None:
        if resident.monitored and resident.refused_option:
            self._monitored = False  # a voxtral from before that option: it is started without
            return
        problems = [] if resident.ready_s is not None else weights_problems(self._weights)
        self._failure = "; ".join([str(error), *problems])
        if resident in self._beside_failure and not _is_permanent(resident, problems):
            return  # several that die together, of the same cause, count as one failure
        self._beside_failure = {*self._loading, *self._ready, *self._taken}
        self._backoff.began()
        lived_s = 0.0 if resident.ready_s is None else self._loop.time() - resident.ready_s
        wait_s = self._backoff.failed(lived_s)
        if wait_s is None or _is_permanent(resident, problems):
            self._give_up()
            return
        _log.warning("%s; another process is started", self._failure)
        self._cancel_retry()
        self._retry = self._loop.call_later(wait_s, self._start_again)

    def _give_up(self) -> None:
        self._gave_up = True
        self._cancel_retry()
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

    # Starting

    def _fill(self) -> None:
        """Start what is missing, unless a failure has to be waited for."""
        while (
            not (self._closed or self._gave_up or self._retry)
            and len(self._loading) + len(self._ready) < self._settings.spares
        ):
            self.starts += 1
            command = self._settings.command(self._program, self._weights, monitored=self._monitored)
            self._loading.add(Resident(command, self._settings, self, monitored=self._monitored))

    def _start_again(self) -> None:
        self._retry = None
        self._fill()

    def _cancel_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None


def _is_permanent(resident: Resident, problems: list[str]) -> bool:
    """Whether the next process would fail in the same way.

    That is so where there is no program, weights that are not whole, a program that knows none of our
    options, or one that is content without having decoded anything.
    """
    if resident.never_ran or problems:
        return True
    return resident.ready_s is None and (resident.exit_code == 0 or resident.refused_option)
