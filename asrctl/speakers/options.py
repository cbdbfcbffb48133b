"""What is known of the speakers before anything is heard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from asrctl.errors import UsageError

MOST_SPEAKERS = 100


@dataclass(frozen=True, slots=True)
class SpeakerOptions:
    """Whom to tell apart by voice.

    Attributes:
        most: How many there are at most; None if unknown.
        samples: A file with the voice of each known speaker, by name; others are numbered.
        at_once: Whether speakers of live audio shall be known in each pause, for clients whose labels cannot
            be corrected; it takes more of the processor.
    """

    most: int | None = None
    samples: Mapping[str, str] = field(default_factory=dict)
    at_once: bool = False

    def __post_init__(self) -> None:
        """Raises UsageError for a number that makes no sense."""
        if self.most is not None and not 1 <= self.most <= MOST_SPEAKERS:
            raise UsageError(f"there can be 1 to {MOST_SPEAKERS} speakers, not {self.most}")


def by_voice_of(diarize: bool | int, has_tracks: bool) -> SpeakerOptions | None:
    """Whom `diarize` asks to be told apart by voice: nobody, all, or at most so many.

    Raises:
        UsageError: The number makes no sense, or the speakers are on tracks.
    """
    if diarize is False:
        return None
    if has_tracks:
        raise UsageError("speakers on tracks are known: diarize takes a recording as a whole")
    return SpeakerOptions(None if diarize is True else diarize)
