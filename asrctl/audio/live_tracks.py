"""Several live sources as the tracks of one recording, in step."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from asrctl.audio.live import LiveSource, Lost
from asrctl.transcript import Samples

if TYPE_CHECKING:
    Part = Samples | Lost

_NOTHING = Lost(0, "")
_AHEAD = 4
"""Chunks that one source may be ahead of the others; further ones wait in the device's own queue."""


@dataclass(frozen=True, slots=True)
class Step:
    """The next part of each track: samples, or a gap; none of one that has ended, else all of one length."""

    parts: tuple[Part, ...]

    def __len__(self) -> int:
        """Samples of all tracks together."""
        return sum(map(length_of, self.parts))

    def samples(self) -> list[Samples]:
        """Of each track; gaps are silent."""
        import numpy as np

        return [np.zeros(part.count, np.float32) if isinstance(part, Lost) else part for part in self.parts]


def length_of(part: Part) -> int:
    """Samples of a part."""
    return part.count if isinstance(part, Lost) else len(part)


class LiveTracks:
    """A live source of steps; what one source gives before the others waits for them.

    The clocks of devices are taken to be the same: where one is faster, its audio comes later and later,
    until the device's own queue is full and declares a loss.
    """

    def __init__(self, openers: Mapping[str, Callable[[], LiveSource]]) -> None:
        """Open sources, by their speakers' names; if one fails, all are closed.

        Raises:
            AudioError: One cannot be opened.
        """
        self._sources: dict[str, LiveSource] = {}
        with ExitStack() as opened:
            for speaker, opener in openers.items():
                self._sources[speaker] = source = opener()
                opened.callback(source.close)
            opened.pop_all()
        self.speakers = (*self._sources,)
        """Who is on each track."""
        self.name = ", ".join(source.name for source in self._sources.values())
        self.warnings: list[str] = []
        self._queues: list[queue.Queue[Part | None]] = [queue.Queue(_AHEAD) for _ in self._sources]
        self._failure: Exception | None = None

    def __iter__(self) -> Iterator[Step]:
        """Steps as they come.

        Raises:
            AudioError: A source failed; all ended then, and what was heard has been given.
        """
        for source, track in zip(self._sources.values(), self._queues, strict=True):
            threading.Thread(target=self._read, args=(source, track), name="track", daemon=True).start()
        heads: list[Part | None] = [_NOTHING] * len(self._queues)
        while True:
            heads = [
                track.get() if head is not None and not length_of(head) else head
                for head, track in zip(heads, self._queues, strict=True)
            ]
            lengths = [length_of(head) for head in heads if head is not None]
            if not lengths:
                break
            cuts = [_cut(_NOTHING if head is None else head, min(lengths)) for head in heads]
            yield Step(tuple(part for part, _ in cuts))
            heads = [None if head is None else rest for head, (_, rest) in zip(heads, cuts, strict=True)]
        for speaker, source in self._sources.items():
            self.warnings += [f"{speaker}: {line}" for line in source.warnings]
        if self._failure is not None:
            raise self._failure

    def _read(self, source: LiveSource, track: queue.Queue[Part | None]) -> None:
        try:
            for item in source:
                if length_of(item):
                    track.put(item)
        except Exception as error:  # told when the others have ended
            self._failure = self._failure or error
            self.stop()
        track.put(None)

    def stop(self) -> None:
        """End all sources after what was heard up to now."""
        for source in self._sources.values():
            source.stop()

    def close(self) -> None:
        """Close all sources."""
        for source in self._sources.values():
            source.close()


def _cut(part: Part, length: int) -> tuple[Part, Part]:
    """The beginning of a part, and the rest."""
    if isinstance(part, Lost):
        count = min(length, part.count)
        return replace(part, count=count), replace(part, count=part.count - count)
    return part[:length], part[length:]
