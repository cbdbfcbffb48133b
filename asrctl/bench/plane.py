"""Figures as points in a plane, in an SVG file: word errors over speed, or latencies over sessions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from asrctl.bench.results import Result, Row
from asrctl.errors import UsageError

WIDTH, HEIGHT = 960, 600
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 50, 60
_GREEN, _RED, _BLUE = "#0a7d4f", "#b4452c", "#2d5fa8"
_COLOURS = {
    "asrctl": _GREEN,
    "whisper_cpp": _GREEN,
    "whisper.cpp": _RED,
    "faster-whisper": _BLUE,
    "faster_whisper": _BLUE,
    "whisper-cli": _RED,
    "final": _GREEN,
    "word lag": _BLUE,
    "first partial": _RED,
}
_LINE_PX = 13


@dataclass(frozen=True, slots=True)
class Point:
    """A contestant in the plane: its side decides the colour."""

    name: str
    side: str
    across: float
    up: float


@dataclass(frozen=True, slots=True)
class Labels:
    """What the two axes are."""

    across: str = "speed, x real time"
    up: str = "word error rate, %"


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


def plot_of(result: Result) -> str:
    """The rows of `bench rtf` or `bench stream` as SVG text.

    Raises:
        UsageError: There is nothing to draw: of `bench rtf`, no reference was given.
    """
    if result.bench == "stream":
        points, labels = list(_late(result.rows)), Labels("sessions at once", "95th percentile, seconds")
        title = f"Latency of live sessions: {result.audio['name']}"
    else:
        points, labels = list(_accurate(result.rows)), Labels()
        title = f"Speed and word errors: {result.audio['name']}"
    if not points:
        raise UsageError("there is nothing to draw")
    return draw(points, title, labels)


def _accurate(rows: Sequence[Row]) -> Iterator[Point]:
    for row in rows:
        if "wer_percent" in row.figures:
            provider = str(row.setup["provider"])
            yield Point(row.name, provider, 1 / row.figures["rtf"], row.figures["wer_percent"])


def _late(rows: Sequence[Row]) -> Iterator[Point]:
    for row in rows:
        for side, metric in LATENCIES.items():
            if metric in row.figures:
                name = f"{row.setup['sessions']}: {side} {row.figures[metric]:.2f} s"
                yield Point(name, side, float(row.setup["sessions"]), row.figures[metric])


LATENCIES = {"final": "final_p95_s", "word lag": "word_lag_p95_s", "first partial": "first_partial_p95_s"}
"""What people wait for in a live session."""


def draw(points: Sequence[Point], title: str, labels: Labels | None = None) -> str:
    """The picture as SVG text."""
    across = _axis([point.across for point in points], LEFT, WIDTH - RIGHT)
    up = _axis([point.up for point in points], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(LEFT, 24, title, size=15),
        *_grid(across, up, labels or Labels()),
        *_marks(points, across, up),
        *_legend(sorted({point.side for point in points})),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _axis(values: Sequence[float], first_px: float, last_px: float) -> Axis:
    """From zero to just over the greatest value, with about ten ticks of 1, 2 or 5 times a power of ten."""
    highest = max(values, default=1.0) or 1.0
    rough = highest / 10
    power = 10 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= rough)
    return Axis(0.0, (math.floor(highest / step) + 1) * step, first_px, last_px, step)


def _grid(across: Axis, up: Axis, labels: Labels) -> Iterator[str]:
    for value in across.ticks():
        x = across.px(value)
        yield f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}" stroke="#e4e4e4"/>'
        yield _text(x, HEIGHT - BOTTOM + 16, f"{value:g}", anchor="middle")
    for value in up.ticks():
        y = up.px(value)
        yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#e4e4e4"/>'
        yield _text(LEFT - 8, y + 4, f"{value:.3g}", anchor="end")
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 18, labels.across, anchor="middle", size=13)
    yield _text(LEFT - 50, TOP - 12, labels.up, size=13)


def _marks(points: Sequence[Point], across: Axis, up: Axis) -> Iterator[str]:
    taken: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda point: point.up):
        x, y, colour = across.px(point.across), up.px(point.up), _colour(point.side)
        name = f"<title>{escape(point.name)}</title>"
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}">{name}</circle>'
        label_y = _free(x, y, taken)
        taken.append((x, label_y))
        ends = f'x1="{x:.1f}" y1="{y:.1f}" x2="{x:.1f}" y2="{label_y:.1f}"'
        yield f'<line {ends} stroke="{colour}" opacity="0.3"/>'
        offset, anchor = (-8, "end") if x > WIDTH - 260 else (8, "start")
        yield _text(x + offset, label_y + 4, point.name, anchor=anchor, colour=colour)


def _free(x: float, y: float, taken: Sequence[tuple[float, float]]) -> float:
    """A height near the point where no earlier label of about that place is."""
    for step in range(40):
        for direction in (-1, 1):
            height = y + direction * step * _LINE_PX
            inside = TOP < height < HEIGHT - BOTTOM
            if inside and all(abs(height - other) >= _LINE_PX or abs(x - at) > 230 for at, other in taken):
                return height
    return y


def _legend(sides: Sequence[str]) -> Iterator[str]:
    for index, side in enumerate(sides):
        x = WIDTH - RIGHT - 130 * (len(sides) - index)
        yield f'<circle cx="{x}" cy="20" r="5" fill="{_colour(side)}"/>'
        yield _text(x + 10, 24, side)


def _colour(side: str) -> str:
    return _COLOURS.get(side, "#666666")


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 11, colour: str = "#222222"
) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}"'
    return f"<text {place}>{escape(text)}</text>"
