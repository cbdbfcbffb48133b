"""The cluster benchmark in short: a real HAProxy, real servers, real faults, and every word once."""

from __future__ import annotations

import numpy as np
import pytest

from asrctl.bench.paced import Talk
from asrctl.protocol.messages import Final
from benchmarks import cluster
from benchmarks.balancer import program
from benchmarks.cluster_nodes import plan
from benchmarks.serve_sessions import Listened

SHORT = (
    "--sessions 12 --at-once 6 --seconds 5 --max-sessions 4 --kills 2 --drains 1 --additions 1 --drain-s 2"
)


@pytest.mark.skipif(program() is None, reason="needs haproxy")
def test_no_word_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """Twelve sessions over three servers, two of which are killed, one drained, and one added meanwhile."""
    assert cluster.main(SHORT.split()) == 0
    printed = capsys.readouterr().out
    figures = dict(
        tuple(map(str.strip, line.split("|")[1:3])) for line in printed.splitlines() if "|" in line
    )
    assert int(figures["words said"]) > 100
    assert (figures["words lost"], figures["words doubled"]) == ("0", "0")
    assert (figures["words changed"], figures["sessions with every word once"]) == ("0", "12")
    assert figures["accounts balanced, nothing dropped"] == "12"
    assert (figures["kill"], figures["drain"], figures["addition"]) == ("2", "1", "1")


def test_a_plan_is_that_of_its_seed() -> None:
    """It has what was asked for, in order of time, and is another one for another seed."""
    planned = plan(3, 2, 1, 100.0, seed=1)
    assert sorted(each.kind for each in planned) == ["addition", "drain", "drain", "kill", "kill", "kill"]
    assert [each.at_s for each in planned] == sorted(each.at_s for each in planned)
    assert planned[0].at_s >= 5.0 and planned[-1].at_s <= 90.0
    assert plan(3, 2, 1, 100.0, seed=1) == planned != plan(3, 2, 1, 100.0, seed=2)


def test_what_is_missing_is_counted() -> None:
    """A word that was not heard, one that was heard twice, and an order that is wrong are told apart."""
    said = Talk(np.zeros(16_000, np.float32), "w1 w2 w3")

    def judged(text: str) -> tuple[int, int, int]:
        final = Final(0, 0.0, 1.0, text, 1.0, 0, 16_000)
        found = cluster.verdict(cluster.Journey(Listened(said, events=[(0.0, final)])), cluster.exactly)
        assert not found.balances
        return found.lost, found.doubled, found.changed

    assert judged("w1 w2 w3") == (0, 0, 0)
    assert judged("w1 w3") == (1, 0, 0)
    assert judged("w1 w2 w2 w3") == (0, 1, 0)
    assert judged("w2 w1 w3") == (0, 0, 2)
