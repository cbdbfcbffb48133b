"""The dashboard and the alert rules fit the metrics that a server has."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from .servers import Running

FOLDER = files("asrctl").joinpath("deploy", "monitoring")
DASHBOARD: dict[str, Any] = json.loads(FOLDER.joinpath("grafana.json").read_text(encoding="utf-8"))
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load(FOLDER.joinpath("alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
TARGETS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
EXPRESSIONS = [*TARGETS, *(rule["expr"] for rule in RULES)]
_LABELS = re.compile(r'(\w+)\s*(=~|!=|!~|=)\s*"([^"]*)"')


@pytest.fixture(scope="module")
def samples(shared: Running) -> dict[str, dict[str, set[str]]]:
    """What a server shows before anything happens: names, their labels, and the labels' values."""
    found: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(shared.get("/metrics")[1]):
        # Close codes are there only once a socket was closed; the family is.
        found.setdefault(f"{family.name}_total" if family.type == "counter" else family.name, {})
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    found["up"] = {}
    found["asrctl_closes_total"].setdefault("code", set())
    return found


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_is_there(samples: dict[str, dict[str, set[str]]], expression: str) -> None:
    """What an expression names exists, with the labels that it is asked for, summed by or compared to."""
    names = re.findall(r"\b(?:asrctl_\w+|up)\b", re.sub(r'"[^"]*"', '""', expression))
    assert names
    known: set[str] = {"instance", "job", "le"}
    for name in names:
        assert name in samples, name
        known |= set(samples[name])
        for label, operator, value in _LABELS.findall(expression):
            if operator == "=" and label in samples[name]:
                assert value in samples[name][label], (name, label, value)
    asked = {label for label, _, _ in _LABELS.findall(expression)}
    for inside in re.findall(r"by \(([^)]*)\)", expression):
        asked |= {label.strip() for label in inside.split(",")}
    assert asked <= known
    assert expression.count("(") == expression.count(")") and expression.count("{") == expression.count("}")


def test_every_metric_is_shown(samples: dict[str, dict[str, set[str]]]) -> None:
    """No metric of the server is forgotten on the dashboard; parts of histograms count as theirs."""
    families = {re.sub(r"_(bucket|count|sum|created)$", "", name) for name in samples} - {"up"}
    shown = {re.sub(r"_bucket$", "", name) for name in re.findall(r"asrctl_\w+", " ".join(TARGETS))}
    assert {name for name in families if name not in shown and f"{name}_total" not in shown} == set()


def test_the_dashboard_can_be_loaded() -> None:
    """Panels have different ids, lie beside each other, and take the data source that was chosen."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in panels
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells) and max(x for x, _ in cells) < 24
    assert {panel["type"] for panel in panels} <= {"stat", "timeseries"}
    assert all(each["datasource"]["uid"] == "${datasource}" for each in panels)
    assert {"id", "__inputs"}.isdisjoint(DASHBOARD) and DASHBOARD["schemaVersion"] >= 36
    assert {each["name"] for each in DASHBOARD["templating"]["list"]} == {"datasource", "instance"}
    assert all("$instance" in expression for expression in TARGETS)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_rules_are_complete(rule: dict[str, Any]) -> None:
    """A rule has a name, a severity, and says what happened and what to do."""
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"Asrctl[A-Z]\w+", rule["alert"])
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description"}
    assert "$labels.instance" in rule["annotations"]["summary"]
    assert re.fullmatch(r"\d+m", rule.get("for", "0m"))


def test_rules_have_different_names() -> None:
    """Prometheus would take the same name twice, and people would not know which is meant."""
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
