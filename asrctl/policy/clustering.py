"""Whose voice: local speakers of windows become speakers of the whole, by the distances of their embeddings.

A window names its speakers anew; within a window they are different people. As windows come, `assign` gives
each local speaker to the nearest known one or opens a new one. At the end `agglomerate` groups all again,
when what comes later is known too.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

Distances = Sequence[Sequence[float]]
"""Cosine distances, 0 (the same) to 2: a row for each local speaker."""

UNKNOWN = -1
_APART = 2.0
"""What two voices of one window are from each other: as far as can be."""


@dataclass(frozen=True, slots=True)
class ClusteringOptions:
    """When two voices are one.

    Attributes:
        speakers: How many there are at most; None if unknown.
        join: A voice nearer than this to a known one is that one, as windows come.
        merge: Groups nearer than this on average are one, at the end.
        opening_s: A voice that was heard for less opens no new speaker, as windows come.
        lasting_s: A voice that was heard for less opens no group, at the end.
    """

    speakers: int | None = None
    join: float = 0.6
    merge: float = 0.6
    opening_s: float = 1.0
    lasting_s: float = 1.5

    def has_room(self, known: int) -> bool:
        """Whether there may be one more than `known` speakers."""
        return self.speakers is None or known < self.speakers


def assign(
    distances: Distances, heard_s: Sequence[float], known: int, options: ClusteringOptions
) -> list[int]:
    """Give each local speaker of one window a speaker of its own, as far as there may be so many.

    Args:
        distances: From each local speaker to each known one.
        heard_s: For how long each local speaker was heard alone.
        known: How many are known; new ones are numbered from there.
        options: When two voices are one.

    Returns:
        The speakers' numbers; `UNKNOWN` for a voice that was heard for too little where all known are taken.
    """
    pairs = sorted(
        (far, row, column) for row, each in enumerate(distances) for column, far in enumerate(each)
    )
    found: dict[int, int] = {}
    for far, row, column in pairs:
        if far < options.join and row not in found and column not in found.values():
            found[row] = column
    opened = known
    for row in sorted(range(len(distances)), key=lambda row: -heard_s[row]):
        if row not in found and heard_s[row] >= options.opening_s and options.has_room(opened):
            found[row] = opened
            opened += 1
    for _, row, column in pairs:  # what is left goes to the nearest, however far
        if row not in found and column not in found.values():
            found[row] = column
    if not options.has_room(opened):  # more voices than people: one person was taken for two
        for _, row, column in pairs:
            found.setdefault(row, column)
        for row in range(len(distances)):  # in the first window there are no distances
            found.setdefault(row, opened - 1)
    return [found.get(row, UNKNOWN) for row in range(len(distances))]


def agglomerate(
    distances: Iterable[Iterable[float]],
    weights: Sequence[float],
    windows: Sequence[int],
    options: ClusteringOptions,
) -> list[int]:
    """Group local speakers of all windows by average linkage.

    Two of one window are as far from each other as can be; where all else says that they are one speaker,
    they are, since segmentation errs too. With a number of speakers given, groups are merged until there are
    no more than that; else while they are nearer than `merge`.

    Args:
        distances: Between all of them, symmetric.
        weights: How much each counts in averages, such as the seconds it was heard.
        windows: Which window each is of.
        options: When two voices are one.

    Returns:
        A group for each, numbered from 0 in the order of their first members.
    """
    groups = _Groups(distances, weights, windows)
    limit = 2.0 if options.speakers is not None else options.merge
    while len(groups.members) > (options.speakers or 1) and groups.merge_nearest(limit):
        pass
    numbered = sorted(groups.members.values(), key=min)
    number = {member: index for index, members in enumerate(numbered) for member in members}
    return [number[member] for member in range(len(weights))]


class _Groups:
    """Distances never get shorter by merging, so what was nearest once is no farther than what is: it is
    looked for again only when it would be merged (Müllner 2011, arXiv:1109.2378)."""

    def __init__(
        self, distances: Iterable[Iterable[float]], weights: Sequence[float], windows: Sequence[int]
    ) -> None:
        self.members = {index: [index] for index in range(len(weights))}
        self._weights = [*weights]
        self._far = [
            array("f", (_APART if windows[other] == window else far for other, far in enumerate(row)))
            for window, row in zip(windows, distances, strict=True)
        ]
        for index, row in enumerate(self._far):
            row[index] = inf
        self._heap = [self._nearest(index) for index in self.members]
        heapq.heapify(self._heap)

    def _nearest(self, index: int) -> tuple[float, int, int]:
        row = self._far[index]
        far = min(row)
        return far, index, row.index(far)

    def merge_nearest(self, limit: float) -> bool:
        """Merge the nearest two groups; False if none that may be merged are within the limit."""
        while self._heap and self._heap[0][0] <= limit:
            far, a, b = heapq.heappop(self._heap)
            if a in self.members and self._far[a][b] == far:
                self._merge(a, b)
                return True
            if a in self.members:
                heapq.heappush(self._heap, self._nearest(a))
        return False

    def _merge(self, a: int, b: int) -> None:
        weight_a, weight_b = self._weights[a], self._weights[b]
        total = self._weights[a] = weight_a + weight_b
        far_a, far_b = self._far[a], self._far[b]
        for other in self.members:
            far_a[other] = (weight_a * far_a[other] + weight_b * far_b[other]) / total
            self._far[other][a], self._far[other][b] = far_a[other], inf
        self.members[a] += self.members.pop(b)
        far_a[a] = far_a[b] = inf
        heapq.heappush(self._heap, self._nearest(a))
