"""What the bench of faults judges by; the bench itself needs a machine to itself."""

from __future__ import annotations

from benchmarks.faults.floods import ALL, Flooded
from benchmarks.faults.vitals import Vitals


def test_kinds_have_names_of_their_own() -> None:
    """A figure belongs to one kind; and there are many of those who keep no rule."""
    assert len({kind.name for kind in ALL}) == len(ALL)
    assert sum(not kind.greedy for kind in ALL) >= 64


def test_what_is_a_broken_promise() -> None:
    """Each of them is found, and nothing else."""
    good = Flooded("x", late_s=0.9, before=Vitals(60, 12), during=Vitals(119, 80), after=Vitals(69, 12))
    assert not good.broken
    for name, value in {
        "late_s": 1.1,
        "during": Vitals(121, 80),
        "after": Vitals(71, 12),
        "left": ["silent"],
        "faults": ["ValueError"],
    }.items():
        bad = Flooded("x", late_s=0.9, before=Vitals(60, 12), during=Vitals(119, 80), after=Vitals(69, 12))
        setattr(bad, name, value)
        assert len(bad.broken) == 1
    bad.late_s = None
    assert len(bad.broken) == 2
