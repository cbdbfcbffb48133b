"""What a container, or a service manager, leaves of the machine: cgroup version 1 and 2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
_UNLIMITED_BYTES = 1 << 60
"""Version 1 says "no limit" by a number near 2^63, rounded down to pages."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What this process may use; None is no limit.

    Attributes:
        cpus: Processors, such as 1.5.
        memory_bytes: Memory.
        memory_used_bytes: How much of `memory_bytes` is taken already, page cache not counted.
    """

    cpus: float | None = None
    memory_bytes: int | None = None
    memory_used_bytes: int | None = None


def read_limits(root: Path = _ROOT, membership: Path = _MEMBERSHIP) -> Limits:
    """The tightest limits of this process's group and of all groups above it.

    Args:
        root: Where the control groups are mounted.
        membership: Says which group this process is in.
    """
    groups = parse_membership(_text(membership))
    unified = [*_upwards(root, groups.get("", "/"))]
    cpu = [*_upwards(root / "cpu", groups.get("cpu", "/"))]
    cpu += _upwards(root / "cpu,cpuacct", groups.get("cpu", "/"))
    memory = [*_upwards(root / "memory", groups.get("memory", "/"))]
    quotas = [_ratio(*_text(group / "cpu.max").partition(" ")[::2]) for group in unified]
    quotas += [_ratio(_text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us")) for group in cpu]
    bounds = [_memory(group, "memory.max", "memory.current", "inactive_file") for group in unified]
    bounds += [
        _memory(group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        for group in memory
    ]
    limit, used = min((bound for bound in bounds if bound), default=(None, None))
    return Limits(min((quota for quota in quotas if quota), default=None), limit, used)


def parse_membership(text: str) -> dict[str, str]:
    """/proc/self/cgroup: the group's path by controller; that of version 2 under ""."""
    groups: dict[str, str] = {}
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if colon:
            groups |= dict.fromkeys(controllers.split(","), path)
    return groups


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """A group's directory and those above it; inside a container only the mount itself may be there."""
    group = mount.joinpath(*(part for part in path.split("/") if part not in ("", "..")))
    while group != mount:
        yield group
        group = group.parent
    yield mount


def _ratio(quota: str, period: str) -> float | None:
    """Processors, or None for "max", -1, nothing, or nonsense."""
    try:
        cpus = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
    return cpus if cpus > 0 else None


def _memory(group: Path, limit: str, usage: str, reclaimable: str) -> tuple[int, int] | None:
    """Limit and use in bytes; None if there is no limit."""
    bound = _number(_text(group / limit))
    if bound is None or bound >= _UNLIMITED_BYTES:
        return None
    used = _number(_text(group / usage)) or 0
    for line in _text(group / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == reclaimable:
            used -= _number(value) or 0
    return bound, max(0, used)


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:  # "max", or nothing
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
