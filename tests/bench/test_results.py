"""Documents: written, read back, compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from asrctl.bench.compare import NO_DIFFERENCE, caveats, compare, take_turns
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
