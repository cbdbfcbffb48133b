"""How far a run over several inputs is, in words: for its progress, its interruption and its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

REPORT_S = 30.0
"""Where no bar can be drawn, a line says so often how far it is."""
_NAMES_SHOWN = 3
"""Inputs that are named one by one where there are many."""


class Tally:
    """Counts inputs and seconds of audio.

    Attributes:
        failed: Inputs that could not be read or transcribed.
        done: Inputs that are finished with, those that failed among them.
        at_s: How far each input under way is transcribed, by its index.
    """

    def __init__(
        self, inputs: Sequence[str], skipped: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start the clock.

        Args:
            inputs: Paths, or "-".
            skipped: Further inputs that were left out, since their transcripts exist; None where it was not
                looked for transcripts.
            clock: Seconds.
        """
        self.failed = 0
        self.done = 0
        self.at_s: dict[int, float] = {}
        self._names = ["standard input" if name == "-" else Path(name).name for name in inputs]
        self._skipped = skipped or 0
        self._skipping = skipped is not None
        self._waiting = dict.fromkeys(range(len(inputs)))
        self._finished_s = 0.0
        self._clock = clock
        self._started_s = clock()

    def begin(self, index: int) -> None:
        """This input is being opened."""
        del self._waiting[index]
        self.at_s[index] = 0.0

    def end(self, index: int, *, failed: bool) -> None:
        """This input is finished with."""
        self._finished_s += self.at_s.pop(index)
        self.done += 1
        self.failed += failed

    @property
    def several(self) -> bool:
        """Whether there is more than one input, those that were left out among them."""
        return len(self._names) + self._skipped > 1

    @property
    def audio_s(self) -> float:
        """Audio transcribed so far."""
        return self._finished_s + sum(self.at_s.values())

    def progress(self) -> str:
        """How far it is, in one line for a log."""
        return "; ".join([*self._counts(), *self._under_way(), self._speed()])

    def interrupted(self) -> str:
        """What is done, how far the current inputs got, and what was not begun."""
        parts = [*self._counts(), *self._under_way()]
        if missing := [self._names[index] for index in self._waiting]:
            parts.append("not begun: " + ", ".join(_first(missing)))
        return "; ".join(parts)

    def how_to_go_on(self, outputs: Sequence[Path | None]) -> str:
        """Where the text of the current inputs is, and what does the rest; `outputs` are all files."""
        if None in outputs:
            return ""
        kept = self.partial_text(outputs)
        if not self.several:
            return f"{kept}; the same command begins it again"
        command = "the same command" if self._skipping else "the same command with --skip-existing"
        current = [self._names[index] for index in self.at_s]
        again = f"begins {', '.join(_first(current))} anew and " if current else ""
        return f"{kept}; {command} {again}goes on"

    def partial_text(self, outputs: Sequence[Path | None]) -> str:
        """Where the text of the current inputs is, if it is in parts."""
        from asrctl.render.parts import left_of

        files = [path for index in self.at_s if (path := outputs[index]) is not None]
        parts = [str(part) for path in files for part in left_of(path)]
        return f"; partial text: {', '.join(_first(parts))}" if parts else ""

    def summary(self) -> str:
        """What became of all inputs."""
        parts = [f"{self.done - self.failed} of {len(self._names)} inputs transcribed"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self._skipped:
            parts.append(f"{self._skipped} skipped, whose transcripts exist")
        speed = [self._speed()] if self.failed < self.done else []
        return "; ".join([", ".join(parts), *speed])

    def _counts(self) -> list[str]:
        skipped = f" ({self._skipped} more skipped)" if self._skipped else ""
        if len(self._names) == 1 or not (self.done or self.failed):
            return []
        return [f"{self.done} of {len(self._names)} inputs done{skipped}"]

    def _under_way(self) -> list[str]:
        return _first([f"{self._names[index]} {_how_far(at_s)}" for index, at_s in self.at_s.items()])

    def _speed(self) -> str:
        wall_s = self._clock() - self._started_s
        speed = self.audio_s / wall_s if wall_s > 0 else 0.0
        return f"{_time(self.audio_s)} of audio in {_time(wall_s)}, {speed:.1f} x real time"


def _how_far(at_s: float) -> str:
    """Of an input that is decoded in one piece, or elsewhere, nothing else is known until it is done."""
    return f"up to {at_s:.1f} s" if round(at_s, 1) else "begun"


def _first(parts: list[str]) -> list[str]:
    """The first few, the last of which says how many more there are."""
    more = len(parts) - _NAMES_SHOWN
    return parts if more <= 0 else [*parts[: _NAMES_SHOWN - 1], f"{parts[_NAMES_SHOWN - 1]} and {more} more"]


def _time(seconds: float) -> str:
    """Like 1:02:03, or 2:03 under an hour, or 3.4 s under a minute."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
