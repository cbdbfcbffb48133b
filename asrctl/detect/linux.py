"""What Linux says of its processor, and what a container leaves of the memory."""

from __future__ import annotations

import re
from dataclasses import replace

from asrctl.detect.cgroup import Limits
from asrctl.detect.machine import Cpu, Memory

_X86_SIMD = ("sse3", "ssse3", "sse4_1", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512_vnni")
_ARM_SIMD = ("neon", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme")
_X86_NAMES = {"pni": "sse3"}  # as Linux calls it


def parse_cpuinfo(text: str) -> Cpu:
    """/proc/cpuinfo, of x86 or ARM; usable cores are found elsewhere."""
    blocks = [_fields(block) for block in re.split(r"\n\s*\n", text.strip()) if "processor" in block]
    if not blocks:
        return Cpu()
    first = blocks[0]
    cores = {(block.get("physical id", "0"), block["core id"]) for block in blocks if "core id" in block}
    return Cpu(
        model=first.get("model name") or _fields(text).get("Model", ""),
        physical_cores=len(cores) or (len(blocks) if "CPU part" in first else None),
        logical_cores=len(blocks),
        features=_features(first),
    )


def within(memory: Memory, limits: Limits) -> Memory:
    """The machine's memory as seen from inside a container."""
    limit = limits.memory_bytes
    if limit is None or (memory.total_bytes is not None and limit >= memory.total_bytes):
        return memory
    left = limit - (limits.memory_used_bytes or 0)
    available = left if memory.available_bytes is None else min(left, memory.available_bytes)
    return replace(memory, available_bytes=available, limit_bytes=limit)


def _fields(block: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in block.splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def _features(block: dict[str, str]) -> tuple[str, ...]:
    flags = set((block.get("flags") or block.get("Features") or "").split())
    flags |= {_X86_NAMES[flag] for flag in flags & set(_X86_NAMES)}
    return tuple(name for name in (*_X86_SIMD, *_ARM_SIMD) if name in flags)
