"""What macOS says of itself: `sysctl hw machdep.cpu`, and `system_profiler SPDisplaysDataType -json`."""

from __future__ import annotations

import json
import re
from typing import Any

from asrctl.detect.machine import Cpu, Gpu, Memory

_ARM_SIMD = {
    "hw.optional.neon": "neon",
    "hw.optional.AdvSIMD": "neon",
    "hw.optional.arm.FEAT_FP16": "fp16",
    "hw.optional.neon_fp16": "fp16",
    "hw.optional.arm.FEAT_DotProd": "dotprod",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.arm.FEAT_BF16": "bf16",
    "hw.optional.arm.FEAT_SME": "sme",
}
_X86_SIMD = {
    "hw.optional.sse3": "sse3",
    "hw.optional.supplementalsse3": "ssse3",
    "hw.optional.avx1_0": "avx",
    "hw.optional.f16c": "f16c",
    "hw.optional.fma": "fma",
    "hw.optional.avx2_0": "avx2",
    "hw.optional.avx512f": "avx512f",
}


def parse_sysctl(text: str) -> tuple[Cpu, Memory]:
    """Processor and memory; what is free is not its matter."""
    values = dict(re.findall(r"^([\w.]+): (.*)$", text, flags=re.MULTILINE))
    names = _ARM_SIMD if values.get("hw.optional.arm64") == "1" else _X86_SIMD
    features = dict.fromkeys(name for key, name in names.items() if values.get(key) == "1")
    cpu = Cpu(
        model=values.get("machdep.cpu.brand_string", ""),
        physical_cores=_count(values.get("hw.physicalcpu")),
        performance_cores=_count(values.get("hw.perflevel0.physicalcpu")),
        logical_cores=_count(values.get("hw.logicalcpu") or values.get("hw.ncpu")),
        features=tuple(features),
    )
    return cpu, Memory(total_bytes=_count(values.get("hw.memsize")))


def parse_displays(text: str) -> tuple[Gpu, ...]:
    """Graphics processors that can do Metal.

    Raises:
        ValueError: It is not that JSON.
    """
    document = json.loads(text)
    found = document.get("SPDisplaysDataType") if isinstance(document, dict) else None
    if not isinstance(found, list):
        raise ValueError("no SPDisplaysDataType")
    return tuple(_gpu(each) for each in found if isinstance(each, dict) and _has_metal(each))


def _gpu(display: dict[str, Any]) -> Gpu:
    name = str(display.get("sppci_model") or display.get("_name") or "")
    size = display.get("spdisplays_vram") or display.get("_spdisplays_vram") or ""
    unified = "apple" in str(display.get("spdisplays_vendor", name)).lower()
    return Gpu(name, "metal", _size_bytes(str(size)), unified or "spdisplays_vram_shared" in display)


def _has_metal(display: dict[str, Any]) -> bool:
    """Newer systems name a family ("spdisplays_metal3"), older ones say that it is supported."""
    said = " ".join(str(value) for key, value in display.items() if "metal" in key or "mtlgpu" in key)
    return bool(said) and "unsupported" not in said.lower().replace("_", "").replace("not", "un")


def _size_bytes(text: str) -> int | None:
    found = re.fullmatch(r"(\d+) (MB|GB)", text.strip())
    return int(found[1]) << (20 if found[2] == "MB" else 30) if found else None


def _count(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None
