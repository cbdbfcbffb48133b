"""What every output format looks like from outside."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

from asrctl.render.options import RenderOptions
from asrctl.transcript import Segment, Transcript


class Sink(Protocol):
    """Where a writer's text goes: a file, standard output, a `StringIO`."""

    def write(self, text: str, /) -> object:
        """Take a piece of text that is complete in itself: whole lines, whole cues."""


class Writer(ABC):
    """Turns the segments of one input into a format, as they come.

    Call `segment` as soon as a segment is final, in order of time, then `finish` once, also when the
    input was cut short: what was written is then valid and holds all the segments that there were.
    """

    needs_words: ClassVar[bool] = False
    """Whether the format is better with word times, even if the user did not ask for them."""

    def __init__(self, sink: Sink, options: RenderOptions | None = None) -> None:
        self._sink = sink
        self._options = options or RenderOptions()

    @property
    def warnings(self) -> list[str]:
        """What could not be written as it was asked for, one line each; complete after `finish`."""
        return []

    @abstractmethod
    def segment(self, segment: Segment) -> None:
        """Write a segment that will not change any more."""

    @abstractmethod
    def finish(self, transcript: Transcript) -> None:
        """Write what the format closes with. `transcript` holds the segments already given."""
