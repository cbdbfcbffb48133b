"""Items of several sources come in the order of time, and none waits for ever."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from asrctl.policy.merging import Merger


def test_an_item_waits_for_earlier_ones() -> None:
    """Until it is known that none comes."""
    merger = Merger[str](10.0, 100)
    merger.push(5.0, 0.0, "later")
    assert merger.due(4.0, 1.0) == []
    merger.push(3.0, 1.0, "earlier")
    assert merger.due(4.0, 1.0) == ["earlier"]
    assert merger.due(5.1, 1.0) == ["later"]


def test_waiting_has_an_end() -> None:
    """What is earlier goes with what has waited long enough."""
    merger = Merger[str](10.0, 100)
    merger.push(5.0, 0.0, "b")
    merger.push(4.0, 9.0, "a")
    merger.push(6.0, 9.0, "c")
    assert merger.due(0.0, 9.9) == []
    assert merger.due(0.0, 10.0) == ["a", "b"]
    assert merger.due(math.inf, 10.0) == ["c"]


@given(st.lists(st.floats(0, 100)), st.integers(0, 5))
def test_no_more_is_held_than_may_be(times: list[float], most: int) -> None:
    """The earliest go; all come out, each once."""
    merger, found = Merger[float](10.0, most), list[float]()
    for at_s in times:
        merger.push(at_s, 0.0, at_s)
        found += merger.due(0.0, 0.0)
        assert merger.due(0.0, 0.0) == []
    rest = merger.due(math.inf, 0.0)
    assert len(rest) <= most and rest == sorted(rest)
    assert sorted(found + rest) == sorted(times)
