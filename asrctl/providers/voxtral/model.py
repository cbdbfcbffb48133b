"""Voxtral as a streaming provider."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from asrctl.errors import ProviderError
from asrctl.providers.base import DecodeOptions, Spoken
from asrctl.providers.voxtral.locate import binary_problem, weights_problems
from asrctl.providers.voxtral.options import VoxtralOptions

if TYPE_CHECKING:
    from asrctl.providers.voxtral.session import VoxtralSession
    from asrctl.providers.voxtral.spares import Spares, SparesState


class Voxtral:
    """A `StreamingModel`: processes that are kept ready, one for each stream. A context manager."""

    def __init__(self, options: VoxtralOptions) -> None:
        """Look whether all is there, and begin to load.

        Raises:
            ProviderError: The program or a file of the weights is missing, or it cannot run here.
        """
        if os.name != "posix":
            raise ProviderError("voxtral needs Linux or macOS")
        problem = binary_problem(options.binary)
        if not problem and not options.model_dir.is_dir():
            problem = f"there is no directory {options.model_dir} with voxtral's weights"
        if problem:
            raise ProviderError(problem)
        self._options = options
        self._spares = self._start()

    def _start(self) -> Spares:
        from asrctl.providers.voxtral.spares import Spares  # its pipes exist on POSIX only

        return Spares(self._options, self._with_weights)

    def open(self, options: DecodeOptions, say: Callable[[Spoken], None]) -> VoxtralSession:
        """Start a stream on a process that is ready; see `StreamingModel.open`."""
        from asrctl.providers.voxtral.session import VoxtralSession

        if options.translate:
            raise ProviderError("voxtral does not translate")
        while True:
            resident = self._spares.take()
            if resident.attach(options.language, say):
                return VoxtralSession(resident)

    def wait_ready(self, timeout_s: float | None = None) -> float:
        """Block until a stream can be opened; returns how long that took.

        Args:
            timeout_s: The longest wait; None for all the time that loading may take.

        Raises:
            ProviderError: It did not become ready.
        """
        began_s = time.monotonic()
        self._spares.wait_ready(self._options.load_timeout_s if timeout_s is None else timeout_s)
        return time.monotonic() - began_s

    @property
    def state(self) -> SparesState:
        """How it stands with the next stream."""
        return self._spares.state

    @property
    def starts(self) -> int:
        """Processes started so far."""
        return self._spares.starts

    def pids(self) -> list[int]:
        """Process ids of all its processes."""
        return self._spares.pids()

    def stream_pids(self) -> list[int]:
        """Process ids of those that have a stream."""
        return self._spares.stream_pids()

    def description(self) -> str:
        """Where it runs."""
        return f"{self._options.binary}, {self._options.interval_s:g} s at a time"

    def close(self) -> None:
        """Close all streams and free everything."""
        self._spares.close()

    def _with_weights(self, reason: str) -> str:
        """A failure, and what is wrong with the weights, which is the likeliest cause."""
        return "; ".join([reason, *weights_problems(self._options.model_dir)])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
