"""The diarization error rate: how much of what is said is given to nobody, to the wrong one, or was not said.

As NIST defines it (Rich Transcription evaluation plan, 2009): speakers of the two sides are mapped one to one
so that they agree for as long as possible; overlapping speech is scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from asrctl.policy.turns import Turn


@dataclass(frozen=True, slots=True)
class DiarizationErrors:
    """Seconds that are wrong, and of speech that is scored; overlapping speech counts for each speaker."""

    speech_s: float
    missed_s: float
    false_s: float
    confused_s: float

    @property
    def rate(self) -> float:
        """The diarization error rate, a share of the speech; it may exceed 1."""
        return (self.missed_s + self.false_s + self.confused_s) / self.speech_s if self.speech_s else 0.0


def diarization_errors(
    reference: Sequence[Turn], found: Sequence[Turn], collar_s: float = 0.0
) -> DiarizationErrors:
    """Compare two accounts of who spoke when.

    Args:
        reference: What is so.
        found: What was found; names need not be the same.
        collar_s: On each side of where a turn of the reference begins or ends, this long is not scored.
    """
    edges = [edge for turn in reference for edge in (turn.start_s, turn.end_s)]
    pieces = _pieces([*reference, *found], [(edge - collar_s, edge + collar_s) for edge in edges])
    shares: dict[tuple[str, str], float] = {}
    counted: list[tuple[float, set[str], set[str]]] = []
    for start_s, end_s in pieces:
        said, heard = _speakers(reference, start_s, end_s), _speakers(found, start_s, end_s)
        counted.append((end_s - start_s, said, heard))
        for a in said:
            for b in heard:
                shares[a, b] = shares.get((a, b), 0.0) + end_s - start_s
    mapping = _best_mapping(shares)
    speech_s = missed_s = false_s = confused_s = 0.0
    for length_s, said, heard in counted:
        right = sum(mapping.get(each) in heard for each in said)
        speech_s += length_s * len(said)
        missed_s += length_s * max(0, len(said) - len(heard))
        false_s += length_s * max(0, len(heard) - len(said))
        confused_s += length_s * (min(len(said), len(heard)) - right)
    return DiarizationErrors(speech_s, missed_s, false_s, confused_s)


def _pieces(turns: Sequence[Turn], unscored: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Stretches in which nothing changes, without those that are not scored."""
    cuts = sorted({*(edge for turn in turns for edge in (turn.start_s, turn.end_s)), *sum(unscored, ())})
    pieces = pairwise(cuts)
    return [
        (start_s, end_s)
        for start_s, end_s in pieces
        if not any(low <= start_s and end_s <= high for low, high in unscored)
    ]


def _speakers(turns: Sequence[Turn], start_s: float, end_s: float) -> set[str]:
    return {turn.speaker for turn in turns if turn.start_s <= start_s and end_s <= turn.end_s}


def _best_mapping(shares: dict[tuple[str, str], float]) -> dict[str, str]:
    """The one-to-one mapping of speakers that shares most time (scipy's Hungarian method)."""
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    rows, columns = sorted({a for a, _ in shares}), sorted({b for _, b in shares})
    table = np.array([[shares.get((a, b), 0.0) for b in columns] for a in rows]).reshape(
        len(rows), len(columns)
    )
    return {rows[a]: columns[b] for a, b in zip(*linear_sum_assignment(-table), strict=True)}
