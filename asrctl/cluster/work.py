"""What tasks are given, and what they answer; all of it is pickled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from asrctl.errors import AsrctlError
from asrctl.providers.base import DecodeOptions
from asrctl.settings import Settings
from asrctl.transcript import Transcript

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from asrctl.audio.files import OpenAudio
    from asrctl.audio.tracks import Tracks


@dataclass(frozen=True, slots=True)
class Work:
    """How all recordings of a run are transcribed.

    Attributes:
        settings: Of the recogniser in each worker process; one process and so many threads.
        open: Opens a recording by its path, which is the same on all machines.
        version: Of asrctl on the machine that gives out the work.
        vad: Whether speech is looked for.
    """

    settings: Settings
    open: Callable[[str], OpenAudio | Tracks]
    version: str
    vad: bool = True


@dataclass(frozen=True, slots=True)
class Done:
    """A recording that is transcribed.

    Attributes:
        transcript: With its account.
        warnings: What is wrong with the audio, or with the providers, although it was transcribed.
        lost: What could not be decoded, one line each.
        multilingual: Whether the model knows languages other than English.
        hint: What else could be heard of it, or "".
        resubmitted: How many of its pieces were lost, and decoded again.
    """

    transcript: Transcript
    warnings: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    multilingual: bool = True
    hint: str = ""
    resubmitted: int = 0


@dataclass(frozen=True, slots=True)
class TooLong:
    """A recording that is to be decoded in pieces."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a task could not be done; an exception as an answer would be raised on the way."""

    error: AsrctlError


class PieceWindow(NamedTuple):
    """A window of a piece, and how it is decoded."""

    samples: NDArray[np.float32]
    options: DecodeOptions


class TaskLost(Exception):
    """A task ended without an answer: its process or its machine is gone."""


class Executor(Protocol):
    """Runs functions in the worker processes of a cluster; can be pickled."""

    def slots(self) -> int:
        """How many tasks run at once, at this moment."""

    async def run(self, function: Callable[..., Any], *arguments: Any, light: bool = False) -> Any:
        """Call a function in a worker process that is free. Cancelling the call does not stop the task.

        Args:
            function: Of a module that all machines have.
            arguments: What can be pickled.
            light: It mostly waits for other tasks, and takes no slot.

        Raises:
            TaskLost: It ended without an answer.
            ProviderError: The function could not be called, or failed in a way that it does not answer.
            ServerError: The cluster cannot be reached any more.
        """
