"""Figures as points in a plane, in an SVG file: word errors over speed, or latencies over sessions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from asrctl.bench.results import Result, Row
from asrctl.bench.svg import (
    BLUE,
    BOTTOM,
    GREEN,
    GREY,
    RED,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    from_zero,
    legend,
    sheet,
    text,
    upright,
)
from asrctl.errors import UsageError

LEFT, HEIGHT = 70, 600
_COLOURS = {
    "asrctl": GREEN,
    "whisper_cpp": GREEN,
    "whisper.cpp": RED,
    "faster-whisper": BLUE,
    "faster_whisper": BLUE,
    "whisper-cli": RED,
    "final": GREEN,
    "word lag": BLUE,
    "first partial": RED,
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
    across = from_zero([point.across for point in points], LEFT, WIDTH - RIGHT)
    up = from_zero([point.up for point in points], HEIGHT - BOTTOM, TOP)
    sides = {side: _colour(side) for side in sorted({point.side for point in points})}
    parts = [*_grid(across, up, labels or Labels()), *_marks(points, across, up), *legend(sides)]
    return sheet(title, HEIGHT, parts)


def _grid(across: Axis, up: Axis, labels: Labels) -> Iterator[str]:
    for value in across.ticks():
        yield from upright(across.px(value), HEIGHT, f"{value:g}")
    for value in up.ticks():
        y = up.px(value)
        yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#e4e4e4"/>'
        yield text(LEFT - 8, y + 4, f"{value:.3g}", anchor="end")
    yield text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 18, labels.across, anchor="middle", size=13)
    yield text(LEFT - 50, TOP - 12, labels.up, size=13)


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
        yield text(x + offset, label_y + 4, point.name, anchor=anchor, colour=colour)


def _free(x: float, y: float, taken: Sequence[tuple[float, float]]) -> float:
    """A height near the point where no earlier label of about that place is."""
    for step in range(40):
        for direction in (-1, 1):
            height = y + direction * step * _LINE_PX
            inside = TOP < height < HEIGHT - BOTTOM
            if inside and all(abs(height - other) >= _LINE_PX or abs(x - at) > 230 for at, other in taken):
                return height
    return y


def _colour(side: str) -> str:
    return _COLOURS.get(side, GREY)
