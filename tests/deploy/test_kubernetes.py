"""The manifests for Kubernetes: valid by its schemas, and about the asrctl that is here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from asrctl.settings import Settings, load

from ..server.servers import options_for, running, script

FOLDER = files("asrctl").joinpath("deploy", "kubernetes")
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
MANIFESTS: list[dict[str, Any]] = [
    document for text in TEXTS.values() for document in yaml.safe_load_all(text) if "kind" in document
]
BUILT_IN = [each for each in MANIFESTS if each["kind"] != "ServiceMonitor"]
RULES: list[dict[str, Any]] = yaml.safe_load(TEXTS["prometheus-adapter.yaml"])["rules"]["custom"]
VERSIONS = ("1.31", kubernetes_validate.latest_version())
CLOSE_S = 5
"""Sockets close, workers end."""


def named(kind: str, name: str) -> dict[str, Any]:
    """The manifest of a kind with a name."""
    [found] = [each for each in MANIFESTS if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def pod(name: str) -> dict[str, Any]:
    """What the pods of a deployment are."""
    spec: dict[str, Any] = named("Deployment", name)["spec"]["template"]["spec"]
    return spec


def container(name: str) -> dict[str, Any]:
    """The only container of a deployment."""
    [found] = pod(name)["containers"]
    assert isinstance(found, dict)
    return found


def values(name: str) -> dict[str, str]:
    """The environment of a container, without what comes from elsewhere."""
    return {each["name"]: each["value"] for each in container(name)["env"] if "value" in each}


def title(manifest: dict[str, Any]) -> str:
    """For the names of tests."""
    return f"{manifest['kind']}-{manifest['metadata']['name']}"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", BUILT_IN, ids=title)
def test_manifests_are_valid(manifest: dict[str, Any], version: str) -> None:
    """By the schema of their kind, without keys that it does not know, in an old release and the newest."""
    kubernetes_validate.validate(manifest, version, strict=True)


def test_the_schemas_find_mistakes() -> None:
    """A key that is misspelt is refused, so that the test above can fail."""
    wrong = {**named("Service", "asrctl"), "specs": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_ports_agree() -> None:
    """The port that is listened on is the one that services, probes and HAProxy name."""
    args = container("asrctl")["args"]
    port = int(args[args.index("--port") + 1])
    assert port == Settings().serve.port
    for service, deployment in (("asrctl-nodes", "asrctl"), ("asrctl", "asrctl-haproxy")):
        manifest = named("Service", service)["spec"]
        assert (
            manifest["selector"] == named("Deployment", deployment)["spec"]["template"]["metadata"]["labels"]
        )
        ports = {each["name"]: each["containerPort"] for each in container(deployment)["ports"]}
        [entry] = manifest["ports"]
        assert (entry["port"], ports[entry["targetPort"]]) == (port, port)
    balancer = values("asrctl-haproxy")
    assert balancer["ASRCTL_DNS"] == f"asrctl-nodes:{port}"
    assert {"name": "stats", "containerPort": int(balancer["ASRCTL_STATS"].strip(":"))} in container(
        "asrctl-haproxy"
    )["ports"]


def test_settings_exist(tmp_path: Path) -> None:
    """Each variable of the servers is a setting, with a value that fits; HAProxy's are in its file."""
    (tmp_path / "config.toml").touch()
    given = values("asrctl") | {each["name"]: "x" for each in container("asrctl")["env"]}
    given |= values("asrctl")
    ours = {name: value for name, value in given.items() if name.startswith("ASRCTL_")}
    assert load(tmp_path / "config.toml", ours).settings.serve.node == "x"
    configuration = files("asrctl").joinpath("deploy", "haproxy.cfg").read_text(encoding="utf-8")
    assert set(values("asrctl-haproxy")) <= set(re.findall(r"ASRCTL_\w+", configuration))


def test_there_is_time_to_drain() -> None:
    """Kubernetes kills no server that still drains."""
    spec, given = pod("asrctl"), values("asrctl")
    [main] = spec["containers"]
    needed_s = main["lifecycle"]["preStop"]["sleep"]["seconds"] + CLOSE_S
    needed_s += float(given["ASRCTL_SERVE__DRAIN_S"]) + float(given["ASRCTL_SERVE__GRACE_S"])
    assert spec["terminationGracePeriodSeconds"] >= needed_s


@pytest.mark.parametrize("name", ["asrctl", "asrctl-haproxy"])
def test_pods_have_few_rights(name: str) -> None:
    """No root, nothing to write but volumes, no capabilities, no token of the cluster."""
    spec, security = pod(name), container(name)["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert spec["automountServiceAccountToken"] is False
    mounted = {each["name"] for each in container(name)["volumeMounts"]}
    assert mounted == {each["name"] for each in spec["volumes"]}


def test_everything_selects_something() -> None:
    """Selectors of budgets, of Prometheus and of deployments themselves find what is there."""
    pods = [named("Deployment", name)["spec"]["template"]["metadata"]["labels"] for name in DEPLOYMENTS]
    budgets = [each for each in MANIFESTS if each["kind"] == "PodDisruptionBudget"]
    assert [each["spec"]["selector"]["matchLabels"] for each in budgets] == pods
    for name in DEPLOYMENTS:
        spec = named("Deployment", name)["spec"]
        assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    monitor = named("ServiceMonitor", "asrctl")["spec"]
    service = named("Service", "asrctl-nodes")
    assert service["metadata"]["labels"] == monitor["selector"]["matchLabels"]
    [endpoint] = monitor["endpoints"]
    assert endpoint["port"] == service["spec"]["ports"][0]["name"]
    assert named("HorizontalPodAutoscaler", "asrctl")["spec"]["scaleTargetRef"]["name"] == "asrctl"


DEPLOYMENTS = ("asrctl", "asrctl-haproxy")


def test_one_key() -> None:
    """Servers and Prometheus take the key from the same secret."""
    [key] = [each["valueFrom"] for each in container("asrctl")["env"] if each["name"] == "ASRCTL_API_KEY"]
    credentials = named("ServiceMonitor", "asrctl")["spec"]["endpoints"][0]["authorization"]["credentials"]
    assert key == {"secretKeyRef": credentials}


def paths() -> Iterator[str]:
    """What probes and Prometheus ask the servers for."""
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        yield container("asrctl")[probe]["httpGet"]["path"]
    yield named("ServiceMonitor", "asrctl")["spec"]["endpoints"][0]["path"]


def test_probes_and_metrics_exist(tmp_path: Path) -> None:
    """A server answers what is probed, and has each metric that the autoscaler's rules are made of."""
    with running(options_for(script(tmp_path / "script.json"))) as server:
        assert {path: server.get(path)[0] for path in paths()} == dict.fromkeys(paths(), 200)
        there = set(re.findall(r"^(asrctl_\w+)", server.get("/metrics")[1], re.MULTILINE))
    for rule in RULES:
        asked = set(re.findall(r"asrctl_\w+", rule["seriesQuery"] + rule["metricsQuery"]))
        assert asked and asked <= there
        assert re.fullmatch(rule["name"]["matches"], rule["seriesQuery"].partition("{")[0])


def test_the_autoscaler_has_its_metrics() -> None:
    """Each metric that it scales by is made by a rule, and each rule is used."""
    metrics = named("HorizontalPodAutoscaler", "asrctl")["spec"]["metrics"]
    wanted = [each["pods"]["metric"]["name"] for each in metrics]
    assert wanted == [rule["name"]["as"] for rule in RULES]
