"""From what the probes found to what is measured and recommended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asrctl.detect.advice import advice
from asrctl.detect.inventory import as_model, loadable
from asrctl.detect.machine import Machine
from asrctl.models.store import ModelStore
from asrctl.policy.recommend import Candidate, Recommendation, candidates, recommend, untested
from asrctl.policy.sizing import Resources, Wish
from asrctl.providers.registry import PROVIDERS

if TYPE_CHECKING:
    from asrctl.detect.calibrate import Calibration, Tell

BUSY_SHARE = 0.25
"""With more of the processors in use by others, what is measured says more of them than of this machine."""
LIMIT_S = 25.0
"""For probes and calibration together; with start-up the command stays under 30 s, also on a busy machine."""
_KINDS = ("ggml", "ctranslate2", "gguf")
"""Weights that calibration knows how to find."""


def resources_of(machine: Machine) -> Resources:
    """The machine as the policy sees it: a GPU counts only if whisper.cpp can use it."""
    whisper, gpu = machine.whisper, machine.gpu
    usable = gpu is not None and (whisper is None or whisper.in_use != "CPU")
    return Resources(
        cores=machine.cpu.usable_cores,
        memory_bytes=machine.memory.usable_bytes,
        available_bytes=machine.memory.available_bytes,
        gpu=usable,
        gpu_memory_bytes=gpu.memory_bytes if gpu and usable else None,
        fast_cores=machine.cpu.performance_cores,
    )


def candidates_for(machine: Machine, store: ModelStore, wish: Wish) -> list[Candidate]:
    """What calibration should measure here."""
    models = {
        provider: [as_model(state) for state in loadable(store, machine.models, PROVIDERS[provider].weights)]
        for provider in _runnable(machine)
        if PROVIDERS[provider].weights in _KINDS
    }
    return candidates(models, resources_of(machine), wish)


def calibrated(
    machine: Machine, store: ModelStore, wish: Wish, limit_s: float, tell: Tell | None = None
) -> Calibration | None:
    """Measure what is worth it within `limit_s`; None where there is nothing to measure with."""
    from asrctl.detect.calibrate import calibrate  # numpy: not for a quick look

    planned = candidates_for(machine, store, wish)
    if not planned:
        return None
    return calibrate(planned, store, wish, machine.cpu.usable_cores, limit_s, tell)


def recommended(machine: Machine, calibration: Calibration | None, wish: Wish) -> Recommendation:
    """The best of what was measured; the smallest where that failed; by size where it was not tried."""
    measured = calibration.measured if calibration else ()
    models = [as_model(state) for state in machine.models]
    if calibration and not measured:  # no larger model than what was too slow to measure
        return untested(calibration.unmeasured[0].candidate)
    return recommend(measured, models, _runnable(machine), resources_of(machine), wish)


def doubt(calibration: Calibration | None) -> str:
    """Why no config should be made of a calibration; empty if one can.

    That a machine which others keep busy sustains no session does not show what it can do, and a config would
    limit it for good. On a quiet one it is the answer, and the config that comes nearest serves for files.
    """
    if calibration is None:
        return ""
    share = f"{calibration.busy_share:.0%} of the processors were busy"
    if not calibration.measured:
        return f"nothing could be measured ({share})"
    if calibration.busy_share > BUSY_SHARE and not any(each.sessions for each in calibration.measured):
        return f"nothing that was measured sustains a live session, but {share} with other work"
    return ""


def notes_on(machine: Machine) -> list[str]:
    """What a person should know besides."""
    notes = advice(machine)
    if not _runnable(machine):
        notes.insert(
            0, "no recogniser can run here: " + "; ".join(each.missing for each in machine.providers)
        )
    return notes


def _runnable(machine: Machine) -> list[str]:
    return [provider.name for provider in machine.providers if not provider.missing]
