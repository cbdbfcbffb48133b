"""Voxtral as a recogniser: processes that are kept ready, one for each stream."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from asrctl.errors import ProviderError
from asrctl.policy.backoff import BackoffOptions
from asrctl.providers.outbox import Outbox
from asrctl.providers.recognizer import Spoken, StreamRequest, WindowDecoder
from asrctl.providers.voxtral.settings import VoxtralSettings
from asrctl.providers.voxtral.spares import Spares, SparesState

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from asrctl.providers.voxtral.resident import Resident

_RESTARTS = BackoffOptions(max_attempts=5)


class Voxtral:
    """See `Recognizer`. Made in an event loop, where it begins to load at once."""

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
        """Begin to load.

        Args:
            program: What is run.
            weights: The directory with its weights.
            settings: How it is run.
            restarts: Failures in a row after which no process is started any more, and the waits between.
        """
        self._settings = settings or VoxtralSettings()
        self._program = program
        self._spares = Spares(self._settings, program, weights, restarts)

    @property
    def description(self) -> str:
        """Where it runs."""
        return f"{self._program}, {self._settings.interval_s:g} s at a time"

    def open(self, request: StreamRequest, say: Callable[[Spoken], None]) -> VoxtralStream:
        """Start a stream on a process that is ready; see `Recognizer.open`."""
        if request.decode.translate:
            raise ProviderError("voxtral does not translate")
        outbox = Outbox(request, say)
        while True:
            resident = self._spares.take()
            if resident.attach(request.decode.language, outbox.say):
                return VoxtralStream(resident, outbox)

    async def wait_ready(self) -> None:
        """Wait until a stream can be opened; see `Recognizer.wait_ready`."""
        await self._spares.wait_ready()

    @property
    def state(self) -> SparesState:
        """Whether the next stream can be had, and why not."""
        return self._spares.state

    @property
    def starts(self) -> int:
        """Processes started so far."""
        return self._spares.starts

    def pids(self) -> list[int]:
        """Process ids of all its processes, those of streams first."""
        return self._spares.pids()

    async def close(self) -> None:
        """Close all streams, and wait until all processes are gone."""
        await self._spares.close()


class VoxtralStream:
    """An `UtteranceStream` that has a process to itself."""

    def __init__(self, resident: Resident, outbox: Outbox) -> None:
        """Use a process that is attached already, and says everything through `outbox`."""
        self._resident = resident
        self._outbox = outbox

    @property
    def pid(self) -> int:
        """Process id of the stream's process."""
        return self._resident.pid

    def feed(self, samples: NDArray[np.float32]) -> None:
        """See `UtteranceStream.feed`."""
        from asrctl.audio.pcm import s16le_of

        if len(samples):
            self._resident.feed(s16le_of(samples))

    def pause(self, silence_s: float) -> None:
        """It hears by itself that nothing is said."""

    def end(self) -> None:
        """See `UtteranceStream.end`."""
        self._resident.feed(None)

    def drop(self, utterance: int) -> None:
        """See `UtteranceStream.drop`."""
        self._outbox.drop(utterance)
        self._resident.drop(utterance)

    def want_partials(self, interval_factor: float | None) -> None:
        """See `UtteranceStream.want_partials`; its text costs nothing more, so it is said or not."""
        self._outbox.want_partials(interval_factor is not None)

    def close(self) -> None:
        """Stop at once; the process is killed, for it serves one stream."""
        self._outbox.close()
        self._resident.close()
