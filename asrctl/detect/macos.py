"""What macOS says of itself: `sysctl hw machdep.cpu`."""

from __future__ import annotations

import re

from asrctl.detect.machine import Cpu

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


def parse_sysctl(text: str) -> Cpu:
    """The processor."""
    values = dict(re.findall(r"^([\w.]+): (.*)$", text, flags=re.MULTILINE))
    names = _ARM_SIMD if values.get("hw.optional.arm64") == "1" else _X86_SIMD
    features = dict.fromkeys(name for key, name in names.items() if values.get(key) == "1")
    return Cpu(
        model=values.get("machdep.cpu.brand_string", ""),
        physical_cores=_count(values.get("hw.physicalcpu")),
        performance_cores=_count(values.get("hw.perflevel0.physicalcpu")),
        logical_cores=_count(values.get("hw.logicalcpu") or values.get("hw.ncpu")),
        features=tuple(features),
    )


def _count(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None
