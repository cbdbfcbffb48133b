"""The network that hears whether a turn is over."""

from __future__ import annotations

from pathlib import Path

from asrctl.end_of_turn.features import log_mel
from asrctl.models.onnx_file import open_onnx
from asrctl.transcript import Samples


class SmartTurn:
    """Smart Turn v3, loaded; a call uses one thread."""

    def __init__(self, path: Path) -> None:
        """Load it.

        Raises:
            ModelError: The file does not load.
        """
        self._session = open_onnx(path)

    def finished(self, samples: Samples) -> float:
        """The probability that what was said in these samples, mono at 16 kHz, was all."""
        (found,) = self._session.run(None, {"input_features": log_mel(samples)[None]})
        return float(found.reshape(-1)[0])
