"""What Linux says of itself."""

from __future__ import annotations

import pytest

from asrctl.detect.cgroup import Limits
from asrctl.detect.linux import parse_cpuinfo, within
from asrctl.detect.machine import Cpu, Memory
from tests.detect.recorded import recording


def test_a_virtual_machine() -> None:
    """Two cores of an EPYC, with the SIMD that matters."""
    cpu = parse_cpuinfo(recording("linux-x86-epyc-cpuinfo.txt"))
    assert (cpu.model, cpu.physical_cores, cpu.logical_cores) == ("AMD EPYC", 2, 2)
    assert {"sse3", "ssse3", "avx", "avx2", "f16c", "fma", "avx512f"} <= set(cpu.features)


def test_hyper_threads_are_not_cores() -> None:
    """Eight logical processors on four cores."""
    cpu = parse_cpuinfo(recording("linux-x86-hyperthreads-cpuinfo.txt"))
    assert (cpu.physical_cores, cpu.logical_cores) == (4, 8)
    assert cpu.model == "Intel(R) Core(TM) i7-8650U CPU @ 1.90GHz"


def test_a_raspberry_pi() -> None:
    """ARM's kernels name the board, where they name anything."""
    cpu = parse_cpuinfo(recording("linux-arm-pi5-cpuinfo.txt"))
    assert (cpu.model, cpu.physical_cores, cpu.logical_cores) == ("Raspberry Pi 5 Model B Rev 1.0", 4, 4)
    assert cpu.features == ("asimd", "asimdhp", "asimddp")


def test_an_arm_server() -> None:
    """A core of a Graviton2."""
    cpu = parse_cpuinfo(recording("linux-arm-graviton2-cpuinfo.txt"))
    assert (cpu.model, cpu.physical_cores, cpu.logical_cores) == ("", 1, 1)
    assert cpu.features == ("asimd", "asimdhp", "asimddp")


def test_arm_has_the_board_for_a_model() -> None:
    """Better than nothing."""
    text = "processor : 0\nFeatures : half neon\nCPU part : what\n\nModel : Some Board\n"
    assert parse_cpuinfo(text).model == "Some Board"


@pytest.mark.parametrize("text", ["", "\0\xff", "no such file"])
def test_no_cpuinfo_is_nothing_known(text: str) -> None:
    """Nothing is made up."""
    assert parse_cpuinfo(text) == Cpu()


@pytest.mark.parametrize(
    ("memory", "limits", "expected"),
    [
        (Memory(8, 6), Limits(), Memory(8, 6)),
        (Memory(8, 6), Limits(memory_bytes=8), Memory(8, 6)),
        (Memory(8, 6), Limits(memory_bytes=4, memory_used_bytes=1), Memory(8, 3, 4)),
        (Memory(8, 2), Limits(memory_bytes=4, memory_used_bytes=1), Memory(8, 2, 4)),
        (Memory(), Limits(memory_bytes=4), Memory(None, 4, 4)),
    ],
)
def test_a_container_has_what_is_left_of_its_limit(memory: Memory, limits: Limits, expected: Memory) -> None:
    """Its limit and its use count where they are tighter than the machine's memory."""
    assert within(memory, limits) == expected


def test_usable_memory_is_the_smaller_one() -> None:
    """The machine's, or the container's share; unknown if neither is known."""
    assert Memory(8, 6, 4).usable_bytes == 4
    assert Memory(8, 6).usable_bytes == 8
    assert Memory().usable_bytes is None
