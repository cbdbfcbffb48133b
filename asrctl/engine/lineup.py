"""Recognisers that stand in for each other, in order of preference, and how well they are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from asrctl.errors import DecodeError, ModelError, ProviderError, WorkerCrashed, WorkerTimeout
from asrctl.policy.chain import Chain, ChainOptions
from asrctl.policy.priority import Ticket
from asrctl.providers.base import DecodeOptions, StreamingModel
from asrctl.transcript import Hypothesis

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_STREAMED_ATTEMPTS = 3
"""A stream that broke says little about the audio: another one of the same provider may do."""
_WINDOWED_ATTEMPTS = 1
"""A pool has tried again by itself."""
_BROKEN = (ProviderError, ModelError)
_ABOUT_ONE_WINDOW = (DecodeError, WorkerCrashed, WorkerTimeout)
"""Provider errors after which it goes on with other windows."""


def is_about_one_window(error: Exception) -> bool:
    """Whether a provider that failed so may do well with other windows."""
    return isinstance(error, _ABOUT_ONE_WINDOW)


class Recognizer(Protocol):
    """What decodes windows: a `WorkerPool`, a `ModelSwitch`, or something on other machines."""

    def submit(
        self, samples: NDArray[np.float32], options: DecodeOptions, ticket: Ticket
    ) -> Future[Hypothesis]: ...
    def abort(self, future: Future[Hypothesis]) -> None: ...


@dataclass(frozen=True, slots=True)
class Member:
    """A provider of a lineup: exactly one of the two is there."""

    name: str
    recognizer: Recognizer | None = None
    streaming: StreamingModel | None = None


class Lineup:
    """Any number of sessions share one. Thread-safe."""

    def __init__(
        self,
        members: Sequence[Member],
        options: ChainOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with all of them healthy.

        Args:
            members: The best first; they stay the caller's to close.
            options: How long those that were lost are left alone.
            clock: Monotonic seconds.
        """
        self._members = {member.name: member for member in members}
        self._lock = threading.Lock()
        attempts = {
            member.name: _STREAMED_ATTEMPTS if member.streaming else _WINDOWED_ATTEMPTS for member in members
        }
        self._chain = Chain(attempts, options or ChainOptions(), clock)

    @staticmethod
    def of(recognizer: Recognizer) -> Lineup:
        """A recogniser that nobody stands in for."""
        return Lineup([Member("", recognizer)])

    @property
    def first(self) -> str:
        """The best."""
        return self._chain.names[0]

    def candidates(self, failures: Mapping[str, int]) -> list[str]:
        """Whom to ask for an utterance, best first; see `Chain.candidates`."""
        with self._lock:
            return self._chain.candidates(failures)

    def why_not(self, name: str) -> str:
        """Why a provider is left alone for now; empty if it is not."""
        with self._lock:
            return self._chain.reason(name)

    def failed(self, name: str, error: Exception) -> None:
        """A provider failed: it gets a rest, unless that was about the one window it had."""
        if isinstance(error, _BROKEN) and not is_about_one_window(error):
            with self._lock:
                self._chain.lost(name, str(error))

    def recognizer(self, name: str) -> Recognizer:
        """What decodes windows for this provider."""
        recognizer = self._members[name].recognizer
        assert recognizer is not None
        return recognizer

    def streaming(self, name: str) -> StreamingModel | None:
        """What streams for this provider; None if it decodes windows."""
        return self._members[name].streaming
