"""What the pictures share: the sheet, its scales, its grid, its letters, and whose colour is whose."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 960
RIGHT, TOP, BOTTOM = 20, 50, 60
GREEN, RED, BLUE, GREY = "#0a7d4f", "#b4452c", "#2d5fa8", "#666666"


@dataclass(frozen=True, slots=True)
class Axis:
    """A linear scale from values to pixels.

    Attributes:
        low: Value at the first pixel.
        high: Value at the last.
        first_px: Where it begins.
        last_px: Where it ends.
        step: Distance of the ticks.
    """

    low: float
    high: float
    first_px: float
    last_px: float
    step: float

    def px(self, value: float) -> float:
        """The pixel of a value."""
        share = (value - self.low) / (self.high - self.low)
        return self.first_px + share * (self.last_px - self.first_px)

    def ticks(self) -> Iterator[float]:
        """The values to mark."""
        for index in range(round((self.high - self.low) / self.step) + 1):
            yield self.low + index * self.step


def from_zero(values: Sequence[float], first_px: float, last_px: float) -> Axis:
    """From zero to just over the greatest value, with about ten ticks of 1, 2 or 5 times a power of ten."""
    highest = max(values, default=1.0) or 1.0
    rough = highest / 10
    power = 10 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= rough)
    return Axis(0.0, (math.floor(highest / step) + 1) * step, first_px, last_px, step)


def sheet(title: str, height: int, parts: Iterable[str]) -> str:
    """A whole document, white, with a title."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        text(20, 24, title, size=15),
        *parts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def upright(x: float, height: int, label: str) -> Iterator[str]:
    """A line of the grid for a value across, which stands below it."""
    yield f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{height - BOTTOM}" stroke="#e4e4e4"/>'
    yield text(x, height - BOTTOM + 16, label, anchor="middle")


def legend(colours: Mapping[str, str]) -> Iterator[str]:
    """Names beside dots of their colours, at the upper right."""
    for index, (name, colour) in enumerate(colours.items()):
        x = WIDTH - RIGHT - 130 * (len(colours) - index)
        yield f'<circle cx="{x}" cy="20" r="5" fill="{colour}"/>'
        yield text(x + 10, 24, name)


def text(
    x: float, y: float, words: str, *, anchor: str = "start", size: int = 11, colour: str = "#222222"
) -> str:
    """Words at a place."""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}"'
    return f"<text {place}>{escape(words)}</text>"
