"""Pictures: bars on a terminal, files by matplotlib."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

from asrctl.bench import plot
from asrctl.bench.compare import compare
from asrctl.bench.results import Result, Row
from asrctl.errors import UsageError


def rtf(figures: Mapping[str, Mapping[str, float]], rounds: int = 1) -> Result:
    """A result of `bench rtf` with these rows."""
    return Result("rtf", [Row(name, {}, [dict(each)] * rounds) for name, each in figures.items()])


def start(name: str, load_s: float) -> Row:
    """Cold starts that differ in one part."""
    parts = {"interpreter_s": 0.1, "imports_s": 0.1, "load_s": load_s, "warm_up_s": 0.2}
    return Row(name, {}, [{**parts, "ready_s": sum(parts.values())}])


def late(sessions: int, p95_s: float) -> Row:
    """Live sessions."""
    return Row(f"tiny {sessions}", {"sessions": sessions}, [{"final_p95_s": p95_s, "word_lag_p95_s": 2.0}])


def text_of(path: Path) -> str:
    """What is written in an SVG file, which must be one."""
    return "\n".join(ElementTree.fromstring(path.read_text(encoding="utf-8")).itertext())


def test_bars_are_as_long_as_what_they_show(capsys: pytest.CaptureFixture[str]) -> None:
    """Four times the speed is a bar four times as long; each has its name and figure."""
    plot.draw(plot.TERMINAL, rtf({"fast": {"rtf": 0.1}, "[slow]": {"rtf": 0.4}}))
    captured = capsys.readouterr()
    assert captured.out == ""
    fast, slow = captured.err.splitlines()
    assert fast.startswith("fast") and fast.endswith("10.0 x real time")
    assert slow.startswith("[slow]") and "2.5 x real time" in slow
    assert fast.count("█") == 4 * slow.count("█") > 0


def test_parts_of_a_cold_start_follow_each_other() -> None:
    """Each begins where the one before ends; what was not measured is left out."""
    bars = list(plot.bars_of(Result("coldstart", [start("warm", 0.4)])))
    assert [bar.name for bar in bars] == [f"warm: {part}" for part in plot.PARTS]
    assert [bar.start for bar in bars[1:]] == [bar.end for bar in bars[:-1]]
    assert bars[-1].end == pytest.approx(0.8)
    assert list(plot.bars_of(Result("coldstart", [Row("none", {}, [{"ready_s": 1.0}])]))) == []


def test_latencies_have_a_bar_each() -> None:
    """Those that were measured."""
    bars = list(plot.bars_of(Result("stream", [late(1, 0.5), late(10, 1.9)])))
    assert [bar.name for bar in bars] == [
        *("1 sessions, final", "1 sessions, word lag", "10 sessions, final", "10 sessions, word lag")
    ]
    assert bars[2].end == 1.9 and bars[2].figure == "1.90 s (p95)"


def test_ratios_are_drawn_as_their_intervals() -> None:
    """What has no ratio has no bar."""
    before = rtf({"tiny": {"rtf": 1.0, "dropped_s": 0.0}}, rounds=7)
    after = rtf({"tiny": {"rtf": 1.25, "dropped_s": 1.0}}, rounds=7)
    (bar,) = plot.bars_of(compare(before, after))
    assert bar.name == "tiny: rtf" and bar.start <= 1.25 <= bar.end and "25.0% more" in bar.figure


@pytest.mark.parametrize(
    ("result", "texts"),
    [
        (
            rtf({"a <b> $x$": {"rtf": 0.1, "wer_percent": 5.0}, "without": {"rtf": 0.1}}),
            ["a <b> $x$", "speed"],
        ),
        (Result("coldstart", [start("warm", 0.2)]), ["warm: load", "0.200 s", "seconds until ready"]),
        (Result("stream", [late(1, 0.5), late(10, 1.9)]), ["final", "word lag", "live sessions at once"]),
    ],
)
def test_files_name_what_they_show(result: Result, texts: list[str], tmp_path: Path) -> None:
    """As text, however the names are spelled; rows without word errors are left out of speed and errors."""
    path = tmp_path / "plot.svg"
    plot.draw(str(path), result)
    found = text_of(path)
    assert all(text in found for text in texts)
    assert "without" not in found


def test_nothing_to_draw_is_told(tmp_path: Path) -> None:
    """Rather than an empty picture."""
    for result in (rtf({"without word errors": {"rtf": 0.1}}), Result("stream", [])):
        with pytest.raises(UsageError, match="nothing to draw"):
            plot.draw(str(tmp_path / "plot.svg"), result)


@pytest.mark.parametrize("suffix", plot.FORMATS)
def test_every_format_is_written(suffix: str, tmp_path: Path) -> None:
    """Also for a comparison."""
    path = tmp_path / f"plot{suffix}"
    one = rtf({"tiny": {"rtf": 1.0}}, rounds=7)
    plot.check(str(path))
    plot.draw(str(path), compare(one, one))
    assert path.stat().st_size > 1000


def test_what_cannot_be_drawn_is_told_before_the_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another kind of file, or no matplotlib; the terminal needs neither."""
    with pytest.raises(UsageError, match=re.escape(".svg, .png, .pdf")):
        plot.check("plot.docx")
    monkeypatch.setattr(plot, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install 'asrctl\[plot\]'"):
        plot.check("plot.svg")
    plot.check(plot.TERMINAL)
    plot.check(None)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """In one line."""
    with pytest.raises(UsageError, match=r"plot\.svg: No such file"):
        plot.draw(str(tmp_path / "none" / "plot.svg"), rtf({"tiny": {"rtf": 1.0, "wer_percent": 1.0}}))
