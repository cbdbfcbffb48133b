"""asrctl/server/OPERATING.md says what is so."""

from __future__ import annotations

import ast
import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

import asrctl
from asrctl.cli.deploy import shipped
from asrctl.policy.admission import AdmissionOptions
from asrctl.policy.ladder import MEASURES, Level
from asrctl.policy.priority import Source
from asrctl.settings import Settings, flat

from ..cli.commands import run
from .servers import Running

PACKAGE = Path(asrctl.__file__).parent
PAGE = files("asrctl.server").joinpath("OPERATING.md").read_text(encoding="utf-8")
RESULTS = PACKAGE.parent / "benchmarks" / "results"
SETTINGS = flat(Settings())
CORES = 2
"""Of the machine that the sizes come from."""
KINDS = ("clean", "report")


def section(title: str) -> str:
    """The text below a heading."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """The cells of the tables of a section, without headers and rules."""
    found = re.findall(r"^\| (.+) \|$", section(title), re.MULTILINE)
    return [[cell.strip() for cell in row.split("|")] for row in found]


def test_settings_exist() -> None:
    """Each name in a section, and each variable."""
    named = re.findall(r"`((?:serve|ladder)\.\w+)`", PAGE)
    named += [name.lower().replace("__", ".") for name in re.findall(r"`ASRCTL_(\w+__\w+)", PAGE)]
    assert len(named) > 20
    assert set(named) <= set(SETTINGS)


def test_defaults_are_as_stated() -> None:
    """In the table, and in brackets behind a name."""
    stated = [(row[0].strip("`"), row[1]) for row in rows("Limits") if row[0].startswith("`serve.")]
    stated += re.findall(r"`((?:serve|ladder)\.\w+)` \(([\d.]+)\)", PAGE)
    assert len(stated) >= 15
    assert {(name, str(SETTINGS[name])) for name, _ in stated} == set(stated)


def test_metrics_exist(shared: Running) -> None:
    """Under the names that a server shows."""
    there: set[str] = set()
    for family in text_string_to_metric_families(shared.get("/metrics")[1]):
        there |= {family.name, *(sample.name for sample in family.samples)}
    named = set(re.findall(r"`(asrctl_\w+)`", PAGE))
    assert len(named) > 12 and named <= there


def test_every_alert_has_advice() -> None:
    """A line for each of the rules, and for no other."""
    groups = yaml.safe_load(shipped()["monitoring/alerts.yml"].read_text(encoding="utf-8"))["groups"]
    rules = [rule["alert"] for group in groups for rule in group["rules"]]
    assert [row[0].strip("`") for row in rows("Is it well?") if "`Asrctl" in row[0]] == rules


def test_events_of_the_log_are_those_of_the_code() -> None:
    """All that a journal is told to note."""
    noted = set()
    for path in (PACKAGE / "server").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("journal.note"):
                noted |= {each.value for each in ast.walk(node.args[0]) if isinstance(each, ast.Constant)}
    listed = section("Is it well?").split("The log is one line")[1]
    assert set(re.findall(r"`([a-z.]+)`", listed)) == {name for name in noted if isinstance(name, str)}


def test_pages_answer(shared: Running) -> None:
    """Those that are to be asked."""
    named = [row[0].strip("`") for row in rows("Is it well?") if row[0].startswith("`/")]
    assert {name: shared.get(name)[0] for name in named} == dict.fromkeys(named, 200)
    assert len(named) == 4


def test_the_ladder_is_as_stated() -> None:
    """Loads are the settings'; what changes is what the policy takes away."""
    stated = [row for row in rows("The ladder") if row[0].isdigit()]
    assert [int(row[0]) for row in stated] == list(Level)
    assert tuple(float(row[1]) for row in stated[1:4]) == Settings().ladder.up
    for row, measures in zip(stated, MEASURES.values(), strict=True):
        factor = {"half as often": 2.0, "a quarter as often": 4.0}
        assert {factor[each] for each in factor if each in row[2]} <= {measures.interval_factor}
        if "smaller model" in row[2]:
            assert measures.small_model and measures.partials == {Source.MIC}
        if "no partials" in row[2]:
            assert not measures.partials and measures.spool_system
    assert not MEASURES[Level.THINNED].hear_turns and MEASURES[Level.SMALL_MODEL].overlong_s == 8.0


def test_files_ship() -> None:
    """`asrctl deploy` has what the page sends for, and what the page names is on it."""
    named = {name for row in rows("Start one")[1:] for name in re.findall(r"`([\w./]+)`", row[1])}
    assert named
    assert all(any(there.startswith(name) for there in shipped()) for name in named)


@pytest.mark.parametrize("command", sorted(set(re.findall(r"[/`](asrctl [a-z]+[^`#)\n]*)", PAGE))))
def test_commands_have_these_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By the help of the command."""
    words = command.split()[1:]
    names = words[: 2 if words[0] in ("bench", "config") else 1]
    assert run(*names, "--help") == 0
    shown = capsys.readouterr().out
    for option in re.findall(r"(?<!\S)--?[a-z][\w-]*", command):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", shown), option


def test_figures_are_the_measured_ones() -> None:
    """Sizes come from the results; what is worked out from them is worked out right."""
    [result] = json.loads((RESULTS / "serve_table.json").read_text(encoding="utf-8"))["tables"]
    measured = [dict(zip(result["header"], row, strict=True)) for row in result["rows"]]
    columns = ("sessions", "speech", "CPU s for an audio s", "MB", "final, p50 / p95 s", "highest rung")
    ours = {
        (row["speech"], int(row["sessions"])): row for row in measured if row["provider"] == "whisper_cpp"
    }
    stated = [row for row in rows("Sizing") if row[0].isdigit()]
    assert stated == [[row[column] for column in columns] for row in ours.values()]
    text = " ".join(section("Sizing").split())
    partials, all_audio = (
        {
            kind: max(n for (speech, n), row in ours.items() if speech == kind and fits(row)) // CORES
            for kind in KINDS
        }
        for fits in (lambda row: int(row["highest rung"]) < 3, lambda row: float(row["dropped s"]) == 0)
    )
    assert f"{partials['clean']} of clean speech, {partials['report']} of hard speech." in text
    assert f"{all_audio['report']} of hard speech get finals only" in text
    each = (float(ours["clean", 10]["MB"]) - float(ours["clean", 1]["MB"])) / 9
    assert f"{each:.0f} MB for each session between 1 and 10" in text
    [peer] = [
        row
        for row in measured
        if [row[name] for name in columns[:2]] == ["16", "clean"] and row not in ours.values()
    ]
    assert (
        f"8 of clean speech are served on rung {peer['highest rung']}, in {float(peer['MB']):.0f} MB" in text
    )
    assert f"{AdmissionOptions().target_load} of the workers' time" in section("Sizing").replace("\n  ", " ")
    assert f"{used(10):.0%} of the places, one pool of ten servers {used(100):.0%}" in section(
        "Sizing"
    ).replace(" %", "%")


def used(places: int, refused: float = 0.001) -> float:
    """Erlang's formula B: the share of the places in use where this share of requests finds none."""
    load = places * 1.0
    while blocked(places, load) > refused:
        load -= places / 1000
    return load / places


def blocked(places: int, load: float) -> float:
    """The share of requests that are refused."""
    share = 1.0
    for number in range(1, places + 1):
        share = load * share / (number + load * share)
    return share


def test_links_lead_somewhere() -> None:
    """To files that ship with the page."""
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert files("asrctl.server").joinpath(link).is_file(), link
