"""What the bench of faults judges by, and that it ends; the bench itself needs a machine to itself."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.faults import good, processes
from benchmarks.faults.floods import ALL, Flooded
from benchmarks.faults.liars import LIARS, Lied, done_at_once, lied_to
from benchmarks.faults.processes import Harmed
from benchmarks.faults.vitals import Vitals
from benchmarks.serve_process import ServerProcess
from tests.client.clients import run


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


def test_what_a_liar_must_not_reach() -> None:
    """The client must not hang, go on for ever, believe it, fail of its own, or lose audio."""
    good = Lied("x", 15, 1.0, "gave up", fed_samples=1000, kept_samples=900, answered_samples=100)
    assert not good.broken
    for bad in (
        replace(good, end="still running"),
        replace(good, links=16),
        replace(good, end="done"),
        replace(good, end="the client failed: oops"),
        replace(good, kept_samples=899),
    ):
        assert len(bad.broken) == 1


def test_a_liar() -> None:
    """One of them, against the client as it is."""
    lied = run(lied_to(done_at_once))
    assert (lied.links, lied.broken) == (1, [])
    assert 0 < lied.fed_samples == lied.kept_samples
    assert len({lie.__name__ for lie in LIARS}) == len(LIARS) >= 20


def test_what_a_fault_of_a_process_must_not_cost() -> None:
    """No session, no word, no memory and no descriptor; what is declared dropped is said."""
    good = Harmed("x", 3, survived=3, before=Vitals(60, 12), after=Vitals(69, 12), dropped_s=1.0)
    assert not good.broken
    for name, value in {
        "survived": 2,
        "lost": 1,
        "after": Vitals(71, 12),
        "errors": ["x"],
    }.items():
        bad = replace(good)
        setattr(bad, name, value)
        assert len(bad.broken) == 1
    good.after = Vitals(60, 13)
    assert len(good.broken) == 1


def test_a_session_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bench waits for no session without a bound: it says so, and ends the process."""
    monkeypatch.setattr(good, "_END_S", 0.05)
    monkeypatch.setattr(good, "_EXIT_S", 0.05)
    session = good.GoodSession("")
    session._command = [sys.executable, "-c", "import time; time.sleep(60)"]
    began_s = time.monotonic()
    with session:
        assert session.finish()["error"] == "no end in time"
    assert time.monotonic() - began_s < 30


def test_groups_for_which_no_time_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The long form begins no group once its time is over, and says how many sessions were left out."""
    monkeypatch.setattr(processes, "harm", lambda name, act, server, urls: Harmed(name, 2, survived=2))
    server = ServerProcess()
    for within_s, names in ((60.0, 3), (-1.0, 0)):
        found = processes.crowd(server, Path(), 1, ["ws://x"] * 5, 2, within_s)
        assert sum(not row.broken for row in found) == names
    assert found[-1].broken == ["5 sessions ended"]
