"""The table of promises."""

from __future__ import annotations

import pytest

from asrctl.bench.promises import check
from asrctl.bench.table import promise_table

KEPT = {
    "ready_ms": 499.0,
    "speed": 2.0,
    "peak_rss_mb": 300.0,
    "dropped_s": 0.0,
    "undeclared_s": 0.0,
    "max_sessions": 10,
    "max_attempts": 15,
}


def test_all_promises_can_be_kept() -> None:
    """At their bounds."""
    found = check(KEPT)
    assert len(found) == 6
    assert all(promise.kept for promise in found)
    assert "BROKEN" not in promise_table(found)


@pytest.mark.parametrize(
    ("figure", "value"),
    [
        ("ready_ms", 500.0),
        ("speed", 1.99),
        ("peak_rss_mb", 300.5),
        ("undeclared_s", 0.1),
        ("max_sessions", 11),
        ("max_attempts", 16),
    ],
)
def test_each_can_be_broken(figure: str, value: float) -> None:
    """Beyond its bound, and no other with it."""
    found = check({**KEPT, figure: value})
    assert [promise.kept for promise in found].count(False) == 1
    assert promise_table(found).count("BROKEN") == 1


def test_declared_drops_are_within_the_promise() -> None:
    """It is that nothing is lost in silence."""
    assert all(promise.kept for promise in check({**KEPT, "dropped_s": 3.0}))


def test_what_was_not_measured_is_not_kept_either() -> None:
    """It is said that it was not measured."""
    found = check({})
    assert all(promise.kept is None and promise.found == "not measured" for promise in found)
