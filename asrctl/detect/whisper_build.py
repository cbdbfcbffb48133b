"""What whisper.cpp says of its own build and of the devices it finds."""

from __future__ import annotations

import re
from collections.abc import Iterable

from asrctl.detect.machine import WhisperBuild

_APIS = {"MTL": "metal"}
"""Names of ggml's backends as they print themselves; the others are taken in lower case."""
_NOT_SIMD = ("OPENMP", "REPACK", "LLAMAFILE", "ACCELERATE", "KLEIDIAI")
_OWN = ("WHISPER", "CPU")


def parse_build(system_info: str, log: Iterable[str] = ()) -> WhisperBuild:
    """The line of `whisper_print_system_info`, and what whisper.cpp logged meanwhile and in loading a model.

    The line is a list of "NAME = 1" in sections that begin "SECTION : "; a section may be empty.
    """
    sections: list[str] = []
    for cell in system_info.split("|"):
        *opened, _ = cell.split(" : ") if " : " in cell else [cell]
        sections += [name.strip() for name in opened if name.strip()]
    apis = [_APIS.get(name.upper(), name.lower()) for name in sections if name not in _OWN]
    simd = [name for name in _in_cpu_section(system_info) if name not in _NOT_SIMD]
    lines = [line.rstrip() for line in log]
    blas = ["blas" for line in lines if "using BLAS backend" in line]  # it shows itself only when it is used
    devices = [pattern.match(line) for line in lines for pattern in _DEVICES]
    return WhisperBuild(
        simd=tuple(simd),
        backends=tuple(dict.fromkeys([*apis, *blas])),
        devices=tuple(dict.fromkeys(found[1] for found in devices if found)),
        in_use=_in_use(lines),
        device_memory_bytes=_device_memory(lines),
    )


def _in_cpu_section(system_info: str) -> list[str]:
    """What is switched on in the section of the CPU, which comes last."""
    _, _, section = system_info.rpartition("CPU : ")
    return re.findall(r"(\w+) = 1(?!\d)", section)


_DEVICES = (
    re.compile(r"ggml_metal\w*: GPU name:\s+MTL\d+ \((.+)\)$"),
    re.compile(r"ggml_metal\w*: (?:GPU name:|found device:)\s+(?!\s|MTL\d)(.+)"),
    re.compile(r"\s+Device \d+: (.+?), compute capability"),
    re.compile(r"ggml_vulkan: \d+ = ([^|]+?)(?: \([^()|]*\))*\s*(?:\||$)"),
)


def _in_use(lines: list[str]) -> str:
    """The device of the model that was loaded last; a device that failed to start is not in use."""
    used = ""
    for line in lines:
        if found := re.search(r"whisper_backend_init\w*: using (\S+) backend", line):
            used = used if found[1] == "BLAS" and used else found[1]  # BLAS helps the CPU
        elif re.search(r"whisper_backend_init\w*: (no GPU found|failed|.*falling back to CPU)", line):
            used = "CPU"
    return "CPU" if used == "BLAS" else used


def _device_memory(lines: list[str]) -> int | None:
    for line in lines:
        if found := re.search(r"recommendedMaxWorkingSetSize\s+=\s+([\d.]+) MB", line):
            return round(float(found[1]) * 1e6)
    return None
