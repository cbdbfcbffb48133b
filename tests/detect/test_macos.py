"""What Macs say of themselves."""

from __future__ import annotations

import pytest

from asrctl.detect.macos import parse_sysctl
from tests.detect.recorded import recording


@pytest.mark.parametrize(
    ("name", "model", "physical", "performance", "logical", "features"),
    [
        ("macos-m1-pro", "Apple M1 Pro", 8, 6, 8, {"neon", "fp16", "dotprod"}),
        ("macos-m2", "Apple M2", 8, 4, 8, {"neon", "fp16", "dotprod", "bf16", "i8mm"}),
        ("macos-m3-max", "Apple M3 Max", 14, 10, 14, {"neon", "fp16", "dotprod", "bf16", "i8mm"}),
        ("macos-m4-max", "Apple M4 Max", 16, 12, 16, {"neon", "fp16", "dotprod", "bf16", "i8mm", "sme"}),
        ("macos-m5", "Apple M5", 10, 4, 10, {"neon", "fp16", "dotprod", "bf16", "i8mm", "sme"}),
        (
            "macos-intel",
            "Intel(R) Core(TM) i7-4980HQ CPU @ 2.80GHz",
            4,
            None,
            8,
            {"sse3", "ssse3", "avx", "avx2", "f16c", "fma"},
        ),
    ],
)
def test_every_mac_is_understood(
    name: str, model: str, physical: int, performance: int | None, logical: int, features: set[str]
) -> None:
    """Model, cores of both kinds and SIMD come out for Intel and M1 to M5."""
    cpu = parse_sysctl(recording(f"{name}-sysctl.txt"))
    assert (cpu.model, cpu.physical_cores, cpu.performance_cores, cpu.logical_cores) == (
        model,
        physical,
        performance,
        logical,
    )
    assert set(cpu.features) == features and len(cpu.features) == len(features)


def test_nonsense_is_nothing_known() -> None:
    """Output that is not sysctl's leaves everything unknown instead of failing."""
    cpu = parse_sysctl("sysctl: unknown oid 'hw'\nhw.physicalcpu: many\n")
    assert (cpu.model, cpu.physical_cores, cpu.features) == ("", None, ())
