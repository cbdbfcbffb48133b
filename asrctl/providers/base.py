"""What a recogniser is: windowed ones map audio windows to hypotheses, streaming ones are fed and speak.

A loaded model and a stream are separate objects, each a context manager. Windowed models are stateless
between calls, so a window can go to any worker and be tried again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from asrctl.errors import ProviderError
from asrctl.policy.window import Effort
from asrctl.transcript import Hypothesis

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Which weights a provider loads, and how.

    Attributes:
        provider: Name in the registry, such as "whisper_cpp".
        path: The weights: a ggml file or a CTranslate2 directory.
        threads: Threads one decode may use, at least 1.
        use_gpu: Try the GPU first where the backend has one.
    """

    provider: str
    path: Path
    threads: int = 1
    use_gpu: bool = True


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """How one window is decoded.

    Attributes:
        language: A code such as "en", or "auto" to detect it from the window.
        translate: Translate into English instead of transcribing.
        prompt: Text that sets names and style; empty for none.
        beam_size: 1 is greedy.
        word_timestamps: Fill in the words of each segment.
        effort: How much work the window is worth, where the backend has a choice.
    """

    language: str = "en"
    translate: bool = False
    prompt: str = ""
    beam_size: int = 1
    word_timestamps: bool = False
    effort: Effort = Effort.NORMAL


class Aborted(Exception):
    """A decode stopped because its `should_abort` said so; control flow, not a failure."""


class WindowedModel(Protocol):
    """A loaded model: one thread at a time, stateless between windows."""

    def transcribe(
        self, samples: NDArray[np.float32], options: DecodeOptions, should_abort: Callable[[], bool]
    ) -> Hypothesis:
        """Decode one window.

        Args:
            samples: Shape (n,), mono float32 at 16 kHz in [-1, 1]; at most 30 s.
            options: How to decode it.
            should_abort: Asked often, from the calling thread's native code; True stops the decode.

        Raises:
            Aborted: `should_abort` returned True.
            DecodeError: The backend reported a failure; the model is still usable.
        """
        ...

    def description(self) -> str:
        """Where it runs, in a few words, such as "CPU, 1 thread"."""
        ...

    def close(self) -> None:
        """Free the weights; the model cannot be used afterwards."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Heard:
    """A piece of text of the utterance that is being listened to; pieces are appended as they are."""

    text: str


@dataclass(frozen=True, slots=True)
class Completed:
    """All that an utterance said, times in seconds since its first sample; replaces what was heard of it."""

    hypothesis: Hypothesis


@dataclass(frozen=True, slots=True)
class Lost:
    """The stream has broken; nothing comes after it, and what was not completed has to be asked elsewhere."""

    error: ProviderError


Spoken = Heard | Completed | Lost
"""What a streaming session says: for each utterance any number of `Heard`, then one `Completed`, in the order
of the utterances; at any time `Lost`, as the last."""


class StreamingSession(Protocol):
    """One stream into a streaming provider: the audio of one utterance after the other, growing text out.

    No method blocks for recognition, a full pipe, or the network; all belong to one thread.
    """

    def feed(self, samples: NDArray[np.float32]) -> None:
        """Take the next samples of the current utterance, shape (n,), mono float32 at 16 kHz."""
        ...

    def complete(self) -> None:
        """The utterance has ended: its last words come without more audio, then `Completed`.

        Audio fed from now on belongs to the next utterance, even before `Completed` has come.
        """
        ...

    def close(self) -> None:
        """Stop at once and free everything; nothing is said any more, not even `Lost`."""
        ...


class StreamingModel(Protocol):
    """A streaming provider at work; each `open` is an independent stream."""

    def open(self, options: DecodeOptions, say: Callable[[Spoken], None]) -> StreamingSession:
        """Start a stream at once, with what was prepared for it.

        Args:
            options: How to decode.
            say: Takes what the stream says, in order, from any thread; must not raise.

        Raises:
            ProviderError: None can be had at this moment, and why; another may be later.
        """
        ...

    def description(self) -> str:
        """Where it runs, in a few words."""
        ...

    def close(self) -> None:
        """Close all streams and free everything."""
        ...


@runtime_checkable
class LoadsAhead(Protocol):
    """What a streaming model has besides if it takes a while before the first stream can be opened."""

    def wait_ready(self) -> object:
        """Block until one can.

        Raises:
            ProviderError: None ever will, or not for long, and why.
        """
        ...
