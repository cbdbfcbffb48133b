"""All probes at once, each with its own time limit; what fails becomes a trouble, never an error."""

from __future__ import annotations

import json
import os
import platform
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asrctl.detect import gpus, linux, macos
from asrctl.detect.cgroup import read_limits
from asrctl.detect.cpus import available_cpus
from asrctl.detect.inventory import find_models, find_voxtral, provider_states
from asrctl.detect.machine import (
    AudioInput,
    Cpu,
    Gpu,
    Machine,
    Media,
    Memory,
    ModelState,
    System,
    Trouble,
    WhisperBuild,
)
from asrctl.detect.tools import NoAnswer, NotInstalled, run_child, run_tool
from asrctl.detect.whisper_build import parse_build
from asrctl.models.store import ModelStore
from asrctl.providers.registry import is_installed

TOOL_LIMIT_S = 4.0
"""`nvidia-smi` wakes the driver first, `system_profiler` gathers for a second or two."""
_NVIDIA_DRIVER = Path("/proc/driver/nvidia")
_GRACE_S = 0.05
"""So that a probe that gave up in time can say so itself; what even SIGKILL does not move is left."""
_LARGEST_TO_LOAD_BYTES = 600_000_000
"""A model larger than this is not loaded just to see where whisper.cpp puts it."""


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """How the machine is looked at.

    Attributes:
        limit_s: Longest that any probe may take.
        ask_libraries: Start child processes that ask whisper.cpp, with the smallest model that is there,
            and PortAudio; system_profiler too, which takes as long.
        ask_tools: Ask drivers' tools where files tell enough: a tool may take a second to wake its driver.
    """

    limit_s: float = TOOL_LIMIT_S
    ask_libraries: bool = True
    ask_tools: bool = True


QUICK = ProbeOptions(0.08, ask_libraries=False, ask_tools=False)
"""A glance: what needs longer it does without; the whole command then takes less than 0.3 s."""


def probe_machine(store: ModelStore, options: ProbeOptions | None = None) -> Machine:
    """Look at the machine; takes no longer than the slowest probe, and raises nothing of theirs.

    Args:
        store: Where models are looked for.
        options: Limits.
    """
    options = options or ProbeOptions()
    limits = read_limits()
    models = find_models(store)
    answers, troubles = _all(_work(options, store, models.found), options.limit_s)
    system = _system()
    cpu, memory = answers.get("processor and memory") or (Cpu(), Memory())
    cpu = replace(
        cpu,
        model=cpu.model or platform.processor(),
        logical_cores=cpu.logical_cores or os.cpu_count(),
        usable_cores=available_cpus(limits),
    )
    whisper = answers.get("whisper.cpp")
    metal = answers["Metal"] if "Metal" in answers else _assumed_metal(system, cpu)
    return Machine(
        system=system,
        cpu=cpu,
        memory=linux.within(memory, limits),
        gpus=_cross_checked((*metal, *answers.get("CUDA", ()), *answers.get("Vulkan", ())), whisper),
        whisper=whisper,
        providers=provider_states(),
        models=tuple(models.found),
        audio_inputs=answers.get("microphones"),
        media=Media(shutil.which("ffmpeg") or "", is_installed("av")),
        voxtral=find_voxtral([store.root]),
        troubles=(*models.troubles, *troubles),
    )


def _work(
    options: ProbeOptions, store: ModelStore, models: Sequence[ModelState]
) -> dict[str, Callable[[], Any]]:
    """What takes time, by the name that people see when it fails."""
    limit_s = options.limit_s
    work: dict[str, Callable[[], Any]] = {
        "processor and memory": lambda: _hardware(limit_s),
        "CUDA": lambda: _nvidia(limit_s) if options.ask_tools else _nvidia_glance(limit_s),
    }
    if options.ask_tools:
        work["Vulkan"] = lambda: _vulkan(limit_s)
    if options.ask_libraries:
        work["whisper.cpp"] = lambda: _whisper(limit_s, store, models)
        work["microphones"] = lambda: _audio(limit_s)
        if platform.system() == "Darwin":
            work["Metal"] = lambda: _metal(limit_s)
    return work


def _all(work: Mapping[str, Callable[[], Any]], limit_s: float) -> tuple[dict[str, Any], list[Trouble]]:
    """Run everything at once; whoever is not done in time is left behind."""
    answers: dict[str, Any] = {}
    reasons: dict[str, str] = {}

    def run(name: str, probe: Callable[[], Any]) -> None:
        try:
            answers[name] = probe()
        except NotInstalled:
            pass
        except NoAnswer as error:
            reasons[name] = str(error)
        except Exception as error:  # a surprise in one probe must not hide what the others found
            reasons[name] = f"{type(error).__name__}: {error}"

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in work.items()]
    deadline_s = time.monotonic() + limit_s + _GRACE_S
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline_s - time.monotonic()))
    for name, thread in zip(work, threads, strict=True):
        if thread.is_alive() and name not in answers:
            reasons.setdefault(name, f"no answer within {limit_s:g} s")
    return dict(answers), [Trouble(name, why) for name, why in dict(reasons).items()]


def _system() -> System:
    name = {"Darwin": "macOS"}.get(platform.system(), platform.system())
    version, where = platform.release(), ""
    if platform.system() == "Darwin":
        version = platform.mac_ver()[0]
    elif platform.system() == "Linux":
        version = linux.parse_os_release(_text("/etc/os-release")) or version
        marks = {mark for mark in ("/.dockerenv", "/run/.containerenv") if os.path.exists(mark)}
        marks |= {"container"} & set(os.environ)
        files = [_text(f"/proc/{name}") for name in ("version", "1/cgroup", "self/mounts")]
        where = linux.environment(files[0], files[1], frozenset(marks), files[2])
    return System(name, version, platform.machine(), where)


def _hardware(limit_s: float) -> tuple[Cpu, Memory]:
    if platform.system() == "Linux":
        return linux.parse_cpuinfo(_text("/proc/cpuinfo")), linux.parse_meminfo(_text("/proc/meminfo"))
    import psutil

    seen = psutil.virtual_memory()
    memory = Memory(seen.total, seen.available)
    if platform.system() == "Darwin":
        cpu, _ = macos.parse_sysctl(run_tool(("sysctl", "hw", "machdep.cpu"), limit_s))
        return cpu, memory
    return Cpu(physical_cores=psutil.cpu_count(logical=False)), memory


def _whisper(limit_s: float, store: ModelStore, models: Sequence[ModelState]) -> WhisperBuild:
    small = [each for each in models if each.source == "cached" and each.size_bytes < _LARGEST_TO_LOAD_BYTES]
    found = store.find(small[0].name) if small else None
    arguments = ["whisper", *([str(found.path)] if found else [])]
    answer = _last_answer(run_child("asrctl.detect.child", arguments, limit_s))
    return parse_build(answer["system_info"], answer["log"])


def _audio(limit_s: float) -> tuple[AudioInput, ...]:
    answer = _last_answer(run_child("asrctl.detect.child", ["audio"], limit_s))
    return tuple(
        AudioInput(each["name"], each["channels"], each["rate_hz"], each["host_api"], each["is_default"])
        for each in answer["inputs"]
    )


def _last_answer(output: str) -> dict[str, Any]:
    """The last whole line that is an answer; half a line is what a crash leaves."""
    problem = "the child process said nothing"
    for line in reversed(output.splitlines()):
        try:
            answer = json.loads(line)
        except ValueError:
            continue
        if isinstance(answer, dict) and "error" not in answer:
            return answer
        problem = str(answer["error"])
    raise NoAnswer(problem)


def _nvidia(limit_s: float) -> tuple[Gpu, ...]:
    return _understood("nvidia-smi", gpus.parse_nvidia_smi, run_tool(gpus.NVIDIA_SMI, limit_s))


def _nvidia_glance(limit_s: float) -> tuple[Gpu, ...]:
    """The cards as the driver shows them in files, where there are such."""
    if platform.system() != "Linux" or "microsoft" in _text("/proc/version").lower():
        return _nvidia(limit_s)
    cards = sorted(_NVIDIA_DRIVER.glob("gpus/*/information"))
    return gpus.parse_nvidia_driver([_text(card) for card in cards], _text(_NVIDIA_DRIVER / "version"))


def _vulkan(limit_s: float) -> tuple[Gpu, ...]:
    return gpus.parse_vulkaninfo(run_tool(gpus.VULKANINFO, limit_s))


def _metal(limit_s: float) -> tuple[Gpu, ...]:
    command = ("system_profiler", "SPDisplaysDataType", "-json")
    return _understood("system_profiler", macos.parse_displays, run_tool(command, limit_s))


def _understood(tool: str, parse: Callable[[str], tuple[Gpu, ...]], output: str) -> tuple[Gpu, ...]:
    try:
        return parse(output)
    except ValueError as error:
        raise NoAnswer(f"{tool} said what is not understood: {str(error)[:200]}") from error


def _cross_checked(found: tuple[Gpu, ...], whisper: WhisperBuild | None) -> tuple[Gpu, ...]:
    """What the system's tools found and what whisper.cpp found, each completed by the other.

    Metal's memory is the machine's: whisper.cpp knows how much of it the GPU may use. And a card whose
    driver comes without its tool is known to whisper.cpp alone.
    """
    if whisper is None:
        return found
    size_bytes = whisper.device_memory_bytes
    completed = tuple(
        replace(gpu, memory_bytes=size_bytes) if gpu.api == "metal" and gpu.memory_bytes is None else gpu
        for gpu in found
    )
    apis = [api for api in whisper.backends if api in ("metal", "cuda", "vulkan")]
    if not apis or any(gpu.api in apis for gpu in found):
        return completed
    unified = apis[0] == "metal"
    seen = (Gpu(name, apis[0], size_bytes if unified else None, unified) for name in whisper.devices)
    return (*completed, *seen)


def _assumed_metal(system: System, cpu: Cpu) -> tuple[Gpu, ...]:
    """Every Apple processor has a GPU of its name that can do Metal."""
    if system.name == "macOS" and system.architecture == "arm64":
        return (Gpu(cpu.model, "metal", None, unified=True),)
    return ()


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
