"""Machines and models by size: what fits, what is better, and what a class of machine can bear."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

GIB = 1 << 30
DEFAULT_TARGET_S = 2.0
"""A final that comes two seconds after the end of speech still belongs to the conversation."""
MAX_THREADS = 8
"""whisper.cpp's small models gain nothing from more."""

_SESSIONS_PER_CORE = 5
"""Live ones with tiny.en q8_0: ten on 2 cores had finals 2.2 s after the end of speech, 95 of 100 of them
(benchmarks/RESULTS.md)."""
_MOST_SESSIONS = 10

_SIZES = ("tiny", "base", "small", "medium", "large-v3-turbo", "large")
_AS_GOOD_AS = {"parakeet": "large-v3-turbo", "qwen3-asr": "large-v3-turbo"}
"""Models of other families, by the word errors published of them: about 2 % of LibriSpeech's clean speech."""
_MEMORY_SHARE = 0.7
"""Of what is available: the rest is for sessions, buffers and everybody else."""
_GPU_MODEL_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Resources:
    """What a machine has to offer; None is unknown.

    Attributes:
        cores: Usable ones.
        memory_bytes: All that there is, or a container's share.
        available_bytes: What is free of it now.
        gpu: whisper.cpp can use a GPU.
        gpu_memory_bytes: What that GPU may use.
        fast_cores: Those of the cores that are fast, where there are two kinds.
    """

    cores: int
    memory_bytes: int | None = None
    available_bytes: int | None = None
    gpu: bool = False
    gpu_memory_bytes: int | None = None
    fast_cores: int | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A model that could be used.

    Attributes:
        name: The catalog's, such as "base-q8_0".
        memory_bytes: Of one worker.
        multilingual: Knows languages other than English.
        ready: It is in the cache.
    """

    name: str
    memory_bytes: int
    multilingual: bool
    ready: bool = True


@dataclass(frozen=True, slots=True)
class Wish:
    """What the machine is to do.

    Attributes:
        sessions: Live sessions at once.
        latency_s: From the end of speech to its final, for 95 of 100.
        language: A code; "auto" for any.
    """

    sessions: int = 1
    latency_s: float = DEFAULT_TARGET_S
    language: str = "auto"


@dataclass(frozen=True, slots=True)
class Tier:
    """A class of machine, where nothing was measured: what it begins at, and the largest model for it."""

    name: str
    least_bytes: int
    gpu: bool
    model: str


TIERS = (
    Tier("less than 4 GB of memory", 0, False, "tiny-q8_0"),
    Tier("4 to 8 GB of memory", 4 * GIB, False, "base-q8_0"),
    Tier("8 to 16 GB of memory", 8 * GIB, False, "small-q8_0"),
    Tier("16 GB of memory or more, no GPU", 16 * GIB, False, "medium-q5_0"),
    Tier("16 to 32 GB of memory and a GPU", 16 * GIB, True, "large-v3-turbo-q8_0"),
    Tier("32 GB of memory or more and a GPU", 32 * GIB, True, "large-v3"),
)
"""By memory, as others in the field do it; a machine counts with a tolerance, as some memory is always
reserved. What a CPU can do is bounded by its cores besides."""

_TOLERANCE = 0.93
_CORES_NEEDED = {"small": 4, "medium": 12}
"""Usable cores under which a size is too slow to talk to, without a GPU."""


def quality(model: str) -> tuple[int, int, int]:
    """Rank of a model by how well it hears: larger is better; q8_0 and f16 are as good as each other."""
    like = next((size for name, size in _AS_GOOD_AS.items() if model.startswith(name)), model)
    rank = max((_SIZES.index(size) for size in _SIZES if like.startswith(size)), default=0)
    return rank, 0 if re.search(r"-q[45]_(\d|k_m)$", model) else 1, 1 if ".en" in model else 0


def tier_of(resources: Resources) -> Tier:
    """The class of a machine; unknown memory counts as 4 GB."""
    size = (resources.memory_bytes or 4 * GIB) / _TOLERANCE
    return [tier for tier in TIERS if size >= tier.least_bytes and (resources.gpu or not tier.gpu)][-1]


def fits(model: Model, resources: Resources, workers: int = 1) -> bool:
    """Whether so many workers have room in what is free, and in the GPU's own memory."""
    if resources.gpu and resources.gpu_memory_bytes is not None:
        room = _GPU_MODEL_SHARE * resources.gpu_memory_bytes
    elif resources.available_bytes is not None:
        room = _MEMORY_SHARE * resources.available_bytes
    else:
        return True
    return workers * model.memory_bytes <= room


def threads_for(cores: int, fast_cores: int | None = None, workers: int = 1) -> int:
    """Threads of each worker so that together they fill the machine: threads wait for the slowest of them,
    so slow cores do not help."""
    return max(1, min(MAX_THREADS, min(cores, fast_cores or cores) // workers))


def sessions_for(cores: int) -> int:
    """Live sessions to let in where nothing was measured and the model is a tiny one."""
    return min(_MOST_SESSIONS, _SESSIONS_PER_CORE * cores)


def suits(model: Model, wish: Wish) -> bool:
    """Whether it knows the language."""
    return model.multilingual or wish.language in ("auto", "en")


def best_for_files(models: Sequence[Model], cores: int, language: str) -> Model | None:
    """The best that knows the language and, without a GPU, decodes files at twice the pace of speech or more.

    Of one size the multilingual one is taken, unless English was asked for; of one quality the smallest.

    Args:
        models: Those that are there.
        cores: Usable ones.
        language: What is spoken: a code, several with commas between them, or "auto".
    """
    able = [
        model
        for model in models
        if cores >= _CORES_NEEDED.get(_size(model.name), 1)
        and not _size(model.name).startswith("large")
        and (model.multilingual or language in ("auto", "en"))
    ]

    def rank(model: Model) -> tuple[int, int, bool, int]:
        size, precision, _ = quality(model.name)
        return size, precision, model.multilingual == (language != "en"), -model.memory_bytes

    return max(able, key=rank, default=None)


def _size(model: str) -> str:
    return re.split(r"[-.]", model)[0]


def largest_for(tier: Tier, resources: Resources) -> str:
    """The tier's model, or without a GPU the largest up to it that the cores can bear."""
    if resources.gpu:
        return tier.model
    smaller = [each.model for each in TIERS[: TIERS.index(tier) + 1] if not each.gpu]
    return [model for model in smaller if resources.cores >= _CORES_NEEDED.get(_size(model), 1)][-1]
