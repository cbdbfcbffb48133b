"""What drivers' own tools say of graphics processors."""

from __future__ import annotations

import re
from collections.abc import Iterable

from asrctl.detect.machine import Gpu

NVIDIA_SMI = ("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits")
VULKANINFO = ("vulkaninfo", "--summary")


def parse_nvidia_smi(text: str) -> tuple[Gpu, ...]:
    """Lines of `NVIDIA_SMI`.

    Raises:
        ValueError: It says something else, such as that there is no driver; the message is its first line.
    """
    gpus = []
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.lower().startswith("no devices"):
            continue
        found = re.fullmatch(r"(.+?), (\d+|\[.*\]), (\S+)", line)
        if not found:
            raise ValueError(line)
        name, mib, driver = found.groups()
        size_bytes = int(mib) << 20 if mib.isdigit() else None  # "[N/A]" where it is the machine's memory
        gpus.append(Gpu(name, "cuda", size_bytes, unified=size_bytes is None, driver=driver))
    return tuple(gpus)


def parse_nvidia_driver(informations: Iterable[str], version: str = "") -> tuple[Gpu, ...]:
    """What the driver itself shows on Linux, without its tool: names, and no memory.

    Args:
        informations: /proc/driver/nvidia/gpus/*/information.
        version: /proc/driver/nvidia/version.
    """
    release = re.search(r"Kernel Module\s+(?:for \S+\s+)?(\d[\d.]*)", version)
    gpus = []
    for text in informations:
        fields = dict(re.findall(r"^([^:\n]+):[ \t]*(.*?)\s*$", text, flags=re.MULTILINE))
        name = fields.get("Model", "")
        started = name not in ("", "Unknown")
        if started and fields.get("GPU Excluded", "No") == "No":
            gpus.append(Gpu(name, "cuda", driver=release[1] if release else ""))
    return tuple(gpus)


def parse_vulkaninfo(text: str) -> tuple[Gpu, ...]:
    """The devices of `vulkaninfo --summary` that are processors of their own, not the CPU in disguise."""
    gpus: dict[str, Gpu] = {}
    for block in re.split(r"^GPU\d+:", text, flags=re.MULTILINE)[1:]:
        fields: dict[str, str] = dict(re.findall(r"^\s+(\w+)\s+= (.*?)\s*$", block, flags=re.MULTILINE))
        name, kind = fields.get("deviceName", ""), fields.get("deviceType", "")
        if name and kind.endswith(("DISCRETE_GPU", "INTEGRATED_GPU", "VIRTUAL_GPU")):
            identity = fields.get("deviceUUID", name)  # two drivers may show the same device
            driver = fields.get("driverInfo", "")
            gpus.setdefault(identity, Gpu(name, "vulkan", None, kind.endswith("INTEGRATED_GPU"), driver))
    return tuple(gpus.values())
