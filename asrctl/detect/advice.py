"""What would make this machine better at it: sentences for people, from what the probes found."""

from __future__ import annotations

from collections.abc import Iterator

from asrctl.detect.machine import Machine

_BUILD_FLAGS = {
    "cuda": "GGML_CUDA=1 GGML_NATIVE=0 CMAKE_INSTALL_RPATH='$ORIGIN'",
    "metal": "GGML_METAL=1 CMAKE_INSTALL_RPATH=@loader_path",
}
"""With where the binding finds whisper.cpp's libraries: by itself it looks where pip built them, in vain. A
build for this very processor (native) may use instructions that a virtual machine announces and cannot do."""


def advice(machine: Machine) -> list[str]:
    """What to do, most useful first; empty where there is nothing to gain."""
    return [*_gpu(machine), *_rosetta(machine), *_container(machine)]


def _gpu(machine: Machine) -> Iterator[str]:
    gpu = machine.unused_gpu
    if gpu is not None:
        flags = f"{_BUILD_FLAGS[gpu.api]} CMAKE_BUILD_WITH_INSTALL_RPATH=1"
        yield (
            f"{gpu.name} is not used: this whisper.cpp was built without {gpu.api.upper()}; with the build "
            f"tools of {gpu.api.upper()} installed, {flags} pip install --force-reinstall --no-cache-dir "
            "--no-binary pywhispercpp pywhispercpp makes one that uses it"
        )
    elif machine.gpu is not None and machine.whisper and machine.whisper.in_use == "CPU":
        yield (
            f"whisper.cpp was built for {machine.gpu.name} and runs on the CPU all the same: its driver is "
            "too old for it, or in use"
        )


def _rosetta(machine: Machine) -> Iterator[str]:
    if machine.cpu.model.startswith("Apple") and machine.system.architecture == "x86_64":
        yield "this Python runs under Rosetta, several times slower: install one for arm64"


def _container(machine: Machine) -> Iterator[str]:
    cpu, memory = machine.cpu, machine.memory
    if cpu.logical_cores and cpu.usable_cores < cpu.logical_cores:
        yield f"{cpu.usable_cores} of {cpu.logical_cores} cores may be used here (affinity or quota)"
    if memory.limit_bytes:
        yield f"the container may use {memory.limit_bytes / 1e9:.1f} GB of memory"
