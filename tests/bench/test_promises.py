"""The promises, and the program that checks them."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrctl.bench.results import Row
from benchmarks import promises
from benchmarks.promises import check, figures
from tests.streaming.speech import LevelDetector

KEPT = {
    "ready_ms": 499.0,
    "speed": 2.0,
    "peak_rss_mb": 300.0,
    "dropped_s": 0.0,
    "undeclared_s": 0.0,
    "let_in": 10,
    "attempts": 15,
}


def test_all_promises_can_be_kept() -> None:
    """At their bounds."""
    found = check(KEPT)
    assert len(found) == 6
    assert all(promise.kept for promise in found)


@pytest.mark.parametrize(
    ("figure", "value"),
    [
        ("ready_ms", 500.0),
        ("speed", 1.99),
        ("peak_rss_mb", 300.5),
        ("undeclared_s", 0.1),
        ("let_in", 11),
        ("attempts", 16),
        ("let_in", 0),
    ],
)
def test_each_can_be_broken(figure: str, value: float) -> None:
    """Beyond its bound, and no other with it."""
    found = check({**KEPT, figure: value})
    assert [promise.kept for promise in found].count(False) == 1


def test_declared_drops_are_within_the_promise() -> None:
    """It is that nothing is lost in silence."""
    assert all(promise.kept for promise in check({**KEPT, "dropped_s": 3.0}))


def test_figures_are_of_all_that_was_measured() -> None:
    """Memory is the most of all; what a server dropped counts with the rest."""
    rounds = {
        "start": {"ready_s": 0.4},
        "speed": {"rtf": 0.1, "peak_rss_mb": 210.0},
        "live": {"peak_rss_mb": 220.0, "dropped_s": 1.0, "undeclared_s": 0.0},
        "server": {"let_in": 10.0, "peak_rss_mb": 250.0, "dropped_s": 0.5, "undeclared_s": 0.25},
        "client": {"attempts": 15.0},
    }
    rows = [Row(name, {}, [each]) for name, each in rounds.items()]
    found = figures(rows)
    assert found["ready_ms"] == 400.0 and found["speed"] == 10.0
    assert (found["peak_rss_mb"], found["dropped_s"], found["undeclared_s"]) == (250.0, 1.5, 0.25)
    assert (found["let_in"], found["attempts"]) == (10.0, 15.0)


def test_what_was_not_measured_is_not_kept_either() -> None:
    """It is said that it was not measured."""
    found = check({})
    assert all(promise.kept is None and promise.found == "not measured" for promise in found)


def test_everything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each promise is held against a figure; the exit code says whether any is broken."""
    pytest.importorskip("starlette")
    (here := tmp_path / "here").mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr("asrctl.audio.vad.SileroVad", lambda _weights: LevelDetector())
    monkeypatch.setattr(promises, "BUILTIN_S", 1.0)
    (script := tmp_path / "script.json").write_text("{}")
    code = promises.main(["--provider", "scripted", "--model", str(script), "--rounds", "1"])
    lines = capsys.readouterr().out.splitlines()[2:]
    assert len(lines) == 6 and not any("not measured" in line for line in lines)
    assert any("10 let in" in line for line in lines) and any("gave up after 15" in line for line in lines)
    assert code == int(any("BROKEN" in line for line in lines))
    assert not list(here.iterdir())  # those that were refused keep nothing
