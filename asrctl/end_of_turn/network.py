"""The network that hears whether a turn is over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrctl.end_of_turn.features import log_mel
from asrctl.errors import ModelError


class SmartTurn:
    """Smart Turn v3, loaded; a call uses one thread."""

    def __init__(self, path: Path) -> None:
        """Load it.

        Raises:
            ModelError: The file does not load.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # it is asked seldom; what it needs is given back in between
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors share no base of their own
            raise ModelError(f"{path} does not load: {error}") from error

    def finished(self, samples: NDArray[np.float32]) -> float:
        """The probability that what was said in these samples, mono at 16 kHz, was all."""
        (found,) = self._session.run(None, {"input_features": log_mel(samples)[None]})
        return float(found.reshape(-1)[0])
