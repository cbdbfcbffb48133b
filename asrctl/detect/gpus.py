"""What NVIDIA's driver and its tool say of graphics processors."""

from __future__ import annotations

import re
from collections.abc import Iterable

from asrctl.detect.machine import Gpu

NVIDIA_SMI = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")


def parse_nvidia_smi(text: str) -> tuple[Gpu, ...]:
    """Lines of `NVIDIA_SMI`.

    Raises:
        ValueError: It says something else, such as that there is no driver; the message is its first line.
    """
    gpus = []
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.lower().startswith("no devices"):
            continue
        found = re.match(r"(.+?), (\d+|\[.*?\])(?:,|$)", line)
        if not found:
            raise ValueError(line)
        name, mib = found.groups()
        gpus.append(Gpu(name, "cuda", int(mib) << 20 if mib.isdigit() else None))  # "[N/A]": the machine's
    return tuple(gpus)


def parse_nvidia_driver(informations: Iterable[str]) -> tuple[Gpu, ...]:
    """What the driver shows on Linux without its tool: names, and no memory.

    Args:
        informations: /proc/driver/nvidia/gpus/*/information.
    """
    gpus = []
    for text in informations:
        fields = dict(re.findall(r"^([^:\n]+):[ \t]*(.*?)\s*$", text, flags=re.MULTILINE))
        started = fields.get("Model", "") not in ("", "Unknown")
        if started and fields.get("GPU Excluded", "No") == "No":
            gpus.append(Gpu(fields["Model"], "cuda"))
    return tuple(gpus)
