"""Defaults for those who have no config: the same rules as `asrctl detect`, from what a glance shows.

Nothing heavy is imported and no process started: it adds 30 ms of processor time to what a command has
imported by then, and 100 ms to nothing at all (2 busy cores, CPython 3.11, six models at hand).
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from asrctl.detect import linux
from asrctl.detect.cgroup import read_limits
from asrctl.detect.cpus import available_cpus
from asrctl.detect.inventory import as_model, find_models, provider_states
from asrctl.detect.machine import Memory
from asrctl.models.store import ModelStore
from asrctl.policy.recommend import Recommendation, by_size
from asrctl.policy.sizing import Resources, Wish


@dataclass(frozen=True, slots=True)
class Defaults:
    """Values for the settings of the same names that nobody set."""

    model: str
    threads: int
    workers: int


def defaults(models_dir: Path | None = None, language: str = "auto") -> Defaults:
    """What suits this machine as far as a glance can tell.

    Args:
        models_dir: Where models are kept; None for the platform's cache directory.
        language: What will be spoken; "auto" for unknown.
    """
    found = glance(ModelStore(models_dir), Wish(language=language))
    return Defaults(found.model, found.threads, found.workers)


def glance(store: ModelStore, wish: Wish) -> Recommendation:
    """The recommendation by the machine's size and the models that are there."""
    limits = read_limits()
    memory = linux.within(_memory(), limits)
    resources = Resources(available_cpus(limits), memory.usable_bytes, memory.available_bytes)
    models = [as_model(state) for state in find_models(store).found]
    providers = [state.name for state in provider_states() if not state.missing]
    return by_size(models, providers, resources, wish)


def _memory() -> Memory:
    if sys.platform == "linux":
        try:
            return linux.parse_meminfo(Path("/proc/meminfo").read_text())
        except OSError:
            return Memory()
    try:
        return Memory(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # Windows has none of it
        return Memory()
