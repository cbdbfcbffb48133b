"""What the benchmarks of batches work out from what they measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.batch import differing, share_of_ideal
from benchmarks.batch_simulation import Costs, efficiency, lengths

FREE = Costs(decode=0.1, read=0.0, task=0.0, piece=0.0, submit=0.0, write=0.0, load=0.0)


def run(*written_s: float, lost_s: float = 0.0) -> dict[str, Any]:
    """When each result was written, and a node lost."""
    return {"written_s": list(written_s), "lost_s": lost_s}


@pytest.mark.parametrize(("wait_s", "share"), [(0.0, 1.0), (10.0, 0.75)])
def test_the_ideal_is_that_of_the_nodes_that_live(wait_s: float, share: float) -> None:
    """Two files a second until one of two is lost, then one; what waits afterwards counts against it."""
    two, one = run(*(0.5 * n for n in range(11))), run(*map(float, range(11)))
    before, after = [0.5 * n for n in range(21)], [10.0 + wait_s + n for n in range(1, 11)]
    assert share_of_ideal(run(*before, *after, lost_s=10.0), two, one) == pytest.approx(share)


def test_what_differs_is_named(tmp_path: Path) -> None:
    """Another text, or none."""
    for name, texts in {"one": {"a": "x", "b": "y", "c": "z"}, "other": {"a": "x", "b": "Y"}}.items():
        (tmp_path / name).mkdir()
        for file, text in texts.items():
            (tmp_path / name / file).write_text(text)
    assert differing(tmp_path / "one", tmp_path / "other") == ["b", "c"]


def test_nothing_is_lost_where_nothing_costs_anything() -> None:
    """Equal recordings keep as many slots busy; a single one does if it is cut, else one slot works."""
    assert efficiency([60.0] * 4, 4, FREE) == pytest.approx(1.0)
    assert efficiency([2400.0], 4, FREE) == pytest.approx(1.0)
    assert efficiency([2400.0], 4, FREE, cut=False) == pytest.approx(0.25)


def test_costs_count() -> None:
    """One submitting process is a bound: half a second for a task that decodes for six fills twelve slots."""
    slow = Costs(decode=0.1, read=0.0, task=0.0, piece=0.0, submit=0.5, write=0.0, load=0.0)
    assert efficiency([60.0] * 2400, 12, slow) > 0.9
    assert efficiency([60.0] * 2400, 24, slow) == pytest.approx(0.5, abs=0.02)


def test_lengths_are_those_that_are_said() -> None:
    """So many recordings, of so many hours, the same each time."""
    assert sum(lengths(100, 10.0)) == pytest.approx(36_000)
    assert len(lengths(100, 10.0)) == 100 and lengths(100, 10.0) == lengths(100, 10.0)
