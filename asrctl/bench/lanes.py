"""Figures side by side, in an SVG file, a lane for each: parts of a cold start, or ratios of two results."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from asrctl.bench.compare import Comparison
from asrctl.bench.results import Result, Row
from asrctl.bench.svg import (
    BLUE,
    BOTTOM,
    GREEN,
    GREY,
    RED,
    TOP,
    WIDTH,
    Axis,
    from_zero,
    legend,
    sheet,
    text,
    upright,
)

PARTS = {"interpreter": "interpreter_s", "imports": "imports_s", "load": "load_s", "warm-up": "warm_up_s"}
"""What a cold start is made of, in this order."""
_PART_COLOURS = dict(zip(PARTS, (GREY, BLUE, GREEN, RED), strict=True))
_LANE_PX = 26
_LETTER_PX = 6.5
"""Of the 11 pixel letters, the wider ones."""
_LEAST_REACH = math.log(1.1)
"""Smaller changes do not fill the picture."""


def stacks_of(result: Result) -> str:
    """The rows of `bench coldstart` as SVG text: the parts one after the other."""
    told = [f"{row.figures['ready_s']:.3f} s until ready" for row in result.rows]
    left, right = _sides([row.name for row in result.rows], told)
    axis = from_zero([sum(parts_of(row).values()) for row in result.rows], left, right)
    height = _height(len(result.rows))
    parts = [line for value in axis.ticks() for line in upright(axis.px(value), height, f"{value:.3g} s")]
    for index, (row, words) in enumerate(zip(result.rows, told, strict=True)):
        y = _middle(index)
        parts += [text(left - 10, y + 4, row.name, anchor="end"), *_stack(row, axis, y)]
        parts.append(text(right + 10, y + 4, words))
    return sheet("Cold start", height, [*parts, *legend(_PART_COLOURS)])


def intervals_of(found: Sequence[Comparison]) -> str:
    """The lines of `bench compare` as SVG text: B over A with its interval, on a logarithmic scale."""
    names, told = [name_of(each) for each in found], [told_of(each) for each in found]
    (left, right), reach, height = _sides(names, told), reach_of(found), _height(len(found))
    axis = Axis(-reach, reach, left, right, reach / 3)
    ratios = {axis.px(value): math.exp(value) for value in axis.ticks()}
    parts = [line for x, ratio in ratios.items() for line in upright(x, height, f"{ratio:.3g}")]
    for index, (each, name, words) in enumerate(zip(found, names, told, strict=True)):
        y = _middle(index)
        parts += [text(left - 10, y + 4, name, anchor="end"), *_interval(each, axis, y)]
        parts.append(text(right + 10, y + 4, words))
    return sheet("B / A: less is better", height, parts)


def parts_of(row: Row) -> dict[str, float]:
    """The seconds of each part of a cold start that was measured."""
    return {name: row.figures[metric] for name, metric in PARTS.items() if metric in row.figures}


def name_of(found: Comparison) -> str:
    """What is compared."""
    return f"{found.row}: {found.metric}"


def told_of(found: Comparison) -> str:
    """What stands beside the interval."""
    return f"{found.ratio.value:.3f}, {found.verdict}" if found.ratio else found.verdict


def reach_of(found: Sequence[Comparison]) -> float:
    """Half the width of a scale that has all intervals, with 1 in the middle: a logarithm."""
    ratios = [each.ratio for each in found if each.ratio]
    marks = [mark for ratio in ratios for mark in (ratio.low, ratio.value, ratio.high)]
    return max([_LEAST_REACH, *(abs(math.log(mark)) for mark in marks)])


def _stack(row: Row, axis: Axis, y: float) -> Iterator[str]:
    end_s = 0.0
    for name, seconds in parts_of(row).items():
        x, end_s = axis.px(end_s), end_s + seconds
        place = f'x="{x:.1f}" y="{y - 8:.1f}" width="{axis.px(end_s) - x:.1f}" height="16"'
        title = f"<title>{name}: {seconds:.3f} s</title>"
        yield f'<rect {place} fill="{_PART_COLOURS[name]}">{title}</rect>'


def _interval(found: Comparison, axis: Axis, y: float) -> Iterator[str]:
    if (ratio := found.ratio) is None:
        return
    colour = (RED if ratio.value > 1 else GREEN) if ratio.differs else GREY
    low, middle, high = (axis.px(math.log(each)) for each in (ratio.low, ratio.value, ratio.high))
    yield f'<line x1="{low:.1f}" y1="{y}" x2="{high:.1f}" y2="{y}" stroke="{colour}" stroke-width="3"/>'
    title = f"<title>{escape(name_of(found))}: {ratio.low:.3f} to {ratio.high:.3f}</title>"
    yield f'<circle cx="{middle:.1f}" cy="{y}" r="5" fill="{colour}">{title}</circle>'


def _sides(names: Sequence[str], told: Sequence[str]) -> tuple[float, float]:
    """Where the lanes begin and end, between their names and what is told of them."""
    before, after = (_LETTER_PX * max(map(len, each), default=0) for each in (names, told))
    return 20 + min(before, WIDTH / 2), WIDTH - 20 - after


def _height(lanes: int) -> int:
    return TOP + _LANE_PX * lanes + BOTTOM


def _middle(index: int) -> float:
    return TOP + _LANE_PX * (index + 0.5)
