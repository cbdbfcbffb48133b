"""RESULTS.md is made from the results, and from nothing else."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

from benchmarks import common, report

FIELDS = {"command", "date", "commit", "machine", "tables", "data"}


def test_the_page_is_what_the_command_writes() -> None:
    """`python -m benchmarks.report` was run after the last result was kept."""
    assert report.PAGE.read_text(encoding="utf-8") == report.page()
    assert report.main(["--check"]) == 0


@pytest.mark.parametrize("path", sorted(common.RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_every_result_says_how_it_was_made(path: Path) -> None:
    """By a command that is here, on which day and machine, from which commit, with a table at least."""
    result = json.loads(path.read_text(encoding="utf-8"))
    assert result.keys() == FIELDS
    module = re.match(r"python -m (benchmarks\.\w+)", result["command"])
    assert module and importlib.util.find_spec(module[1])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", result["date"]) and re.match(r"[0-9a-f]{7}", result["commit"])
    assert result["machine"]["processor"] and result["machine"]["logical_cores"]
    assert result["tables"]
    for table in result["tables"]:
        assert table["rows"] and all(len(row) == len(table["header"]) for row in table["rows"])


def test_every_result_has_its_section() -> None:
    """And every section its result: one that is gone leaves no title behind."""
    named = [name for titles in report.SECTIONS.values() for name in titles]
    assert sorted(named) == sorted(path.stem for path in common.RESULTS.glob("*.json"))


def test_what_is_saved_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its circumstances, also where nobody gave it a section; one without the other is out of date."""
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    about = {"processor": "P", "logical_cores": 3, "measured_at": "2026-01-02T03:04:05+00:00"}
    found = common.table(["name", "s"], [["one", 12.34], ["two", None]], "Both")
    common.save("new_one", {"machine": about, "raw": [1]}, found)
    text = report.page(tmp_path)
    assert "## More" in text and "### new_one" in text and "Both:" in text
    assert "2026-01-02, commit " in text and "3 cores of P" in text
    assert "| one  | 12.3 |" in text and "| two  |    - |" in text
    monkeypatch.setattr(report, "PAGE", tmp_path / "RESULTS.md")
    report.PAGE.write_text("old", encoding="utf-8")
    assert report.main(["--check"]) == 1
    assert report.main([]) == report.main(["--check"]) == 0
