"""What drivers' tools and whisper.cpp say of graphics processors."""

from __future__ import annotations

import pytest

from asrctl.detect.gpus import parse_nvidia_driver, parse_nvidia_smi
from asrctl.detect.machine import Cpu, Gpu, Machine, System, WhisperBuild
from asrctl.detect.whisper_build import parse_build
from tests.detect.recorded import recording


def build_of(name: str) -> WhisperBuild:
    """A recording's first line is the build, the rest the log."""
    info, *log = recording(f"whisper-{name}.txt").splitlines()
    return parse_build(info, log)


def test_nvidia_cards() -> None:
    """Name and memory of each."""
    assert parse_nvidia_smi(recording("nvidia-smi-two-cards.csv")) == (
        Gpu("NVIDIA GeForce RTX 3090", "cuda", 24576 << 20),
        Gpu("NVIDIA GeForce RTX 3090", "cuda", 24576 << 20),
    )


def test_a_chip_that_shares_the_memory() -> None:
    """Its tool gives no size, since it is the machine's."""
    assert parse_nvidia_smi(recording("nvidia-smi-spark.csv")) == (Gpu("NVIDIA GB10", "cuda", None),)


def test_a_missing_driver_is_told() -> None:
    """What the tool says instead of devices is the reason that people see."""
    with pytest.raises(ValueError, match="couldn't communicate with the NVIDIA driver"):
        parse_nvidia_smi(recording("nvidia-smi-no-driver.txt"))


def test_no_card_is_no_trouble() -> None:
    """A driver without a card, or silence, is not worth a warning."""
    assert parse_nvidia_smi(recording("nvidia-smi-no-devices.txt")) == parse_nvidia_smi("") == ()


def test_a_laptop_in_wsl() -> None:
    """Windows' driver, seen from Linux."""
    (found,) = parse_nvidia_smi(recording("nvidia-smi-wsl2-laptop.csv"))
    assert found == Gpu("NVIDIA GeForce RTX 4060 Laptop GPU", "cuda", 8188 << 20)


def test_the_driver_shows_its_cards_without_its_tool() -> None:
    """By name; an excluded one is left out, and garbage is no card."""
    card = recording("nvidia-driver-information.txt")
    excluded = card.replace("GPU Excluded:\t No", "GPU Excluded:\t Yes")
    assert parse_nvidia_driver([card, excluded, "garbage"]) == (Gpu("NVIDIA GeForce RTX 3080", "cuda"),)


def test_a_card_that_the_driver_cannot_start_is_none() -> None:
    """It is listed without a name, and its tool fails."""
    assert parse_nvidia_driver([recording("nvidia-driver-unknown-information.txt")]) == ()


@pytest.mark.parametrize(
    ("name", "backends", "devices", "in_use", "simd"),
    [
        ("linux-x86", (), (), "CPU", {"AVX2", "FMA", "F16C"}),
        ("macos-m1", ("metal",), ("Apple M1",), "", {"NEON"}),
        ("macos-m3", ("metal", "blas"), ("Apple M3",), "Metal", {"NEON", "DOTPROD"}),
        ("macos-m4", ("metal", "blas"), ("Apple M4",), "MTL0", {"NEON", "DOTPROD"}),
        ("macos-m4-cpu", ("metal", "blas"), (), "CPU", {"NEON", "DOTPROD"}),
        ("macos-intel", ("blas",), ("AMD Radeon RX 580", "Intel(R) KBL Unknown"), "MTL0", set()),
        ("macos-vm", (), ("Apple Paravirtual device",), "CPU", set()),
        ("cuda-a10", ("cuda",), ("NVIDIA A10",), "CUDA0", {"AVX2"}),
        ("cuda-arm", ("cuda",), (), "", {"NEON", "DOTPROD"}),
        ("vulkan", ("vulkan",), ("AMD Radeon RX 6650 XT", "NVIDIA GeForce RTX 3080"), "Vulkan0", {"AVX2"}),
    ],
)
def test_whisper_cpp_says_where_it_runs(
    name: str, backends: tuple[str, ...], devices: tuple[str, ...], in_use: str, simd: set[str]
) -> None:
    """Build, devices and the one in use, in the words of versions 1.5 to 1.8 on every kind of machine."""
    build = build_of(name)
    assert (build.backends, build.devices, build.in_use) == (backends, devices, in_use)
    assert simd <= set(build.simd)
    assert not {"OPENMP", "REPACK", "ACCELERATE", "EMBED_LIBRARY"} & set(build.simd)


def test_metal_memory() -> None:
    """The device log says what the GPU may use."""
    assert build_of("macos-m3").device_memory_bytes == 12_713_120_000
    assert build_of("macos-intel").device_memory_bytes == 8_589_930_000
    assert build_of("linux-x86").device_memory_bytes is None


def test_garbage_is_a_build_without_anything() -> None:
    """Nothing is made up."""
    assert parse_build("", ()) == parse_build("| = | : |", ["\0"]) == WhisperBuild()


def test_only_a_gpu_that_the_build_can_use_counts() -> None:
    """A card beside a build for the CPU is there, and unused."""
    card = Gpu("RTX", "cuda")
    without = Machine(gpus=(card,), whisper=WhisperBuild())
    assert (without.gpu, without.unused_gpu) == (None, card)
    with_it = Machine(gpus=(card,), whisper=WhisperBuild(backends=("cuda",)))
    assert (with_it.gpu, with_it.unused_gpu) == (card, None)


def test_without_an_answer_metal_is_taken_for_granted() -> None:
    """A glance does not ask whisper.cpp: on a Mac its builds have Metal, elsewhere nobody knows."""
    mac = Machine(System("macOS"), Cpu("Apple M1"), gpus=(Gpu("Apple M1", "metal"),))
    assert mac.gpu and mac.unused_gpu is None
    assert Machine(gpus=(Gpu("RTX", "cuda"),)).gpu is None
