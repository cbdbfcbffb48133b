"""Two results of the same benchmark: what differs, and what cannot be told from noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

from asrctl.bench.results import AT_S, Result, Row, busy_notes
from asrctl.bench.stats import CONFIDENCE, MIN_ROUNDS, Ratio, ratio
from asrctl.errors import UsageError

_NOT_COMPARED = frozenset({AT_S, "busy_share", "disk_mb", "utterances", "partials_per_utterance"})
"""Circumstances, not achievements."""
NO_DIFFERENCE = "no difference seen"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric of one row on both sides; of all of them, less is better.

    Attributes:
        row: Its name.
        metric: Its name.
        before: Median of A.
        after: Median of B.
        ratio: B over A; None where one of the two is 0.
    """

    row: str
    metric: str
    before: float
    after: float
    ratio: Ratio | None

    @property
    def verdict(self) -> str:
        """In words."""
        if self.ratio is None:
            return NO_DIFFERENCE if self.before == self.after else f"was {self.before:.3g}"
        if self.ratio.rounds < MIN_ROUNDS:
            return f"too few rounds to tell: {self.ratio.rounds} of {MIN_ROUNDS}"
        if not self.ratio.differs:
            return NO_DIFFERENCE
        return f"{abs(self.ratio.value - 1):.1%} {'more' if self.ratio.value > 1 else 'less'}"


def compare(before: Result, after: Result, seed: int = 0) -> list[Comparison]:
    """Every metric that both have.

    Rounds that took turns are compared in pairs, so that what comes and goes on the machine does not count;
    the more there is to compare, the less likely each must be by chance.

    Raises:
        UsageError: They measured different things.
    """
    if before.bench != after.bench:
        raise UsageError(f"one is of `bench {before.bench}`, the other of `bench {after.bench}`")
    pairs = _pairs(before.rows, after.rows)
    found = [each for first, second in pairs for each in _row(first, second, seed)]
    if not found:
        raise UsageError("the two have nothing in common that could be compared")
    return found


def caveats(before: Result, after: Result) -> list[str]:
    """Why the two may differ for other reasons than the one of interest."""
    found = []
    if before.audio != after.audio:
        found.append("the two decoded different audio")
    for part in ("cpu", "memory"):
        if before.machine.get(part) != after.machine.get(part):
            found.append("the two ran on different machines, or on one that was set up differently")
            break
    enough = [pair for pair in _pairs(before.rows, after.rows) if len(pair[0].rounds) >= MIN_ROUNDS]
    if enough and not any(take_turns(*pair) for pair in enough):
        found.append("the two did not take turns: what changed on the machine between them counts too")
    for name, result in (("A", before), ("B", after)):
        found += [f"{name}: {note}" for note in busy_notes(result)]
    return found


def _pairs(before: Sequence[Row], after: Sequence[Row]) -> Iterator[tuple[Row, Row]]:
    """Rows of one name; where each side has a single row, these two."""
    if len(before) == len(after) == 1:
        yield before[0], after[0]
        return
    others = {row.name: row for row in after}
    for row in before:
        if row.name in others:
            yield row, others[row.name]


def take_turns(before: Row, after: Row) -> bool:
    """Whether the rounds of the two were measured in turns: A B A B, or A B B A, and so on."""
    first, second = before.values(AT_S), after.values(AT_S)
    if not len(first) == len(second) == len(before.rounds) == len(after.rounds):
        return False
    turns = sorted([(at_s, "A") for at_s in first] + [(at_s, "B") for at_s in second])
    neighbours = zip(turns[::2], turns[1::2], strict=True)
    return all({one, other} == {"A", "B"} for (_, one), (_, other) in neighbours)


def _row(before: Row, after: Row, seed: int) -> Iterator[Comparison]:
    name = before.name if before.name == after.name else f"{before.name} -> {after.name}"
    shared = [metric for metric in before.figures if metric not in _NOT_COMPARED and metric in after.figures]
    paired = take_turns(before, after)
    before, after = (_in_order(row) if paired else row for row in (before, after))
    for metric in shared:
        first, second = before.values(metric), after.values(metric)
        found = None
        if min(*first, *second) > 0:  # a ratio to or of zero says nothing
            pairs = paired and len(first) == len(second) == len(before.rounds)
            found = ratio(first, second, seed, paired=pairs, confidence=1 - (1 - CONFIDENCE) / len(shared))
        yield Comparison(name, metric, median(first), median(second), found)


def _in_order(row: Row) -> Row:
    return replace(row, rounds=sorted(row.rounds, key=lambda each: each[AT_S]))
