"""Limits of containers, versions 1 and 2, as directories of files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from asrctl.detect.cgroup import Limits, parse_membership, read_limits
from asrctl.detect.cpus import available_cpus, fast_cpus
from tests.detect.recorded import recording

MIB = 1 << 20
UNLIMITED_V1 = "9223372036854771712\n"


def limits(directory: Path, membership: str, files: Mapping[str, str]) -> Limits:
    """What is read from these files below the mount, by a process in these groups."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (directory / "membership").write_text(membership)
    return read_limits(directory, directory / "membership")


def test_version_2_seen_from_inside(tmp_path: Path) -> None:
    """A container sees its own group as the root; its page cache can be had back."""
    files = {
        "cpu.max": "150000 100000\n",
        "memory.max": f"{512 * MIB}\n",
        "memory.current": f"{200 * MIB}\n",
        "memory.stat": f"anon 1\ninactive_file {50 * MIB}\n",
    }
    found = limits(tmp_path, recording("docker-v2-cgroup.txt"), files)
    assert found == Limits(1.5, 512 * MIB, 150 * MIB)


def test_version_2_takes_the_tightest_above(tmp_path: Path) -> None:
    """A limit of the scope binds the group below it, where podman puts the processes, whatever its own is."""
    membership = recording("podman-v2-cgroup.txt")
    own = membership.partition("::/")[2].strip()
    scope = own.removesuffix("/container")
    files = {
        f"{scope}/cpu.max": "200000 100000\n",
        f"{scope}/memory.max": f"{300 * MIB}\n",
        f"{own}/cpu.max": "max 100000\n",
        f"{own}/memory.max": "max\n",
    }
    assert limits(tmp_path, membership, files) == Limits(2.0, 300 * MIB, 0)


def test_version_1(tmp_path: Path) -> None:
    """Each controller has a tree of its own; inside a container the named group is not there."""
    files = {
        "cpu/cpu.cfs_quota_us": "50000\n",
        "cpu/cpu.cfs_period_us": "100000\n",
        "memory/memory.limit_in_bytes": f"{256 * MIB}\n",
        "memory/memory.usage_in_bytes": f"{100 * MIB}\n",
        "memory/memory.stat": f"total_inactive_file {20 * MIB}\n",
    }
    found = limits(tmp_path, recording("docker-v1-cgroup.txt"), files)
    assert found == Limits(0.5, 256 * MIB, 80 * MIB)


def test_version_1_without_limits(tmp_path: Path) -> None:
    """As recorded on a virtual machine: -1, and a number near 2^63."""
    files = {
        "cpu/cpu.cfs_quota_us": "-1\n",
        "cpu/cpu.cfs_period_us": "100000\n",
        "memory/memory.limit_in_bytes": UNLIMITED_V1,
    }
    assert limits(tmp_path, "4:memory:/some/group\n1:cpu:/\n0::/\n", files) == Limits()


@pytest.mark.parametrize("text", ["", "max", "0 100000", "many few", "100000 0", "-1 100000", "\0"])
def test_nonsense_is_no_limit(tmp_path: Path, text: str) -> None:
    """A file that says nothing useful limits nothing."""
    assert limits(tmp_path, "garbage\n0::/\n", {"cpu.max": text, "memory.max": f"~{text}"}) == Limits()


def test_a_group_cannot_lead_out_of_the_mount(tmp_path: Path) -> None:
    """Seen from another namespace the path may begin with "/..": only what lies below counts."""
    assert limits(tmp_path, "0::/../other\n", {"cpu.max": "300000 100000"}) == Limits(3.0)


def test_version_2_with_a_controller_of_version_1(tmp_path: Path) -> None:
    """Some versions of Docker keep one of the old kind; the limits are in the new one."""
    files = {"memory.max": f"{512 * MIB}\n"}
    assert limits(tmp_path, recording("docker-v2-mixed-cgroup.txt"), files) == Limits(None, 512 * MIB, 0)


def test_membership_names_controllers() -> None:
    """Several controllers may share a group; version 2 has none."""
    groups = parse_membership(recording("docker-v1-cgroup.txt"))
    assert groups["cpu"] == groups["cpuacct"] == groups["memory"]
    assert groups["memory"].startswith("/docker/f9f6e531deed")
    assert groups["rdma"] == "/"
    assert groups[""] == "/system.slice/containerd.service"
    groups = parse_membership(recording("kubernetes-v1-cgroup.txt"))
    assert groups["memory"].startswith("/kubepods/burstable/")


def test_colons_in_a_group_belong_to_it() -> None:
    """containerd puts them in; the order of the controllers is the kernel's."""
    groups = parse_membership(recording("containerd-v1-cgroup.txt"))
    assert groups["cpu"].startswith("/system.slice/containerd.service/kubepods-besteffort-pod")
    assert ".slice:cri-containerd:ee4b20e9" in groups["cpu"]


def test_no_cgroups_no_limits(tmp_path: Path) -> None:
    """macOS has none."""
    assert read_limits(tmp_path / "none", tmp_path / "none") == Limits()


def test_a_quota_limits_the_processors() -> None:
    """Half a processor is one that is slow; a quota above what is there changes nothing."""
    there = available_cpus(Limits())
    assert available_cpus(Limits(cpus=0.5)) == 1
    assert available_cpus(Limits(cpus=there + 5.0)) == there
    assert there == (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())


@pytest.mark.parametrize(("failed", "counted", "expected"), [(0, 4, 4), (-1, 4, None), (0, 0, None)])
def test_an_apple_processor_counts_its_fast_cores(
    failed: int, counted: int, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As its kernel says; where it does not, there is one kind."""

    class Library:
        """The C library of a Mac."""

        def sysctlbyname(self, name: bytes, value: Any, *_: Any) -> int:
            assert name == b"hw.perflevel0.physicalcpu"
            value._obj.value = counted
            return failed

    monkeypatch.setattr("asrctl.detect.cpus.sys.platform", "darwin")
    monkeypatch.setattr("ctypes.CDLL", lambda _: Library())
    assert fast_cpus() == expected


def test_a_mac_without_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing fails for want of a hint."""
    monkeypatch.setattr("asrctl.detect.cpus.sys.platform", "darwin")
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    assert fast_cpus() is None
