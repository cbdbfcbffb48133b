"""What every provider is to the rest: a recogniser that opens streams of utterances.

Everything here belongs to one event loop. A recogniser is shared by all sessions; each session opens one
`UtteranceStream` of it, feeds it the speech of one utterance after the other, and is told what was heard.
Providers that decode whole windows offer a `WindowDecoder` and become streams through
`asrctl.streaming.adapter`; those that listen to a stream implement `UtteranceStream` themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from asrctl.errors import ProviderError
from asrctl.policy.pacing import PacingOptions
from asrctl.policy.priority import Source, Ticket
from asrctl.providers.base import DecodeOptions
from asrctl.transcript import Hypothesis, Samples


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """What a session wants of a recogniser.

    Attributes:
        decode: How its utterances are decoded.
        session: Tells sessions apart in the workers' queue and in logs.
        source: Whose audio it is; `mic` is decoded before `system`.
        pacing: How often partials are made by decoding; None for finals only.
    """

    decode: DecodeOptions
    session: str = ""
    source: Source = Source.MIC
    pacing: PacingOptions | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """What an utterance seems to say so far; replaces the `Heard` before.

    Attributes:
        utterance: Its number: how many `end` calls came before it began, so the first is 0.
        stable: Words that this recogniser will not change any more.
        unstable: Words after them that may still change.
        samples: How many samples of the utterance were heard for it.
    """

    utterance: int
    stable: tuple[str, ...]
    unstable: tuple[str, ...]
    samples: int


@dataclass(frozen=True, slots=True)
class Completed:
    """All that an utterance said, times in seconds since its first sample. Utterances may complete in any
    order, each once, and only after its `end`."""

    utterance: int
    hypothesis: Hypothesis


@dataclass(frozen=True, slots=True)
class Failed:
    """This utterance cannot be recognised here; the stream goes on with the others."""

    utterance: int
    error: Exception


@dataclass(frozen=True, slots=True)
class Lost:
    """The stream has broken; nothing comes after it. Utterances without `Completed` or `Failed` have to be
    asked elsewhere.

    Attributes:
        error: What happened.
        utterance: The one that was being recognised, to which the failure may be due; None if it says nothing
            about any of them, such as a lost connection while idle.
    """

    error: ProviderError
    utterance: int | None = None


@dataclass(frozen=True, slots=True)
class Switched:
    """Another provider has the utterances from here on; said only by a fail-over."""

    provider: str
    reason: str


Spoken = Heard | Completed | Failed | Lost | Switched
"""What a stream says."""


class UtteranceStream(Protocol):
    """One session's stream into a recogniser. No method blocks or waits.

    What it says is said in a later turn of the event loop, never from within one of these calls.
    """

    def feed(self, samples: Samples) -> None:
        """Take the next samples of the current utterance, shape (n,), mono float32 at 16 kHz, not to be
        changed afterwards; the first ones begin it."""
        ...

    def pause(self, silence_s: float) -> None:
        """The speaker has paused for so long after what was fed; a hint, repeated while it lasts."""
        ...

    def end(self) -> None:
        """The utterance is complete. What is fed from now on belongs to the next one."""
        ...

    def drop(self, utterance: int) -> None:
        """Nobody waits for this utterance any more, which has ended; nothing needs to be said of it."""
        ...

    def want_partials(self, interval_factor: float | None) -> None:
        """How often `Heard` is wanted: so many times rarer than the request says; None for not at all, and
        infinity where nothing may be decoded in vain either, such as a final before the end is certain."""
        ...

    def close(self) -> None:
        """Stop at once and free everything; nothing is said any more. May be called twice."""
        ...


class WindowDecoder(Protocol):
    """Decodes whole windows for many sessions: a pool of workers, or a server that takes windows."""

    @property
    def width(self) -> int:
        """How many windows are decoded at a time."""
        ...

    async def decode(self, samples: Samples, options: DecodeOptions, ticket: Ticket) -> Hypothesis:
        """Decode one window. Cancelling the call aborts the decode, wherever it is.

        Args:
            samples: Shape (n,), contiguous mono float32 at 16 kHz, at most 30 s; left unchanged meanwhile.
            options: How to decode it.
            ticket: Whose it is and how urgent.

        Raises:
            DecodeError: This window cannot be decoded; others may.
            WorkerCrashed: The worker was lost with this window, again and again.
            WorkerTimeout: It took too long, again and again.
            Superseded: A partial made way for a newer one or a final, or a second decode for a final.
            QueueFull: As many windows wait as may.
            ModelError: The weights do not load.
            ProviderError: The provider cannot run, or is closed.
        """
        ...


class Service(Protocol):
    """What every provider at work has; shared by all sessions."""

    @property
    def name(self) -> str:
        """The provider's name."""
        ...

    @property
    def model(self) -> str:
        """The model's name, to be shown."""
        ...

    @property
    def description(self) -> str:
        """Where it runs, in a few words, such as "CPU, 2 threads"."""
        ...

    async def wait_ready(self) -> None:
        """Wait until a stream can be opened, or a window decoded.

        Raises:
            ModelError: The weights do not load.
            ProviderError: It cannot run here, and why.
        """
        ...

    def pids(self) -> list[int]:
        """Process ids of its child processes."""
        ...

    async def close(self) -> None:
        """Close all streams, end all processes, free everything; whoever waits gets an error."""
        ...


class WindowService(Service, Protocol):
    """A provider that only decodes windows; `asrctl.streaming.adapter` makes streams of it."""

    @property
    def windows(self) -> WindowDecoder:
        """What decodes."""
        ...


@runtime_checkable
class Recognizer(Service, Protocol):
    """A provider that listens to streams."""

    @property
    def windows(self) -> WindowDecoder | None:
        """What decodes whole windows, as files want it; None for one that only listens to streams."""
        ...

    def open(self, request: StreamRequest, say: Callable[[Spoken], None]) -> UtteranceStream:
        """Open a stream at once, with what was prepared for it.

        Args:
            request: What the session wants.
            say: Takes what the stream says, in order, in the event loop's thread; must not raise.

        Raises:
            ProviderError: No stream can be had at this moment, and why; one may be later.
        """
        ...
