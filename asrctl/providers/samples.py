"""What native recognisers can bear, and what holds no word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asrctl.transcript import SAMPLE_RATE_HZ, Samples

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SHORTEST_WORD_S = 0.05
"""In less there is no word, and Whisper would hear one: "you", in nothing at all."""

_SILENT_PEAK = 1e-4
"""Below -80 dB, three steps of a 16-bit recording, no word is heard but "you", in short windows."""


def is_wordless(samples: Samples) -> bool:
    """Whether clean samples are too short or too quiet to hold a word."""
    return len(samples) < _SHORTEST_WORD_S * SAMPLE_RATE_HZ or bool(abs(samples).max() < _SILENT_PEAK)


def clean(samples: Samples) -> NDArray[np.float32]:
    """The same samples, contiguous (native code knows no strides), finite, in [-1, 1]."""
    import numpy as np

    finite = np.nan_to_num(samples, posinf=1.0, neginf=-1.0)
    return np.ascontiguousarray(np.clip(finite, -1.0, 1.0), np.float32)
