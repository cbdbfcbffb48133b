"""What was found out about a machine; None, or an empty text, is "unknown"."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class System:
    """The operating system.

    Attributes:
        name: "Linux", "macOS" or "Windows".
        version: As the system calls it: "Debian GNU/Linux 12 (bookworm)", "15.5".
        architecture: "x86_64", "arm64", "aarch64".
    """

    name: str = ""
    version: str = ""
    architecture: str = ""


@dataclass(frozen=True, slots=True)
class Cpu:
    """Processors.

    Attributes:
        model: Its name.
        physical_cores: Without hyper-threads.
        performance_cores: The fast ones, where there are two kinds.
        logical_cores: As the system counts them.
        usable_cores: What affinity and container quota leave to this process.
        features: SIMD that the processor has, as the system calls it.
    """

    model: str = ""
    physical_cores: int | None = None
    performance_cores: int | None = None
    logical_cores: int | None = None
    usable_cores: int = 1
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Memory:
    """Main memory.

    Attributes:
        total_bytes: Of the machine.
        available_bytes: What can be had without swapping, within the limit.
        limit_bytes: A container's; None for none.
    """

    total_bytes: int | None = None
    available_bytes: int | None = None
    limit_bytes: int | None = None

    @property
    def usable_bytes(self) -> int | None:
        """The machine's memory, or the container's share of it."""
        known = [size for size in (self.total_bytes, self.limit_bytes) if size is not None]
        return min(known, default=None)


@dataclass(frozen=True, slots=True)
class Gpu:
    """A graphics processor.

    Attributes:
        name: As its driver calls it.
        api: "metal", "cuda" or "vulkan".
        memory_bytes: Its own, or what it may use of the machine's.
    """

    name: str
    api: str
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class WhisperBuild:
    """What whisper.cpp says of itself.

    Attributes:
        simd: Instructions that it was built for and this processor has.
        backends: What it was built with besides the CPU, in lower case: "metal", "cuda", "vulkan", "blas".
        devices: Graphics processors that it found.
        in_use: Where it put a model that it loaded: "Metal", "CUDA0", "CPU"; "" if none was loaded.
        device_memory_bytes: What its GPU device may use, where it says so.
    """

    simd: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    in_use: str = ""
    device_memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ProviderState:
    """A recogniser, and why it cannot run here and what would enable it; empty if it can."""

    name: str
    missing: str


@dataclass(frozen=True, slots=True)
class ModelState:
    """A model that is ready, or can be made without a network.

    Attributes:
        name: The catalog's, or that of a user's file.
        size_bytes: On disk.
        memory_bytes: Estimated, for one worker.
        multilingual: Whether it knows languages other than English.
        source: "cached", "cached f16" or "installed wheel".
    """

    name: str
    size_bytes: int
    memory_bytes: int
    multilingual: bool
    source: str


@dataclass(frozen=True, slots=True)
class AudioInput:
    """A microphone, or another input."""

    name: str
    channels: int
    rate_hz: int
    host_api: str
    is_default: bool


@dataclass(frozen=True, slots=True)
class ProbeFailure:
    """A probe that gave no answer, and why."""

    probe: str
    reason: str


@dataclass(frozen=True, slots=True)
class Machine:
    """Everything that the probes found."""

    system: System = field(default_factory=System)
    cpu: Cpu = field(default_factory=Cpu)
    memory: Memory = field(default_factory=Memory)
    gpus: tuple[Gpu, ...] = ()
    whisper: WhisperBuild | None = None
    providers: tuple[ProviderState, ...] = ()
    models: tuple[ModelState, ...] = ()
    audio_inputs: tuple[AudioInput, ...] | None = None
    troubles: tuple[ProbeFailure, ...] = ()

    @property
    def gpu(self) -> Gpu | None:
        """The one that whisper.cpp can use here, if its build has what it takes; Macs' builds do."""
        built = self.whisper.backends if self.whisper else ("metal",)
        return next((gpu for gpu in self.gpus if gpu.api in built), None)

    @property
    def unused_gpu(self) -> Gpu | None:
        """One that is there while whisper.cpp was built without what it takes."""
        if self.whisper is None or self.gpu is not None:
            return None
        return next(iter(self.gpus), None)
