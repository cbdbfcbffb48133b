"""What live audio looks like from inside, be it a microphone or a file played at its own pace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from asrctl.transcript import Samples


@dataclass(frozen=True, slots=True)
class Lost:
    """So many samples (at 16 kHz) never came, and why; what follows in the stream comes after them."""

    count: int
    reason: str


class LiveSource(Protocol):
    """Audio that comes when it comes; iterate over it once, in a thread of its own.

    Attributes:
        name: The source as the user should see it in messages and results.
        warnings: What is wrong with the audio although it could be heard; complete after the iteration.
    """

    name: str
    warnings: list[str]

    def __iter__(self) -> Iterator[Samples | Lost]:
        """Samples as they come, shape (n,), mono float32 at 16 kHz, which do not change afterwards.

        Raises:
            AudioError: The source failed; all that was heard before has been given.
        """

    def stop(self) -> None:
        """End the iteration after what was heard up to now; from any thread, or a signal handler."""

    def close(self) -> None:
        """Let go of the device or the file; safe to call twice, once nobody iterates any more."""
