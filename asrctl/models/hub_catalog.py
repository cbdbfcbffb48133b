"""Models of other families than Whisper's, as GGUF files on Hugging Face: names, sizes, languages, licences.

Sizes are rounded, for display; the hub tells exact ones, and the SHA-256 that decides what is accepted.
"""

from __future__ import annotations

from dataclasses import dataclass

from asrctl.models.catalog import no_such_model

OWNER = "handy-computer"
"""Whose repositories they are; each is called after its model, with "-gguf" behind."""


_WORKSPACE_BYTES = 250 << 20
"""What a worker holds besides the weights, estimated: interpreter, library, and its buffers."""


def estimated_memory(size_bytes: int) -> int:
    """Resident bytes of one worker with one loaded model of a size."""
    return size_bytes + _WORKSPACE_BYTES


@dataclass(frozen=True, slots=True)
class Licence:
    """What weights may be used for: a name, and where the text is."""

    name: str
    url: str


MIT = Licence("MIT", "https://opensource.org/license/mit")
APACHE = Licence("Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0")
CC_BY = Licence("CC-BY-4.0", "https://creativecommons.org/licenses/by/4.0/")
OPEN_MDW = Licence("OpenMDW-1.1", "https://huggingface.co/nvidia/nemotron-3.5-asr-streaming-0.6b")
NVIDIA = Licence(
    "NVIDIA Open Model License",
    "https://www.nvidia.com/en-us/agreements/enterprise-software/nvidia-open-model-license/",
)


@dataclass(frozen=True, slots=True)
class HubEntry:
    """A published model.

    Attributes:
        name: As in `asrctl models pull`: the publisher's name in lower case; the quantisation follows it
            unless it is Q8_0.
        family: Whose architecture it is, such as "Parakeet".
        model: The publisher's name.
        quantization: Such as "Q8_0".
        size_bytes: Length of the file, rounded.
        languages: How many it knows, or which: "English", "25", "40 locales".
        streams: Whether it listens to a stream.
        licence: What it may be used for.
    """

    name: str
    family: str
    model: str
    quantization: str
    size_bytes: int
    languages: str
    streams: bool
    licence: Licence

    @property
    def repository(self) -> str:
        """Where it is."""
        return f"{OWNER}/{self.model}-gguf"

    @property
    def file_name(self) -> str:
        """Its file's name, there and in the cache."""
        return f"{self.model}-{self.quantization}.gguf"

    @property
    def memory_bytes(self) -> int:
        """Estimated resident memory of one worker with one loaded model."""
        return estimated_memory(self.size_bytes)

    @property
    def multilingual(self) -> bool:
        """Whether it knows more than English."""
        return self.languages != "English"


def _entries(
    family: str, model: str, megabytes: dict[str, int], languages: str, streams: bool, licence: Licence
) -> list[HubEntry]:
    return [
        HubEntry(
            model.lower() if quantization == "Q8_0" else f"{model.lower()}-{quantization.lower()}",
            family,
            model,
            quantization,
            size * 1_000_000,
            languages,
            streams,
            licence,
        )
        for quantization, size in megabytes.items()
    ]


_ALL = (
    *_entries("Moonshine", "moonshine-streaming-tiny", {"Q8_0": 48}, "English", True, MIT),
    *_entries("Moonshine", "moonshine-streaming-small", {"Q8_0": 189}, "English", True, MIT),
    *_entries("Moonshine", "moonshine-streaming-medium", {"Q8_0": 282}, "English", True, MIT),
    *_entries("Parakeet", "parakeet-tdt-0.6b-v3", {"Q4_K_M": 502, "Q8_0": 740}, "25", False, CC_BY),
    *_entries("Parakeet", "parakeet-unified-en-0.6b", {"Q4_K_M": 477, "Q8_0": 731}, "English", True, CC_BY),
    *_entries(
        "Nemotron", "nemotron-speech-streaming-en-0.6b", {"Q4_K_M": 453, "Q8_0": 696}, "English", True, NVIDIA
    ),
    *_entries(
        "Nemotron",
        "nemotron-3.5-asr-streaming-0.6b",
        {"Q4_K_M": 473, "Q8_0": 716},
        "40 locales",
        True,
        OPEN_MDW,
    ),
    *_entries("Voxtral", "Voxtral-Mini-4B-Realtime-2602", {"Q4_K_M": 2830, "Q8_0": 4730}, "13", True, APACHE),
    *_entries("Qwen3-ASR", "Qwen3-ASR-0.6B", {"Q4_K_M": 654, "Q8_0": 811}, "30", False, APACHE),
)

HUB_CATALOG = {entry.name: entry for entry in _ALL}
"""By name, family after family."""


def hub_lookup(name: str) -> HubEntry:
    """The entry of that name.

    Raises:
        ModelError: There is none; says what is near.
    """
    if entry := HUB_CATALOG.get(name.lower()):
        return entry
    raise no_such_model(name, [*HUB_CATALOG])
