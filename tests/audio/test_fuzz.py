"""Damaged files by chance: benchmarks/fuzz_audio.py in short."""

from __future__ import annotations

from collections import Counter

from benchmarks.fuzz_audio import FORMATS, MAX_INPUT_S, outcomes


def test_damaged_files_end_in_samples_or_in_one_line() -> None:
    """28 inputs of seven formats: no crash, no traceback, no hang; most still give something."""
    counts: Counter[str] = Counter()
    for outcome in outcomes(4 * len(FORMATS), seed=20):
        counts[outcome.kind] += 1
        assert outcome.took_s < MAX_INPUT_S, outcome
        assert bool(outcome.message) == (outcome.kind != "read"), outcome
    assert counts.total() == 28
    assert counts["read"] + counts["warned"] > counts["refused"] > 0
