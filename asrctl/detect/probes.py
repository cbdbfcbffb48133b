"""All probes: programs run at once, each with a time limit; a failure is a trouble, not an error."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from asrctl.detect import gpus, linux, macos
from asrctl.detect.cgroup import read_limits
from asrctl.detect.cpus import available_cpus
from asrctl.detect.inventory import find_models, provider_states
from asrctl.detect.machine import (
    AudioInput,
    Cpu,
    Gpu,
    Machine,
    Memory,
    ModelState,
    ProbeFailure,
    System,
    WhisperBuild,
)
from asrctl.detect.tools import NoAnswer, NotInstalled, Tool, child, run_tool
from asrctl.detect.whisper_build import parse_build
from asrctl.models.store import ModelStore

TOOL_LIMIT_S = 4.0
"""`nvidia-smi` wakes the driver first, which may take a second or two."""
_NVIDIA_DRIVER = Path("/proc/driver/nvidia")
_MAX_MODEL_BYTES = 600_000_000
"""A model larger than this is not loaded just to see where whisper.cpp puts it."""


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """How the machine is examined.

    Attributes:
        limit_s: Longest that any program may take.
        ask_libraries: Start child processes that ask whisper.cpp, with the smallest model that is there,
            and PortAudio.
        ask_tools: Ask the driver's tool where files tell enough.
    """

    limit_s: float = TOOL_LIMIT_S
    ask_libraries: bool = True
    ask_tools: bool = True


QUICK = ProbeOptions(0.08, ask_libraries=False, ask_tools=False)
"""What needs longer is left out; the whole command then takes less than 0.3 s."""


def probe_machine(store: ModelStore, options: ProbeOptions | None = None) -> Machine:
    """Examine the machine; takes little longer than the slowest program, and raises nothing of theirs.

    Args:
        store: Where models are looked for.
        options: Limits.
    """
    options = options or ProbeOptions()
    models, limits = find_models(store), read_limits()
    running = _Running(options, store, models.found)
    system, cpu, memory = _system(), Cpu(), Memory()
    with running.troubles_of("processor and memory"):
        memory = _memory()
        cpu = _cpu(options.limit_s)
    cpu = replace(
        cpu,
        model=cpu.model or platform.processor() or platform.machine(),
        logical_cores=cpu.logical_cores or os.cpu_count(),
        usable_cores=available_cpus(limits),
    )
    whisper, cards = running.whisper(), running.nvidia()
    audio_inputs = running.audio()
    return Machine(
        system=system,
        cpu=cpu,
        memory=linux.within(memory, limits),
        gpus=_cross_checked((*_apple_gpu(system, cpu), *cards), whisper),
        whisper=whisper,
        providers=provider_states(),
        models=tuple(models.found),
        audio_inputs=audio_inputs,
        troubles=(*models.troubles, *running.troubles),
    )


@dataclass(slots=True)
class _Running:
    """Programs that were started together; while one is waited for, the others run."""

    options: ProbeOptions
    store: ModelStore
    models: Sequence[ModelState]
    troubles: list[ProbeFailure] = field(default_factory=list)
    _tools: dict[str, Tool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        limit_s = self.options.limit_s
        if self.options.ask_libraries:
            self._start("whisper.cpp", lambda: child(_CHILD, "whisper", *self._smallest(), limit_s=limit_s))
            self._start("microphones", lambda: child(_CHILD, "audio", limit_s=limit_s))
        if self.options.ask_tools or platform.system() != "Linux":
            self._start("CUDA", lambda: Tool(gpus.NVIDIA_SMI, limit_s))

    @contextmanager
    def troubles_of(self, probe: str) -> Iterator[None]:
        """What goes wrong in one probe is told, and must not hide what the others found."""
        try:
            yield
        except NotInstalled:
            pass
        except NoAnswer as error:
            self.troubles.append(ProbeFailure(probe, str(error)))
        except Exception as error:
            self.troubles.append(ProbeFailure(probe, f"{type(error).__name__}: {error}"))

    def whisper(self) -> WhisperBuild | None:
        """What whisper.cpp says of itself."""
        with self.troubles_of("whisper.cpp"):
            if tool := self._tools.get("whisper.cpp"):
                answer = _last_answer(tool.output(partial=True))
                return parse_build(answer["system_info"], answer["log"])
        return None

    def audio(self) -> tuple[AudioInput, ...] | None:
        """The audio inputs that PortAudio lists."""
        with self.troubles_of("microphones"):
            if tool := self._tools.get("microphones"):
                return tuple(AudioInput(**each) for each in _last_answer(tool.output(partial=True))["inputs"])
        return None

    def nvidia(self) -> tuple[Gpu, ...]:
        """NVIDIA's cards: by its tool, or as the driver lists them in files."""
        with self.troubles_of("CUDA"):
            if tool := self._tools.get("CUDA"):
                try:
                    return gpus.parse_nvidia_smi(tool.output())
                except ValueError as error:
                    raise NoAnswer(f"nvidia-smi said what is not understood: {str(error)[:200]}") from error
            cards = sorted(_NVIDIA_DRIVER.glob("gpus/*/information"))
            return gpus.parse_nvidia_driver(map(_text, cards))
        return ()

    def _start(self, probe: str, start: Callable[[], Tool]) -> None:
        with self.troubles_of(probe):
            self._tools[probe] = start()

    def _smallest(self) -> list[str]:
        """The path of the smallest model, if it is small enough to be loaded."""
        small = [each for each in self.models if each.source == "cached"]
        if not small or small[0].size_bytes > _MAX_MODEL_BYTES:
            return []
        found = self.store.find(small[0].name)
        return [str(found.path)] if found else []


_CHILD = "asrctl.detect.child"


def _system() -> System:
    name = {"Darwin": "macOS"}.get(platform.system(), platform.system())
    version = platform.release()
    if platform.system() == "Darwin":
        version = platform.mac_ver()[0]
    elif platform.system() == "Linux":
        with suppress(OSError):
            version = platform.freedesktop_os_release()["PRETTY_NAME"]
    return System(name, version, platform.machine())


def _memory() -> Memory:
    import psutil

    seen = psutil.virtual_memory()
    return Memory(seen.total, seen.available)


def _cpu(limit_s: float) -> Cpu:
    if platform.system() == "Linux":
        return linux.parse_cpuinfo(_text("/proc/cpuinfo"))
    if platform.system() == "Darwin":
        return macos.parse_sysctl(run_tool(("sysctl", "hw", "machdep.cpu"), limit_s))
    import psutil

    return Cpu(physical_cores=psutil.cpu_count(logical=False))


def _last_answer(output: str) -> dict[str, Any]:
    """The last whole line that is an answer; half a line is what a crash leaves."""
    problem = "the child process wrote nothing"
    for line in reversed(output.splitlines()):
        try:
            answer = json.loads(line)
        except ValueError:
            continue
        if isinstance(answer, dict) and "error" not in answer:
            return answer
        problem = str(answer["error"])
    raise NoAnswer(problem)


def _apple_gpu(system: System, cpu: Cpu) -> tuple[Gpu, ...]:
    """Every Apple processor has a GPU of its name that can do Metal."""
    if system.name == "macOS" and system.architecture == "arm64":
        return (Gpu(cpu.model, "metal"),)
    return ()


def _cross_checked(found: tuple[Gpu, ...], whisper: WhisperBuild | None) -> tuple[Gpu, ...]:
    """What the system and what whisper.cpp found, each completed by the other.

    Metal's memory is the machine's: whisper.cpp knows how much of it the GPU may use. And a card whose
    driver comes without its tool is known to whisper.cpp alone.
    """
    if whisper is None:
        return found
    size_bytes = whisper.device_memory_bytes
    apis = [api for api in whisper.backends if api in ("metal", "cuda", "vulkan")]
    if apis and not any(gpu.api in apis for gpu in found):
        found += tuple(Gpu(name, apis[0]) for name in whisper.devices)
    return tuple(replace(gpu, memory_bytes=size_bytes) if gpu.api == "metal" else gpu for gpu in found)


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
