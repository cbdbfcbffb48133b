"""The two networks: who speaks at once in a window, and what a voice is like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrctl.models.onnx_file import open_onnx
from asrctl.speakers.features import Features
from asrctl.transcript import Samples

LOCAL = 3
"""Speakers that segmentation-3.0 tells apart in one window."""
POWERSET = ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2))
"""Its classes: who speaks at once."""
SPEECH_FRAME_SAMPLES, SPEECH_STEP_SAMPLES = 991, 270
"""Field of view and step of its frames."""

_MEMBERS = np.array([[local in each for local in range(LOCAL)] for each in POWERSET], np.float32)


class Networks:
    """Both, loaded; each call uses one thread."""

    def __init__(self, segmentation: Path, embedding: Path) -> None:
        """Load them.

        Raises:
            ModelError: A file does not load.
        """
        self._segmentation = open_onnx(segmentation)
        self._embedding = open_onnx(embedding)

    def activity(self, samples: Samples) -> NDArray[np.float32]:
        """Probabilities that local speakers speak, shape (frames, 3); see `SPEECH_STEP_SAMPLES`."""
        (scores,) = self._segmentation.run(None, {"input": samples[None, None]})
        shared: NDArray[np.float32] = np.exp(scores[0]) @ _MEMBERS
        return shared

    def embedding(self, features: Features) -> NDArray[np.float32]:
        """What the voice in these frames, 2 s at most, is like: a unit vector of shape (192,)."""
        (vectors,) = self._embedding.run(None, {"features": (features - features.mean(axis=0))[None]})
        return unit(vectors[0])


def unit(vector: Any) -> NDArray[np.float32]:
    """The same direction, length 1."""
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float32)


def distances(
    vectors: Sequence[NDArray[np.float32]], others: Sequence[NDArray[np.float32]]
) -> list[list[float]]:
    """Cosine distances of unit vectors, 0 to 2: a row for each of `vectors`."""
    if not vectors or not others:
        return [[] for _ in vectors]
    table: list[list[float]] = (1.0 - np.stack(vectors) @ np.stack(others).T).tolist()
    return table
