"""A worker process whose decodes take a share longer than they must, for `compare_proof`.

Processor time is spent inside of each decode, by a class around the provider's own; nothing of asrctl
is changed. The variable SLOWED_WORKER_SHARE is that share: 0.1 for a tenth, 0 for none.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asrctl.providers import whisper_cpp
from asrctl.providers.base import DecodeOptions
from asrctl.transcript import Hypothesis
from asrctl.workers import child
from asrctl.workers.standby import Standby

SHARE = "SLOWED_WORKER_SHARE"


class Slowed(whisper_cpp.WhisperCpp):
    """Decodes, and then works on for a share of the processor time that it took."""

    def transcribe(
        self, samples: NDArray[np.float32], options: DecodeOptions, should_abort: Callable[[], bool]
    ) -> Hypothesis:
        """See `WhisperCpp.transcribe`."""
        started, cpu_s = time.perf_counter(), time.process_time()
        found = super().transcribe(samples, options, should_abort)
        until_s = time.process_time() + float(os.environ[SHARE]) * (time.process_time() - cpu_s)
        while time.process_time() < until_s:
            pass
        return replace(found, inference_s=time.perf_counter() - started)


def slowed(share: float) -> Standby:
    """Start such a worker; its decodes are slower by a share."""
    command = (sys.executable, "-m", "benchmarks.slowed_worker")
    paths = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return Standby(command, PYTHONPATH=os.pathsep.join(paths), **{SHARE: str(share)})


def main() -> None:
    """Be a worker, slower."""
    whisper_cpp.WhisperCpp = Slowed  # type: ignore[misc]
    child.main()


if __name__ == "__main__":
    main()
