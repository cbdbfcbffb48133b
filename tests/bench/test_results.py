"""Documents: written, read back, compared."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from asrctl.bench import bars, lanes
from asrctl.bench.bars import bars_of
from asrctl.bench.compare import NO_DIFFERENCE, caveats, compare, take_turns
from asrctl.bench.lanes import stacks_of
from asrctl.bench.plane import plot_of
from asrctl.bench.results import AT_S, Result, Row, as_json, busy_notes, read
from asrctl.bench.table import comparison_table, result_table
from asrctl.errors import UsageError


def result(rtf: Sequence[float], name: str = "tiny", **more: float) -> Result:
    """A result with one row."""
    row = Row(name, {"provider": "whisper_cpp"}, [{"rtf": value, **more} for value in rtf])
    return Result("rtf", [row], {"name": "talk.wav"}, {"cpu": {"model": "a processor"}})


def test_a_document_is_read_back(tmp_path: Path) -> None:
    """What `--json` prints is what `compare` reads; medians and noise are in it."""
    before = result([0.1, 0.3, 0.2])
    path = tmp_path / "a.json"
    path.write_text(json.dumps(as_json(before)))
    document = json.loads(path.read_text())
    assert document["schema"] == 1
    assert document["rows"][0]["figures"] == {"rtf": 0.2}
    assert document["rows"][0]["noise"]["rtf"] == pytest.approx(0.74, abs=0.01)
    assert "numpy" in document["versions"]
    assert read(path) == before


def test_runs_that_were_appended_are_one_result(tmp_path: Path) -> None:
    """So that two versions can take turns, a round each."""
    path = tmp_path / "a.json"
    runs = [json.dumps(as_json(result([value])), indent=2) for value in (0.1, 0.3, 0.2)]
    path.write_text("\n".join(runs) + "\n")
    assert read(path) == result([0.1, 0.3, 0.2])
    path.write_text(runs[0] + json.dumps(as_json(Result("stream", []))))
    with pytest.raises(UsageError, match=r"a\.json: its runs measured different things"):
        read(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("{", "not what"),
        ("[]", "not what"),
        ('{"schema": 1}', "not what"),
        ('{"schema": 1, "rows": [{"name": "a", "setup": {}, "rounds": [{"rtf": "fast"}]}]}', "not what"),
        ('{"schema": 2}', "schema 2"),
    ],
)
def test_other_files_are_refused(text: str, says: str, tmp_path: Path) -> None:
    """In one line that names the file."""
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=rf"other.json.*{says}"):
        read(path)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    """As the system says it."""
    with pytest.raises(UsageError, match="No such file"):
        read(tmp_path / "none.json")


def test_noise_takes_three_rounds() -> None:
    """Two cannot say how far rounds lie apart."""
    assert result([1.0, 2.0]).rows[0].noise == {}


def test_what_differs_is_said_with_its_size() -> None:
    """And what does not is said not to."""
    before = result([1.00, 1.01, 0.99, 1.0, 1.0, 1.0, 1.0], peak_rss_mb=200.0)
    after = result([1.10, 1.11, 1.09, 1.1, 1.1, 1.1, 1.1], peak_rss_mb=200.0)
    slower, memory = compare(before, after)
    assert (slower.metric, slower.verdict) == ("rtf", "10.0% more")
    assert memory.verdict == NO_DIFFERENCE
    assert compare(after, before)[0].verdict == "9.1% less"
    assert "10.0% more" in comparison_table([slower, memory])


def timed(pairs: Sequence[tuple[float, float]]) -> Result:
    """A result whose rounds began at these seconds, and had these figures."""
    return Result("rtf", [Row("tiny", {}, [{AT_S: at_s, "rtf": value} for at_s, value in pairs])])


def test_rounds_that_took_turns_are_compared_in_pairs() -> None:
    """A B B A: what the machine did meanwhile falls out; when they began is no figure itself."""
    pace = [1.0, 3.0, 0.5, 2.0, 1.5, 0.7, 1.1, 2.5]
    before = timed([(4.0 * n + (0 if n % 2 else 1), each) for n, each in enumerate(pace)])
    after = timed([(4.0 * n + (1 if n % 2 else 0), 1.1 * each) for n, each in enumerate(pace)])
    assert take_turns(before.rows[0], after.rows[0])
    (found,) = compare(before, after)
    assert found.ratio is not None and found.ratio.paired
    assert found.verdict == "10.0% more"
    assert AT_S not in as_json(before)["rows"][0]["figures"]
    assert AT_S in as_json(before)["rows"][0]["rounds"][0]


def test_the_order_of_appended_runs_does_not_matter() -> None:
    """Pairs are made by time, not by place."""
    rounds = [(float(2 * n), 1.0 + n) for n in range(8)]
    others = [(at_s + 1, value) for at_s, value in rounds]
    (found,) = compare(timed(rounds[::-1]), timed(others))
    assert found.ratio is not None and found.ratio.paired and found.ratio.value == 1.0


def test_one_after_the_other_is_not_in_turns() -> None:
    """Nor are sides of different length, or those of which nobody knows when they were."""
    one, two = timed([(float(n), 1.0) for n in range(8)]), timed([(8.0 + n, 1.0) for n in range(8)])
    assert not take_turns(one.rows[0], two.rows[0])
    assert not take_turns(one.rows[0], timed([(0.5, 1.0)]).rows[0])
    assert not take_turns(result([1.0]).rows[0], result([1.0]).rows[0])


def test_too_few_rounds_are_said_to_be_too_few() -> None:
    """Rather than that there is no difference."""
    assert "too few rounds" in compare(result([1.0]), result([2.0]))[0].verdict


def test_zero_has_no_ratio() -> None:
    """What was 0 and is not any more is said so; what stays 0 is no difference."""
    none, some = result([1.0] * 5, dropped_s=0.0), result([1.0] * 5, dropped_s=2.0)
    assert compare(none, some)[1].verdict == "was 0"
    assert compare(none, none)[1].verdict == NO_DIFFERENCE
    assert "was 0" in comparison_table(compare(none, some))


def test_rows_are_matched_by_name() -> None:
    """Unless there is only one on each side, which may have been renamed."""
    one, two = result([1.0] * 5, "one").rows[0], result([1.0] * 5, "two").rows[0]
    both = Result("rtf", [one, two])
    assert [found.row for found in compare(both, Result("rtf", [two, one]))] == ["one", "two"]
    assert [found.row for found in compare(both, Result("rtf", [two]))] == ["two"]
    assert [found.row for found in compare(Result("rtf", [one]), Result("rtf", [two]))] == ["one -> two"]
    with pytest.raises(UsageError, match="nothing in common"):
        compare(both, Result("rtf", []))


def test_different_benchmarks_are_not_compared() -> None:
    """Their metrics may share a name and mean something else."""
    with pytest.raises(UsageError, match=r"bench rtf.*bench stream"):
        compare(result([1.0]), Result("stream", []))


def test_circumstances_are_told() -> None:
    """Other audio, another machine, and a machine that was busy."""
    before = result([1.0], busy_share=0.6)
    after = Result("rtf", before.rows, {"name": "other.wav"}, {"cpu": {"model": "another"}})
    found = caveats(before, after)
    assert any("different audio" in line for line in found)
    assert any("different machines" in line for line in found)
    assert any("A: others used 60%" in line for line in found)
    assert caveats(result([1.0]), result([1.0])) == []
    (turns,) = caveats(result([1.0] * 7), result([1.0] * 7))
    assert "did not take turns" in turns
    assert (
        caveats(timed([(2.0 * n, 1.0) for n in range(7)]), timed([(2.0 * n + 1, 1.0) for n in range(7)]))
        == []
    )
    assert not busy_notes(result([1.0], busy_share=0.1))


def test_tables_show_medians_and_gaps() -> None:
    """A figure that could not be measured is a dash, not a zero."""
    line = result_table(result([0.1, 0.2, 0.3], cpu_per_audio_s=0.5)).splitlines()[1]
    assert line.split()[:3] == ["tiny", "5.0", "0.2000"]
    assert "0.500" in line
    assert "-/-" in line


def late(sessions: int, p95_s: float) -> Row:
    """Live sessions."""
    return Row(
        f"tiny {sessions} sessions", {"sessions": sessions}, [{"final_p95_s": p95_s, "word_lag_p95_s": 2.0}]
    )


def test_latencies_are_drawn_over_sessions() -> None:
    """Each that was measured, at its number of sessions."""
    svg = plot_of(Result("stream", [late(1, 0.5), late(10, 1.9)], {"name": "talk.wav"}))
    assert "1: final 0.50 s" in svg and "10: final 1.90 s" in svg and "10: word lag 2.00 s" in svg
    assert "sessions at once" in svg and "first partial" not in svg


def test_nothing_to_draw_is_told() -> None:
    """Rather than an empty picture."""
    with pytest.raises(UsageError, match="nothing to draw"):
        plot_of(Result("rtf", [result([0.1]).rows[0]], {"name": "talk.wav"}))


def test_bars_are_as_long_as_what_they_show() -> None:
    """The longest is the most; each says its figure."""
    fast, slow = bars_of(
        Result("rtf", [result([0.1], "fast").rows[0], result([0.4], "slow").rows[0]])
    ).splitlines()
    assert fast.startswith("fast") and "10.0 x real time" in fast and "2.5 x real time" in slow
    assert fast.count("█") == 4 * slow.count("█") == 48
    lines = bars_of(Result("stream", [late(4, 0.5)])).splitlines()
    assert lines[0].startswith("4 sessions, final") and len(lines) == 2
    assert bars_of(Result("rtf", [])) == ""


def start(name: str, load_s: float) -> Row:
    """Cold starts that differ in one part."""
    parts = {"interpreter_s": 0.1, "imports_s": 0.1, "load_s": load_s, "warm_up_s": 0.2}
    return Row(name, {}, [{**parts, "ready_s": sum(parts.values())}])


def test_a_cold_start_is_drawn_in_its_parts() -> None:
    """One after the other, to one scale: what takes twice as long is twice as wide."""
    found = Result("coldstart", [start("warm", 0.2), start("cold", 0.8)])
    warm, cold, shades = bars_of(found).splitlines()
    assert cold.count("▓") == 4 * warm.count("▓") == 32
    assert cold.count("█") == warm.count("█") == 8
    assert "0.600 s until ready" in warm and "▓ load" in shades
    svg = stacks_of(found)
    widths = [float(width) for width in re.findall(r'width="([\d.]+)" height="16"', svg)]
    warm_px, cold_px = widths[:4], widths[4:]
    assert cold_px[2] == pytest.approx(4 * warm_px[2], abs=0.2)
    assert cold_px[:2] + cold_px[3:] == pytest.approx(warm_px[:2] + warm_px[3:], abs=0.2)
    assert "load: 0.800 s" in svg and "1.200 s until ready" in svg


def test_ratios_are_drawn_with_their_intervals() -> None:
    """On a scale with 1 in the middle; what has no ratio has its verdict alone."""
    rounds = [1.00, 1.01, 0.99, 1.0, 1.0, 1.0, 1.0]
    before = result(rounds, peak_rss_mb=200.0, dropped_s=0.0)
    found = compare(before, result([1.25 * each for each in rounds], peak_rss_mb=200.0, dropped_s=1.0))
    scale, slower, memory, dropped = bars.intervals_of(found).splitlines()
    one = scale.rindex("1 ")
    assert slower.index("●") > one == memory.index("●") == dropped.index("│")
    assert "─" in slower and "25.0% more" in slower
    assert "─" not in memory and "no difference seen" in memory
    assert "●" not in dropped and dropped.endswith("was 0")
    svg = lanes.intervals_of(found)
    assert svg.count("<circle") == 2 and "tiny: dropped_s" in svg
    slower_px, memory_px = (float(x) for x in re.findall(r'<circle cx="([\d.]+)"', svg))
    assert f'<line x1="{memory_px}" y1="50"' in svg  # that of 1
    assert slower_px > memory_px


def test_names_are_no_markup() -> None:
    """In whatever a picture says."""
    found = compare(result([1.0] * 7, "<a> & b"), result([1.0] * 7, "<a> & b"))
    for svg in (lanes.intervals_of(found), stacks_of(Result("coldstart", [start("<a> & b", 0.1)]))):
        assert "".join(ElementTree.fromstring(svg).itertext()).count("<a> & b") >= 1


def test_the_plot_has_every_row_with_word_errors() -> None:
    """Rows without are left out."""
    row = result([0.1], "with errors", wer_percent=5.0).rows[0]
    svg = plot_of(Result("rtf", [row, result([0.1], "without").rows[0]], {"name": "talk.wav"}))
    assert svg.startswith("<svg")
    assert "with errors" in svg
    assert "without" not in svg
