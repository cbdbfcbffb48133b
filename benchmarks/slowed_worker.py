"""A worker process whose decodes take a share longer than they must, for `compare_proof`.

Processor time is spent inside of each decode, by a class around the provider's own; nothing of asrctl
is changed. The variable SLOWED_WORKER_SHARE is that share: 0.1 for a tenth, 0 for none.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asrctl.engine import process, worker
from asrctl.providers import whisper_cpp
from asrctl.providers.base import DecodeOptions
from asrctl.transcript import Hypothesis

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


class SlowedStandby(process.Standby):
    """Starts such a worker in place of the usual one."""

    def __init__(self, share: float) -> None:
        """Start the process.

        Args:
            share: By how much its decodes are slower.
        """
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.slowed_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=Path(__file__).parents[1],
            env={**process._ENVIRONMENT, **os.environ, SHARE: str(share)},
        )


def main() -> None:
    """Be a worker, slower."""
    whisper_cpp.WhisperCpp = Slowed  # type: ignore[misc]
    worker.main()


if __name__ == "__main__":
    main()
