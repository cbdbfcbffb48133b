"""What Macs say of themselves."""

from __future__ import annotations

import json

import pytest

from asrctl.detect.machine import Gpu
from asrctl.detect.macos import parse_displays, parse_sysctl
from tests.detect.recorded import recording

GIB = 1 << 30


@pytest.mark.parametrize(
    ("name", "model", "physical", "performance", "logical", "gib", "features"),
    [
        ("macos-m1-pro", "Apple M1 Pro", 8, 6, 8, 16, {"neon", "fp16", "dotprod"}),
        ("macos-m2", "Apple M2", 8, 4, 8, 16, {"neon", "fp16", "dotprod", "bf16", "i8mm"}),
        ("macos-m3-max", "Apple M3 Max", 14, 10, 14, 36, {"neon", "fp16", "dotprod", "bf16", "i8mm"}),
        ("macos-m4-max", "Apple M4 Max", 16, 12, 16, 64, {"neon", "fp16", "dotprod", "bf16", "i8mm", "sme"}),
        ("macos-m5", "Apple M5", 10, 4, 10, 24, {"neon", "fp16", "dotprod", "bf16", "i8mm", "sme"}),
        (
            "macos-intel",
            "Intel(R) Core(TM) i7-4980HQ CPU @ 2.80GHz",
            4,
            None,
            8,
            16,
            {"sse3", "ssse3", "avx", "avx2", "f16c", "fma"},
        ),
    ],
)
def test_every_mac_is_understood(
    name: str, model: str, physical: int, performance: int | None, logical: int, gib: int, features: set[str]
) -> None:
    """Model, cores of both kinds, memory and SIMD come out for Intel and M1 to M5."""
    cpu, memory = parse_sysctl(recording(f"{name}-sysctl.txt"))
    assert (cpu.model, cpu.physical_cores, cpu.performance_cores, cpu.logical_cores) == (
        model,
        physical,
        performance,
        logical,
    )
    assert memory.total_bytes == gib * GIB
    assert set(cpu.features) == features and len(cpu.features) == len(features)


def test_nonsense_is_nothing_known() -> None:
    """Output that is not sysctl's leaves everything unknown instead of failing."""
    cpu, memory = parse_sysctl("sysctl: unknown oid 'hw'\nhw.physicalcpu: many\n")
    assert (cpu.model, cpu.physical_cores, memory.total_bytes, cpu.features) == ("", None, None, ())


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("macos-m1", "Apple M1"),
        ("macos-m1-bigsur", "Apple M1"),
        ("macos-m2-max", "Apple M2 Max"),
        ("macos-m3-pro", "Apple M3 Pro"),
        ("macos-m4", "Apple M4"),
    ],
)
def test_apple_gpus_share_the_memory(name: str, model: str) -> None:
    """Apple's GPUs are unified; how much they may use is for whisper.cpp to say."""
    assert parse_displays(recording(f"{name}-displays.json")) == (Gpu(model, "metal", None, unified=True),)


def test_an_intel_mac_with_two_gpus() -> None:
    """Both with their memory, the built-in one as unified; a card without Metal is left out."""
    assert parse_displays(recording("macos-intel-displays.json")) == (
        Gpu("Intel UHD Graphics 630", "metal", 1536 << 20, unified=True),
        Gpu("AMD Radeon Pro 5300M", "metal", 4 << 30, unified=False),
    )


def test_an_old_intel_mac() -> None:
    """Its only GPU shares the memory; older systems name a set of features."""
    assert parse_displays(recording("macos-intel-iris-displays.json")) == (
        Gpu("Intel Iris Graphics 6100", "metal", 1536 << 20, unified=True),
    )


@pytest.mark.parametrize("text", ["", "garbage", "[]", '{"SPDisplaysDataType": 5}', "{}"])
def test_what_is_not_that_json_is_refused(text: str) -> None:
    """Nothing is guessed from garbage."""
    with pytest.raises(ValueError):
        parse_displays(text)


def test_strange_devices_are_passed_over() -> None:
    """An entry that is no device does not hide the others."""
    found = json.loads(recording("macos-m1-displays.json"))
    found["SPDisplaysDataType"].insert(0, "?")
    assert len(parse_displays(json.dumps(found))) == 1
