"""Text and times made fit for any format: one line, whole milliseconds."""

from __future__ import annotations

import math

_CONTROLS = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), " ")


def one_line(text: str) -> str:
    """The text on one line: line breaks, tabs, control characters and runs of spaces become one space."""
    return " ".join(text.translate(_CONTROLS).split())


def milliseconds(time_s: float) -> int:
    """A time in whole milliseconds; what is negative or not a number becomes 0."""
    return round(time_s * 1000) if math.isfinite(time_s) and time_s > 0 else 0


def name_before(speaker: str) -> str:
    """What goes before a speaker's words in plain text; nothing if the speaker is unknown."""
    name = one_line(speaker)
    return f"{name}: " if name else ""
